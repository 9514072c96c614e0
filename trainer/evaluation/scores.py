"""Figures of merit of predicted numbers, computed from plain arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.evaluation.bootstrap import Numbers, mean_interval, statistic_interval
from trainer.evaluation.coverage import exact_interval

WITHIN = (6.0, 12.0, 24.0)
"""Absolute errors whose share of cases is reported, in the target's unit."""

FEW = 10
"""Cases in a band below which figures that need a spread of cases are not told."""

UNKNOWN = (math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class BandScore:
    """The error within one band.

    Attributes:
        name: See `Band.name`.
        cases: Cases in it.
        mae: Mean absolute error.
        mae_ci95: Its 95 % bootstrap interval.
        bias: Mean of prediction minus truth.
        rmse: Root mean square error.
        rmse_ci95: Its 95 % bootstrap interval.
        r: Pearson's correlation; not a number below `FEW` cases.
        within: Absolute error -> share of cases with at most that.
        coverage: Share of the truths inside their interval.
        coverage_ci95: Its exact binomial 95 % interval.
        interval_width: Mean width of the intervals.
    """

    name: str
    cases: int
    mae: float
    mae_ci95: tuple[float, float]
    bias: float = math.nan
    rmse: float = math.nan
    rmse_ci95: tuple[float, float] = UNKNOWN
    r: float = math.nan
    within: Mapping[str, float] | None = None
    coverage: float = math.nan
    coverage_ci95: tuple[float, float] = UNKNOWN
    interval_width: float = math.nan


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
        rmse_ci95: 95 % bootstrap interval of the root mean square error.
        r_ci95: 95 % bootstrap interval of the correlation.
        coverage_ci95: Exact binomial 95 % interval of the coverage.
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
    rmse_ci95: tuple[float, float] = UNKNOWN
    r_ci95: tuple[float, float] = UNKNOWN
    coverage_ci95: tuple[float, float] = UNKNOWN


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
    # The root keeps the order, so the interval of the mean square is that of its root, too.
    low, high = mean_interval(error**2)
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
        rmse_ci95=(math.sqrt(low), math.sqrt(high)),
        r_ci95=statistic_interval(len(truth), lambda rows: _correlations(truth[rows], told[rows])),
        coverage_ci95=exact_interval(int(inside.sum()), len(truth)),
    )


def score_band(
    name: str, truth: Numbers, told: Numbers, intervals: Sequence[tuple[float, float]]
) -> BandScore:
    """Scores the predicted numbers of one band; arguments as of `score_number`."""
    score = score_number(truth, told, intervals, truth)
    return BandScore(
        name=name,
        cases=score.cases,
        mae=score.mae,
        mae_ci95=score.mae_ci95,
        bias=score.bias,
        rmse=score.rmse,
        rmse_ci95=score.rmse_ci95,
        r=score.r if score.cases >= FEW else math.nan,
        within=score.within,
        coverage=score.coverage,
        coverage_ci95=score.coverage_ci95,
        interval_width=score.interval_width,
    )


def mean(values: NDArray[np.float64] | NDArray[np.bool_] | Sequence[float]) -> float:
    """Returns the mean; not a number where there is none."""
    return float(np.mean(values)) if len(values) else math.nan


def _correlation(one: Numbers, other: Numbers) -> float:
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    return float(np.corrcoef(one, other)[0, 1])


def _correlations(one: Numbers, other: Numbers) -> Numbers:
    """Returns (b,) correlations of (b, n) resamples; not a number where one does not vary."""
    one = one - one.mean(axis=1, keepdims=True)
    other = other - other.mean(axis=1, keepdims=True)
    spread = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    shared = (one * other).sum(axis=1)
    found = np.full(len(one), np.nan)
    np.divide(shared, spread, out=found, where=spread > 1e-9)
    return found
