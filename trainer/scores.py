"""Figures of merit, computed from plain arrays."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.bootstrap import mean_interval

WITHIN = (6.0, 12.0, 24.0)
"""Absolute errors whose share of cases is reported, in the target's unit."""

LOWEST_PROBABILITY = 1e-4
"""A probability of 0 counts as this in the log loss."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BandScore:
    """The error within one band.

    Attributes:
        name: See `Band.name`.
        cases: Cases in it.
        mae: Mean absolute error.
        mae_ci95: Its 95 % bootstrap interval.
    """

    name: str
    cases: int
    mae: float
    mae_ci95: tuple[float, float]


@dataclass(frozen=True, slots=True)
class NumberScore:
    """How well a number is told.

    Attributes:
        cases: Cases with a truth and a prediction.
        mae: Mean absolute error.
        mae_ci95: Its 95 % bootstrap interval over cases.
        baseline_mae: Mean absolute error of the mean of the training labels of the same group
            (the true value of `GateRule.band_by`; overall mean where the group has none).
        bias: Mean of prediction minus truth.
        rmse: Root mean square error.
        r: Pearson's correlation of prediction and truth.
        within: Absolute error -> share of cases with at most that.
        coverage: Share of the truths inside their interval.
        promised_coverage: What the intervals promise.
        interval_width: Mean width of the intervals.
        bands: The error by bands of the truth.
    """

    cases: int
    mae: float
    mae_ci95: tuple[float, float]
    baseline_mae: float
    bias: float
    rmse: float
    r: float
    within: Mapping[str, float]
    coverage: float
    promised_coverage: float
    interval_width: float
    bands: tuple[BandScore, ...]


@dataclass(frozen=True, slots=True)
class ChoiceScore:
    """How well a choice is told.

    Attributes:
        cases: Cases with a truth and a prediction.
        accuracy: Share of right answers.
        accuracy_ci95: Its 95 % bootstrap interval over cases.
        balanced_accuracy: Mean over the true choices of the share of right answers.
        baseline_accuracy: Share of the most frequent choice of the training labels.
        log_loss: Mean negative natural logarithm of the probability of the truth.
    """

    cases: int
    accuracy: float
    accuracy_ci95: tuple[float, float]
    balanced_accuracy: float
    baseline_accuracy: float
    log_loss: float


def score_number(
    truth: Numbers,
    told: Numbers,
    intervals: Sequence[tuple[float, float]],
    baseline: Numbers,
) -> NumberScore:
    """Scores predicted numbers, without bands.

    Args:
        truth: (n,) true values.
        told: (n,) predicted values.
        intervals: (n,) low and high end of each prediction's interval.
        baseline: (n,) what the mean predictor says.
    """
    error = told - truth
    size = np.abs(error)
    ends = np.asarray(intervals, np.float64).reshape(len(truth), 2)
    inside = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
    return NumberScore(
        cases=len(truth),
        mae=mean(size),
        mae_ci95=mean_interval(size),
        baseline_mae=mean(np.abs(baseline - truth)),
        bias=mean(error),
        rmse=math.sqrt(mean(error**2)),
        r=_correlation(truth, told),
        within={f"{limit:g}": mean(size <= limit) for limit in WITHIN},
        coverage=mean(inside),
        promised_coverage=math.nan,
        interval_width=mean(ends[:, 1] - ends[:, 0]),
        bands=(),
    )


def score_choice(
    truth: Sequence[str], probabilities: Sequence[Mapping[str, float]], labels: Sequence[str]
) -> ChoiceScore:
    """Scores predicted choices.

    Args:
        truth: (n,) true choices.
        probabilities: (n,) choice -> probability; empty where the model said that the target does
            not apply, which is a wrong answer.
        labels: The training labels.
    """
    told = [max(p, key=p.__getitem__) if p else "" for p in probabilities]
    right = np.asarray([t == u for t, u in zip(truth, told, strict=True)], np.float64)
    of_truth = [p.get(t, 0.0) for t, p in zip(truth, probabilities, strict=True)]
    losses = [-math.log(max(p, LOWEST_PROBABILITY)) for p in of_truth]
    recalls = [
        mean(right[np.asarray([t == choice for t in truth], bool)]) for choice in sorted(set(truth))
    ]
    usual = Counter(labels).most_common(1)
    return ChoiceScore(
        cases=len(truth),
        accuracy=mean(right),
        accuracy_ci95=mean_interval(right),
        balanced_accuracy=mean(recalls),
        baseline_accuracy=mean([t == usual[0][0] for t in truth]) if usual else math.nan,
        log_loss=mean(losses),
    )


def mean(values: NDArray[np.float64] | NDArray[np.bool_] | Sequence[float]) -> float:
    """Returns the mean; not a number where there is none."""
    return float(np.mean(values)) if len(values) else math.nan


def _correlation(one: Numbers, other: Numbers) -> float:
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    return float(np.corrcoef(one, other)[0, 1])
