"""How often intervals hold the truth, and how sure one can be of that."""

from __future__ import annotations

import math


def exact_interval(hits: int, cases: int, level: float = 0.95) -> tuple[float, float]:
    """Returns the exact binomial interval of a share (Clopper & Pearson 1934).

    Its ends are quantiles of beta distributions; it never covers less than it promises.

    Args:
        hits: Cases that count, 0..cases.
        cases: All cases.
        level: Probability between the two ends.

    Returns:
        Lower and upper end, 0..1; not a number where there are no cases.
    """
    from scipy.special import betaincinv

    if cases == 0:
        return math.nan, math.nan
    tail = (1 - level) / 2
    low = float(betaincinv(hits, cases - hits + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, cases - hits, 1 - tail)) if hits < cases else 1.0
    return low, high
