"""Whether the films that are scored lately are like those that the champion learnt from.

Pure: from what the ledger holds to frozen dataclasses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from data.domain import Prediction, Target, Value
from trainer.evaluation.coverage import exact_interval
from workers.live_figures import FEW

NOVELTY_SHARE = 0.01
"""Share of films like those learnt whose novelty exceeds 1; see `Prediction.novelty`."""
SLIGHT, CLEAR = 0.1, 0.2
"""Distances between two distributions from which they are called slightly, clearly different."""
SIGNIFICANCE = 0.01
"""Chance of a distance this large between samples of one distribution that is still accepted."""

Verdict: TypeAlias = Literal["alike", "slightly different", "clearly different", "too few"]


@dataclass(frozen=True, slots=True)
class Shift:
    """How far one quantity of the films scored lately lies from what it is held against.

    Attributes:
        distance: 0..1: the Kolmogorov-Smirnov distance, or a difference of shares.
        films: Radiographs scored lately.
        against: Radiographs that they are held against; 0: a share that is known.
        verdict: `alike`, `slightly different`, `clearly different` or `too few`.
    """

    distance: float
    films: int
    against: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Drift:
    """Whether the films that were scored lately are like those that were learnt from.

    Attributes:
        values: Predicted numbers against the labels of the training split; None: of a choice.
        novelty: Share above 1 against the share of films like those learnt; None: not known.
        confidence: Against what the champion scored before; None: it scored nothing before.
    """

    values: Shift | None
    novelty: Shift | None
    confidence: Shift | None


def drift(
    recent: Sequence[Prediction],
    before: Sequence[Prediction],
    learnt: Sequence[Mapping[str, Value]],
    target: Target,
) -> Drift | None:
    """Holds what was scored lately against what was learnt from and scored before.

    Args:
        recent: The champion's predictions of the last days.
        before: Its earlier ones.
        learnt: Labels of the training split.
        target: What the gate judges by.

    Returns:
        None if nothing was scored lately.
    """
    if not recent:
        return None
    told = _numbers([p.values for p in recent], target)
    labels = _numbers(learnt, target)
    new = [p.novelty for p in recent if p.novelty is not None]
    return Drift(
        values=_shift(told, labels) if target.kind == "number" else None,
        novelty=_share_shift(sum(n > 1 for n in new), len(new)) if new else None,
        confidence=_shift([p.confidence for p in recent], [p.confidence for p in before])
        if before
        else None,
    )


def ks_distance(one: Sequence[float], other: Sequence[float]) -> float:
    """Returns the largest distance between two empirical distribution functions, 0..1.

    The two-sample statistic of Kolmogorov and Smirnov; not a number where either is empty.
    """
    if not one or not other:
        return math.nan
    first, second = np.sort(np.asarray(one)), np.sort(np.asarray(other))
    every = np.concatenate([first, second])
    below = np.searchsorted(first, every, "right") / len(first)
    its = np.searchsorted(second, every, "right") / len(second)
    return float(np.abs(below - its).max())


def _shift(one: Sequence[float], other: Sequence[float]) -> Shift:
    """Judges a distance; what samples of this size show by chance is called alike."""
    distance, (n, m) = ks_distance(one, other), (len(one), len(other))
    if min(n, m) < FEW:
        return Shift(distance, n, m, "too few")
    # Smirnov's asymptotic critical value.
    chance = math.sqrt(-math.log(SIGNIFICANCE / 2) / 2 * (n + m) / (n * m))
    return Shift(distance, n, m, _verdict(distance) if distance > chance else "alike")


def _share_shift(above: int, films: int) -> Shift:
    distance = above / films - NOVELTY_SHARE
    if films < FEW:
        return Shift(distance, films, 0, "too few")
    by_chance = exact_interval(above, films, 1 - SIGNIFICANCE)[0] <= NOVELTY_SHARE
    return Shift(distance, films, 0, "alike" if by_chance else _verdict(distance))


def _verdict(distance: float) -> Verdict:
    if distance < SLIGHT:
        return "alike"
    return "slightly different" if distance < CLEAR else "clearly different"


def _numbers(values: Sequence[Mapping[str, Value]], target: Target) -> list[float]:
    if target.kind == "choice":
        return []
    return [float(of[target.name]) for of in values if target.name in of]
