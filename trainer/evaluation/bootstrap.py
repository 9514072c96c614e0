"""Confidence intervals, by resampling cases."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
SEED = 20170707
"""Fixed, so that the same cases always give the same interval."""

_BLOCK = 4_000_000

Numbers = NDArray[np.float64]


def mean_interval(values: Numbers, level: float = 0.95) -> tuple[float, float]:
    """Returns the percentile bootstrap interval of the mean (Efron & Tibshirani 1993, ch. 13).

    For a comparison, `values` are the differences of the same case: a paired bootstrap.

    Args:
        values: (n,) one per case; cases are resampled with replacement.
        level: Probability between the two ends.

    Returns:
        Lower and upper end; not a number where there are no cases.
    """
    return statistic_interval(len(values), lambda rows: values[rows].mean(axis=1), level)


def statistic_interval(
    cases: int, statistic: Callable[[NDArray[np.int64]], Numbers], level: float = 0.95
) -> tuple[float, float]:
    """Returns the percentile bootstrap interval of any statistic of the cases.

    Args:
        cases: How many there are.
        statistic: Turns (b, cases) numbers of cases, one row per resample, into (b,) statistics;
            a resample in which it is not defined is not a number, and is left out.
        level: Probability between the two ends.

    Returns:
        Lower and upper end; not a number where there are no cases or nothing is defined.
    """
    if cases == 0:
        return math.nan, math.nan
    found = np.concatenate([statistic(rows) for rows in _resamples(cases)])
    found = found[np.isfinite(found)]
    if not len(found):
        return math.nan, math.nan
    low, high = np.quantile(found, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def _resamples(cases: int) -> Iterator[NDArray[np.int64]]:
    """Yields `RESAMPLES` rows of case numbers, in blocks that fit into memory."""
    rng = np.random.default_rng(SEED)
    block = max(1, _BLOCK // cases)
    for start in range(0, RESAMPLES, block):
        yield rng.integers(0, cases, (min(block, RESAMPLES - start), cases))
