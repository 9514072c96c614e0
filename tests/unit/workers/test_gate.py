"""The gate: no model serves that may be worse than the champion beyond the margin."""

from __future__ import annotations

import math

import pytest

from data.domain import GateRule
from trainer.evaluation.evaluation import Comparison, Difference, Evaluation
from trainer.evaluation.scores import NumberScore
from workers.gate import judge

RULE = GateRule(
    "age_months", margin=1.0, band_margin=6.0, band_edges=(0, 120, 240), min_band_cases=15
)
GOOD_BAND = Difference("0-120 female", 40, -1.0, (-2.0, 0.5))


def evaluation(
    cases: int = 100, mae: float = 12.0, high: float = 14.0, baseline: float = 40.0
) -> Evaluation:
    fields = dict.fromkeys(NumberScore.__dataclass_fields__, math.nan)
    fields |= {"cases": cases, "mae": mae, "mae_ci95": (mae - 2, high), "baseline_mae": baseline}
    return Evaluation("age_months", {"age_months": NumberScore(**fields)}, {}, 0)  # type: ignore[arg-type]


def comparison(
    mean: float, low: float, high: float, *bands: Difference, cases: int = 100
) -> Comparison:
    return Comparison(Difference("all", cases, mean, (low, high)), bands, 12.0, 12.0 - mean)


def test_the_first_model_serves_if_it_clearly_beats_the_mean_predictor() -> None:
    decision = judge(RULE, evaluation(), None)

    assert decision.promote
    assert "12.00 against 40.00" in decision.reason


def test_a_first_model_that_may_be_no_better_than_the_mean_does_not_serve() -> None:
    assert not judge(RULE, evaluation(mae=38.0, high=41.0), None).promote


def test_a_mean_predictor_that_is_no_number_promotes_nobody() -> None:
    assert not judge(RULE, evaluation(baseline=math.nan), None).promote


def test_too_few_test_cases_decide_nothing() -> None:
    decision = judge(RULE, evaluation(cases=9), None)

    assert not decision.promote
    assert "9 labelled test radiographs" in decision.reason


@pytest.mark.parametrize(
    ("low", "high", "promoted"),
    [(-3.0, -0.1, True), (-1.0, 1.0, True), (-1.0, 1.01, False), (0.5, 3.0, False)],
    ids=["better", "within the margin", "perhaps worse than the margin", "worse"],
)
def test_the_upper_limit_of_the_difference_decides(low: float, high: float, promoted: bool) -> None:
    against = comparison((low + high) / 2, low, high, GOOD_BAND)

    assert judge(RULE, evaluation(), against).promote is promoted


def test_one_bad_band_keeps_a_model_from_serving() -> None:
    bad = Difference("120-240 male", 15, 4.0, (1.0, 6.1))

    decision = judge(RULE, evaluation(), comparison(-1.0, -2.0, 0.0, GOOD_BAND, bad))

    assert not decision.promote
    assert "120-240 male" in decision.reason


@pytest.mark.parametrize("band_only", [False, True], ids=["overall", "in a band"])
def test_a_difference_that_is_no_number_promotes_nobody(band_only: bool) -> None:
    unknown = Difference("120-240 male", 15, math.nan, (math.nan, math.nan))
    against = comparison(-1.0, -2.0, 0.0 if band_only else math.nan, unknown)

    assert not judge(RULE, evaluation(), against).promote


def test_a_band_with_few_cases_is_not_asked() -> None:
    rare = Difference("120-240 male", 14, 9.0, (1.0, 20.0))

    assert judge(RULE, evaluation(), comparison(-1.0, -2.0, 0.0, rare)).promote


def test_models_that_cannot_be_compared_are_not_promoted() -> None:
    against = comparison(math.nan, math.nan, math.nan, cases=0)

    assert not judge(RULE, evaluation(), against).promote
