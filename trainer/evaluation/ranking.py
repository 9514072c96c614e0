"""How well a score ranks cases: the area under the ROC curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainer.evaluation.bootstrap import Numbers, statistic_interval


def auroc(
    truth: Sequence[str], scores: Numbers, choices: Sequence[str]
) -> tuple[float, tuple[float, float]]:
    """Returns the area under the ROC curve and its 95 % bootstrap interval over cases.

    It is the probability that a case of the choice scores higher than one of the others; ties
    count half (Hanley & McNeil 1982). Of two choices the second is meant; of more, the mean over
    those that both occur and have others beside them (macro, one against the rest).

    Args:
        truth: (n,) true choices.
        scores: (n, choices) probabilities.
        choices: Names of the columns.

    Returns:
        Not a number where no choice has cases for and against.
    """
    columns = range(1, 2) if len(choices) == 2 else range(len(choices))
    names = np.asarray(truth, str)
    judged = [_Ranked(names == choices[i], scores[:, i]) for i in columns]
    judged = [ranked for ranked in judged if ranked.is_defined]
    if not judged:
        return float("nan"), (float("nan"), float("nan"))
    everyone = np.arange(len(names), dtype=np.int64)[np.newaxis]

    def area(rows: NDArray[np.int64]) -> Numbers:
        return np.asarray(np.mean([ranked.areas(rows) for ranked in judged], axis=0), np.float64)

    return float(area(everyone)[0]), statistic_interval(len(names), area)


class _Ranked:
    """Cases in the order of their score, so that a resample is only counted, not sorted again."""

    def __init__(self, positive: NDArray[np.bool_], scores: Numbers) -> None:
        _, self._tie = np.unique(scores, return_inverse=True)
        self._positive = positive

    @property
    def is_defined(self) -> bool:
        """Whether there are cases for and against."""
        return bool(0 < self._positive.sum() < len(self._positive))

    def areas(self, rows: NDArray[np.int64]) -> Numbers:
        """Returns (b,) areas of (b, n) resamples; not a number where one side is absent."""
        for_it = self._counts(rows, self._positive)
        against = self._counts(rows, ~self._positive)
        below = np.cumsum(against, axis=1) - against
        wins = (for_it * (below + against / 2)).sum(axis=1)
        pairs = for_it.sum(axis=1) * against.sum(axis=1)
        areas = np.full(len(rows), np.nan)
        np.divide(wins, pairs, out=areas, where=pairs > 0)
        return areas

    def _counts(self, rows: NDArray[np.int64], which: NDArray[np.bool_]) -> Numbers:
        """Returns (b, different scores): how many of these cases each resample has of each."""
        width = int(self._tie.max()) + 1
        line = np.arange(len(rows))[:, np.newaxis] * width + self._tie[rows]
        weights = which[rows].astype(np.float64)
        counts = np.bincount(line.ravel(), weights.ravel(), len(rows) * width)
        return np.asarray(counts, np.float64).reshape(len(rows), width)
