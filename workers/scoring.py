"""The order in which the label stream serves: pure.

Radiographs of the training split are served by the model's confidence, the least sure first.
Those of the held-out splits must stay a random sample of their kind, or every figure measured on
them would be about hard cases only; each gets the score of a training radiograph drawn by its
own hash, which mixes them evenly into the stream.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from data.domain import Prediction, Split


def stream_scores(
    predictions: Mapping[str, Prediction], splits: Mapping[str, Split]
) -> dict[str, float]:
    """Returns radiograph id -> score, 0..1, lowest served first.

    Args:
        predictions: Radiograph id -> prediction of the serving model.
        splits: Radiograph id -> split, for at least the same ids.
    """
    ladder = sorted(p.confidence for i, p in predictions.items() if splits[i] is Split.TRAIN)
    scores: dict[str, float] = {}
    for name, prediction in predictions.items():
        if splits[name] is Split.TRAIN or not ladder:
            scores[name] = prediction.confidence
        else:
            scores[name] = ladder[int(_uniform(name) * len(ladder))]
    return scores


def _uniform(radiograph_id: str) -> float:
    """Returns a number in 0..1 (1 excluded) that depends on the id alone."""
    digest = hashlib.sha256(f"stream:{radiograph_id}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56
