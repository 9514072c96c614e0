from __future__ import annotations

import math

import numpy as np
import pytest

from data.readers.agreement_statistics import (
    cohen_kappa,
    difference,
    krippendorff_alpha,
    pair_agreement,
    within_sd,
)

# Peak expiratory flow of 17 people by two meters, l/min: Bland and Altman, Lancet 1986.
WRIGHT = (494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427)
MINI = (512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451)

# Four coders, twelve units: Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011.
CODERS = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
    (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
)


def test_bias_and_limits_are_those_that_bland_and_altman_published() -> None:
    differences = [one - other for one, other in zip(WRIGHT, MINI, strict=True)]

    found = difference("wright", "mini", differences)

    assert found.radiographs == 17
    assert found.mean == pytest.approx(-2.1, abs=0.05)
    assert found.sd == pytest.approx(38.8, abs=0.05)
    # They took 2 SD where we take 1.96.
    assert found.limit_low == pytest.approx(-2.12 - 1.96 * 38.77, abs=0.05)
    assert (found.low, found.high) == pytest.approx((-22.0, 17.8), abs=0.1)


def test_a_single_radiograph_gives_a_bias_without_interval() -> None:
    found = difference("ada", "", [4.0])

    assert found.mean == 4.0
    assert (found.low, found.high, found.sd, found.limit_low) == (None, None, None, None)


def test_three_differences_give_students_interval() -> None:
    # t of 2 degrees of freedom is 4.3027; standard error 1 / sqrt(3).
    found = difference("ada", "bob", [1.0, 2.0, 3.0])

    assert (found.low, found.high) == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-4)


def test_the_sd_within_radiographs_is_pooled_over_them() -> None:
    # Squares within: 2 + 0 + 4.5; degrees of freedom: 1 + 1 + 1.
    assert within_sd([(1, 3), (4, 4), (5, 8)]) == pytest.approx(math.sqrt(6.5 / 3))


def test_three_readings_of_a_radiograph_have_two_degrees_of_freedom() -> None:
    # (0, 3, 6): squares 18, 2 degrees of freedom; (1, 3): squares 2, 1 degree of freedom.
    assert within_sd([(0, 3, 6), (1, 3)]) == pytest.approx(math.sqrt(20 / 3))


def test_each_radiograph_weighs_the_same_in_the_share_of_agreeing_pairs() -> None:
    # 1 of 3 pairs agrees, 1 of 1 does.
    groups = [("f", "f", "m"), ("m", "m")]

    assert pair_agreement(groups, lambda one, other: one == other) == pytest.approx(2 / 3)


def test_kappa_of_fifty_decisions_is_what_the_hand_computes() -> None:
    # Observed 35 / 50 = 0.7, expected 0.5 * 0.6 + 0.5 * 0.4 = 0.5: kappa (0.7 - 0.5) / 0.5.
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15

    assert cohen_kappa(pairs) == pytest.approx(0.4)


@pytest.mark.parametrize("seed", range(5))
def test_kappa_equals_an_independent_implementation(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(seed)
    one = random.integers(0, 3, 60)
    other = np.where(random.random(60) < 0.6, one, random.integers(0, 3, 60))

    found = cohen_kappa(list(zip(one.tolist(), other.tolist(), strict=True)))

    assert found == pytest.approx(metrics.cohen_kappa_score(one, other))


def test_alpha_is_what_krippendorff_published() -> None:
    units = [[value for value in unit if value is not None] for unit in zip(*CODERS, strict=True)]

    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=0.0005)


def test_alpha_of_two_readers_is_what_the_hand_computes() -> None:
    # 8 values, 4 of each; 2 of 4 pairs differ: observed 4 / 8, expected 2 * 4 * 4 / (8 * 7).
    groups = [("f", "f"), ("m", "m"), ("m", "f"), ("f", "m")]

    assert krippendorff_alpha(groups) == pytest.approx(1 - (4 / 8) / (32 / 56))


@pytest.mark.parametrize(
    "groups", [[], [("f",)], [("f", "f"), ("f", "f")]], ids=["nothing", "alone", "all the same"]
)
def test_without_a_second_opinion_or_a_second_choice_there_is_no_alpha(
    groups: list[tuple[str, ...]],
) -> None:
    assert krippendorff_alpha(groups) is None


@pytest.mark.parametrize("pairs", [[], [("f", "f"), ("f", "f")]], ids=["nothing", "all the same"])
def test_without_a_second_opinion_or_a_second_choice_there_is_no_kappa(
    pairs: list[tuple[str, str]],
) -> None:
    assert cohen_kappa(pairs) is None
