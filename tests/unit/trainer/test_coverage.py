from __future__ import annotations

import math

import pytest

from trainer.evaluation.coverage import exact_interval


@pytest.mark.parametrize(
    ("hits", "cases", "low", "high"),
    [
        (0, 10, 0.0, 1 - 0.025**0.1),
        (10, 10, 0.025**0.1, 1.0),
        (1, 1, 0.025, 1.0),
        # Table of Clopper & Pearson's limits for 9 of 10.
        (9, 10, 0.55498, 0.99747),
    ],
    ids=["none", "all", "one case", "nine of ten"],
)
def test_the_interval_is_clopper_and_pearsons(
    hits: int, cases: int, low: float, high: float
) -> None:
    assert exact_interval(hits, cases) == pytest.approx((low, high), abs=5e-6)


def test_at_its_ends_what_was_seen_is_just_improbable_enough() -> None:
    # By definition: at the lower end 7 or more of 20 have probability 2.5 %, at the upper end
    # 7 or fewer.
    low, high = exact_interval(7, 20)

    def binomial(p: float, hits: range) -> float:
        return sum(math.comb(20, k) * p**k * (1 - p) ** (20 - k) for k in hits)

    assert binomial(low, range(7, 21)) == pytest.approx(0.025)
    assert binomial(high, range(8)) == pytest.approx(0.025)


def test_without_cases_nothing_is_known() -> None:
    assert all(math.isnan(end) for end in exact_interval(0, 0))
