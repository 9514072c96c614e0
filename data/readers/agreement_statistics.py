"""The statistics of readers' agreement: numbers in, numbers out.

Formulas, sources and what to make of the figures: docs/agreement.md.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, stdev
from typing import TypeVar

T = TypeVar("T")

NORMAL_95 = 1.959964
"""95 % of a normal distribution lie within this many standard deviations of its mean."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How one reader differs from another, or from the mean of all others, on the same radiographs.

    Attributes:
        reader: Whose readings; the differences are this reader's minus the other's.
        other: The other reader; empty: the mean of all others who read the radiograph.
        radiographs: That both have read.
        mean: Bias, unit of the target.
        low: Lower end of the 95 % confidence interval of the bias; None for a single radiograph.
        high: Upper end.
        sd: Standard deviation of the differences; None for a single radiograph.
        limit_low: Lower 95 % limit of agreement, mean - 1.96 SD (Bland and Altman 1986).
        limit_high: Upper limit.
    """

    reader: str
    other: str
    radiographs: int
    mean: float
    low: float | None = None
    high: float | None = None
    sd: float | None = None
    limit_low: float | None = None
    limit_high: float | None = None


def difference(reader: str, other: str, differences: Sequence[float]) -> Difference:
    """Describes the differences of two readers; there must be at least one.

    The interval is Student's, of independent radiographs.
    """
    count, mean = len(differences), fmean(differences)
    if count < 2:
        return Difference(reader, other, count, mean)
    # Imported here: it takes 0.2 s, and only datasets with several readers need it.
    from scipy.special import stdtrit

    sd = stdev(differences)
    error = float(stdtrit(count - 1, 0.975)) * sd / math.sqrt(count)
    spread = NORMAL_95 * sd
    return Difference(
        reader, other, count, mean, mean - error, mean + error, sd, mean - spread, mean + spread
    )


def within_sd(groups: Sequence[Sequence[float]]) -> float:
    """Returns the standard deviation of readings of one and the same radiograph.

    That is the standard error of measurement: the root of the pooled variance within radiographs
    (one-way analysis of variance; Bland and Altman 1996).

    Args:
        groups: The readings of each radiograph, two or more of each.
    """
    squares = math.fsum(
        (value - mean) ** 2 for group in groups for mean in [fmean(group)] for value in group
    )
    return math.sqrt(squares / sum(len(group) - 1 for group in groups))


def pair_agreement(groups: Sequence[Sequence[T]], agree: Callable[[T, T], bool]) -> float:
    """Returns the share of pairs of readings of a radiograph that agree, 0..1.

    Each radiograph weighs the same, however many readers it has (Fleiss 1971, observed agreement).

    Args:
        groups: The readings of each radiograph, two or more of each.
        agree: Whether two readings agree.
    """
    return fmean(
        fmean(float(agree(one, other)) for one, other in combinations(group, 2)) for group in groups
    )


def cohen_kappa(pairs: Sequence[tuple[Hashable, Hashable]]) -> float | None:
    """Returns Cohen's kappa of two readers (Cohen 1960); at most 1, 0 is chance.

    Args:
        pairs: What both say of each radiograph, always in the same order of the readers.

    Returns:
        None where kappa is not defined: there is no pair, or both always say one and the same.
    """
    count = len(pairs)
    if count == 0:
        return None
    observed = sum(one == other for one, other in pairs) / count
    ones, others = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    expected = sum(ones[choice] * others[choice] for choice in ones) / count**2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def krippendorff_alpha(groups: Sequence[Sequence[Hashable]]) -> float | None:
    """Returns Krippendorff's alpha of choices (nominal metric); at most 1, 0 is chance.

    Any number of readers, each of whom may have left out radiographs (Hayes and Krippendorff 2007).

    Args:
        groups: The readings of each radiograph; those with fewer than two are left out.

    Returns:
        None where alpha is not defined: no radiograph has two readings, or all say the same.
    """
    paired = [Counter(group) for group in groups if len(group) > 1]
    totals: Counter[Hashable] = Counter()
    for counts in paired:
        totals.update(counts)
    values = totals.total()
    expected = values**2 - sum(count**2 for count in totals.values())
    if expected == 0:
        return None
    observed = math.fsum(
        (counts.total() ** 2 - sum(count**2 for count in counts.values())) / (counts.total() - 1)
        for counts in paired
    )
    return 1 - (values - 1) * observed / expected
