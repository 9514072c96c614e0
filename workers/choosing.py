"""Which radiographs the experts read next: pure.

Before there is a model the choice is random. With one, radiographs of the training split are
taken by the model's confidence, the least sure first, and those of the held-out splits are mixed
in evenly (`stream_scores`), so that they stay a random sample of their kind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from data.domain import Prediction, Radiograph
from workers.scoring import stream_scores


def at_random(candidates: Iterable[Radiograph], count: int) -> list[Radiograph]:
    """Returns `count` of them by the hash of their ids: the same ones every time."""
    return sorted(candidates, key=lambda item: _shuffled(item.id))[:count]


def least_sure(
    candidates: Iterable[Radiograph], predictions: Mapping[str, Prediction], count: int
) -> list[Radiograph]:
    """Returns `count` of them by what the champion says; those it said nothing of come last.

    Args:
        candidates: Any radiographs.
        predictions: Radiograph id -> what the champion says of it.
        count: How many at the most.
    """
    known = list(candidates)
    splits = {item.id: item.split for item in known}
    scored = {name: told for name, told in predictions.items() if name in splits}
    scores = stream_scores(scored, splits)
    known.sort(key=lambda item: (scores.get(item.id, 2.0), _shuffled(item.id)))
    return known[:count]


def _shuffled(radiograph_id: str) -> bytes:
    return hashlib.sha256(f"choose:{radiograph_id}".encode()).digest()
