from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from trainer.evaluation.choice_scores import reliability, score_choice, score_choice_band
from trainer.evaluation.scores import FEW

pytestmark = pytest.mark.long

SEXES = ("female", "male")
KINDS = ("normal", "bacterial", "viral")


def male(*chances: float) -> list[Mapping[str, float]]:
    """Chances of `male`, the second choice."""
    return [{"female": 1 - p, "male": p} for p in chances]


def sexes(text: str) -> list[str]:
    """`f` and `m`, one per case."""
    return [{"f": "female", "m": "male"}[letter] for letter in text]


def test_the_area_counts_pairs_in_which_the_second_choice_scores_higher() -> None:
    # Girls score 0.1, 0.4, 0.35 and boys 0.8, 0.4: of 6 pairs 5 are won and one is a tie.
    score = score_choice(sexes("fffmm"), male(0.1, 0.4, 0.35, 0.8, 0.4), (), SEXES)

    assert score.auroc == pytest.approx(5.5 / 6)
    assert score.auroc_ci95[0] <= score.auroc <= score.auroc_ci95[1]


def test_the_area_of_three_choices_is_the_mean_of_one_against_the_rest() -> None:
    truth = ["normal", "bacterial", "viral", "normal"]
    chances = [
        {"normal": 0.6, "bacterial": 0.3, "viral": 0.1},
        {"normal": 0.5, "bacterial": 0.2, "viral": 0.3},
        {"normal": 0.2, "bacterial": 0.4, "viral": 0.4},
        {"normal": 0.3, "bacterial": 0.4, "viral": 0.3},
    ]

    score = score_choice(truth, chances, (), KINDS)

    # normal: 0.6 wins twice, 0.3 once of 2: 3/4; bacterial: 0.2 below 0.3, 0.4, 0.4: 0;
    # viral: 0.4 above 0.1, 0.3, 0.3: 1.
    assert score.auroc == pytest.approx((3 / 4 + 0 + 1) / 3)


def test_the_area_is_scikit_learns() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    rng = np.random.default_rng(5)
    rows = rng.dirichlet((1.0, 1.0, 1.0), 200).round(1)
    rows /= rows.sum(axis=1, keepdims=True)
    truth = [KINDS[i] for i in rng.integers(0, 3, 200)]

    score = score_choice(truth, [dict(zip(KINDS, row, strict=True)) for row in rows], (), KINDS)

    areas = [
        metrics.roc_auc_score([t == k for t in truth], rows[:, i]) for i, k in enumerate(KINDS)
    ]
    assert score.auroc == pytest.approx(np.mean(areas))


def test_the_areas_interval_is_hanley_and_mcneils_for_many_cases() -> None:
    # Standard error by their equation 1, for 400 against 400 normal scores.
    rng = np.random.default_rng(6)
    scores = np.concatenate([rng.normal(0, 1, 400), rng.normal(1, 1, 400)])
    chances = male(*(1 / (1 + np.exp(-scores))))

    score = score_choice(["female"] * 400 + ["male"] * 400, chances, (), SEXES)

    area = score.auroc
    both, twice = area / (2 - area), 2 * area**2 / (1 + area)
    error = math.sqrt(
        (area * (1 - area) + 399 * (both - area**2) + 399 * (twice - area**2)) / 400**2
    )
    assert score.auroc_ci95 == pytest.approx((area - 1.96 * error, area + 1.96 * error), abs=0.004)


def test_without_cases_of_both_choices_there_is_no_area() -> None:
    score = score_choice(sexes("ff"), male(0.1, 0.2), (), SEXES)

    assert math.isnan(score.auroc)
    assert all(math.isnan(end) for end in score.auroc_ci95)


def test_f1_is_the_mean_of_the_choices() -> None:
    # Female: 2 hits, 3 true, 3 answered: 2/3; male: 1 hit, 2 true, 2 answered: 1/2.
    score = score_choice(sexes("fffmm"), male(0.1, 0.2, 0.9, 0.8, 0.3), (), SEXES)

    assert score.f1 == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_the_calibration_error_weighs_each_bin_by_its_cases() -> None:
    # Three answers at 0.9, of which two are right; one at 0.6, which is wrong.
    score = score_choice(sexes("mmfm"), male(0.9, 0.9, 0.9, 0.4), (), SEXES)

    expected = 3 / 4 * abs(2 / 3 - 0.9) + 1 / 4 * abs(0 - 0.6)
    assert score.ece == pytest.approx(expected)


def test_a_bin_ends_with_its_upper_edge() -> None:
    # 0.6 = 9/15 ends a bin that 0.59 belongs to and 0.61 does not.
    bins = reliability(sexes("mmm"), male(0.59, 0.6, 0.61))

    assert [b.cases for b in bins] == [2, 1]
    assert bins[0].confidence == pytest.approx(0.595)


def test_a_target_that_was_said_not_to_apply_is_wrong_and_has_no_confidence() -> None:
    score = score_choice(sexes("ff"), [*male(0.1), {}], (), SEXES)

    assert score.accuracy == 0.5
    assert score.ece == pytest.approx(0.1)


def test_no_cases_give_no_figures() -> None:
    score = score_choice((), (), (), SEXES)

    figures = (score.accuracy, score.auroc, score.f1, score.ece, score.log_loss)
    assert score.cases == 0
    assert all(math.isnan(figure) for figure in figures)


def test_a_band_with_few_cases_tells_its_accuracy_alone() -> None:
    few = score_choice_band("0-48", sexes("fm"), male(0.1, 0.9), SEXES)
    enough = score_choice_band("0-48", sexes("fm" * FEW), male(*[0.1, 0.9] * FEW), SEXES)

    assert (few.cases, few.accuracy, enough.accuracy) == (2, 1.0, 1.0)
    assert math.isnan(few.auroc)
    assert (enough.auroc, enough.f1) == (1.0, 1.0)
    assert enough.ece == pytest.approx(0.1)
