"""Confidence intervals of means, by resampling cases."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
SEED = 20170707
"""Fixed, so that the same cases always give the same interval."""

_BLOCK = 4_000_000


def mean_interval(values: NDArray[np.float64], level: float = 0.95) -> tuple[float, float]:
    """Returns the percentile bootstrap interval of the mean (Efron & Tibshirani 1993, ch. 13).

    For a comparison, `values` are the differences of the same case: a paired bootstrap.

    Args:
        values: (n,) one per case; cases are resampled with replacement.
        level: Probability between the two ends.

    Returns:
        Lower and upper end; not a number where there are no cases.
    """
    count = len(values)
    if count == 0:
        return math.nan, math.nan
    rng = np.random.default_rng(SEED)
    block = max(1, _BLOCK // count)
    means = np.concatenate(
        [
            values[rng.integers(0, count, (min(block, RESAMPLES - start), count))].mean(axis=1)
            for start in range(0, RESAMPLES, block)
        ]
    )
    low, high = np.quantile(means, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)
