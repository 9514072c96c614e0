"""What all members of a model say together, for calibration and for every answer alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.answers.grouping import Grouping
from trainer.answers.inference import run
from trainer.answers.raw_outputs import RawOutputs, mean_of_models
from trainer.answers.views import AS_IT_IS, View, views_of
from trainer.inputs.targets import encode_known
from trainer.model.card import ModelCard
from trainer.model.files import Part


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model says of N films, before it is read out.

    Attributes:
        raw: Mean of the members.
        distances: (N, members) distances from the films learnt; NaN where a member knows none.
        novelty: (N,) see `Prediction.novelty`; None: not known.
        grouping: The bands whose intervals are their own.
    """

    raw: RawOutputs
    distances: NDArray[np.float64]
    novelty: NDArray[np.float64] | None
    grouping: Grouping


def views_of_card(card: ModelCard) -> tuple[View, ...]:
    """Returns the views that a model's answers are the mean of."""
    return views_of(card.options.tta, card.options.tta_degrees)


def answer(
    parts: Sequence[Part],
    card: ModelCard,
    squares: Sequence[NDArray[np.uint8]],
    device: torch.device,
    known: Sequence[Mapping[str, str]] | None = None,
    views: Sequence[View] = AS_IT_IS,
    few: Sequence[int] = (),
) -> Answers:
    """Asks every member and takes the mean.

    Args:
        parts: The networks, on `device`.
        card: The model.
        squares: For each member, (N, S, S) grey as its preparation makes them.
        device: Where the networks are.
        known: (N,) target -> value that is known before; None: nothing.
        views: What each member's answer is the mean of.
        few: For each member, films that pass it together where there are few; empty: as always.

    Raises:
        InvalidInputError: What is known is not one of the target's choices.
        ModelError: An answer is not finite.
    """
    target = card.input_target
    fed = None if known is None or target is None else encode_known(target, known)
    answers = [
        run(part.network, card.heads(member), films, device, fed, views, step)
        for part, member, films, step in zip(
            parts, card.members, squares, few or [0] * len(parts), strict=True
        )
    ]
    distances = np.stack(
        [
            np.full(len(raw.features), np.nan)
            if part.familiar is None
            else part.familiar.distances(raw.features, films)
            for part, raw, films in zip(parts, answers, squares, strict=True)
        ],
        axis=1,
    )
    raw = mean_of_models(answers)
    by = next((t for t in card.targets if card.bands and t.name == _by(card)), None)
    grouping = Grouping(card.primary, card.bands, by, fed if _by(card) == card.input else None)
    return Answers(raw, distances, _novelty(card, distances), grouping)


def _by(card: ModelCard) -> str | None:
    by = card.bands[0].by if card.bands else None
    return by[0] if by else None


def _novelty(card: ModelCard, distances: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Returns the mean over the members of the distance in units of the usual one."""
    usual = card.calibration.usual_distance
    if not usual or any(distance is None for distance in usual):
        return None
    relative: NDArray[np.float64] = (distances / np.asarray(usual, np.float64)).mean(1)
    return relative
