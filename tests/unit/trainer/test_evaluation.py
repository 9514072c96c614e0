from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from tests.unit.trainer.cases import AGE, BONE_AGE, FINDING, FRACTURE, SEX, told, truth
from trainer.evaluation.bands import bands_of
from trainer.evaluation.bootstrap import mean_interval
from trainer.evaluation.evaluation import compare, evaluate

LEARNT = [truth(80.0), truth(100.0), truth(120.0, "male")]
"""Means: girls 90, boys 120, all 100."""

TRUTHS = {
    "a": truth(100.0, "female"),
    "b": truth(100.0, "male"),
    "c": truth(150.0, "male"),
    "d": truth(200.0, "female"),
}
TOLD = {
    "a": told(104.0, 90.0, 110.0, female=0.9),  # 4 too old
    "b": told(90.0, 80.0, 99.0, female=0.6),  # 10 too young, outside its interval
    "c": told(170.0, 140.0, 180.0, female=0.2),  # 20 too old
    "d": told(170.0, 150.0, 190.0, female=0.8),  # 30 too young, outside its interval
}


def test_the_figures_are_those_worked_out_by_hand() -> None:
    result = evaluate(BONE_AGE, TOLD, TRUTHS, LEARNT)

    assert result.cases == 4
    assert result.mae == (4 + 10 + 20 + 30) / 4
    assert result.main.bias == (4 - 10 + 20 - 30) / 4
    assert result.main.rmse == math.sqrt((16 + 100 + 400 + 900) / 4)
    assert result.main.within == {"6": 0.25, "12": 0.5, "24": 0.75}
    assert (result.main.coverage, result.main.promised_coverage) == (0.5, 0.9)
    assert result.main.interval_width == (20 + 19 + 40 + 40) / 4


def test_the_correlation_is_pearsons() -> None:
    # Deviations of the truth (-37.5, -37.5, 12.5, 62.5) and of the answers
    # (-29.5, -43.5, 36.5, 36.5) from their means.
    expected = (1106.25 + 1631.25 + 456.25 + 2281.25) / math.sqrt(6875 * 5427)

    assert evaluate(BONE_AGE, TOLD, TRUTHS, LEARNT).main.r == pytest.approx(expected)


def test_the_baseline_is_the_mean_of_the_training_labels_of_the_same_sex() -> None:
    # Girls 90: |100 - 90|, |200 - 90|; boys 120: |100 - 120|, |150 - 120|.
    result = evaluate(BONE_AGE, TOLD, TRUTHS, LEARNT)

    assert result.baseline_mae == (10 + 110 + 20 + 30) / 4


def test_the_baseline_is_the_overall_mean_where_a_sex_was_never_seen() -> None:
    result = evaluate(BONE_AGE, TOLD, {"b": TRUTHS["b"]}, [truth(80.0), truth(110.0)])

    assert result.baseline_mae == abs(100 - 95)


def test_choices_are_judged_by_their_accuracy() -> None:
    # Right: a, c, d. Girls 2 of 2, boys 1 of 2; two of three training labels are female.
    score = evaluate(BONE_AGE, TOLD, TRUTHS, LEARNT).choices["sex"]

    assert (score.cases, score.accuracy, score.balanced_accuracy) == (4, 0.75, 0.75)
    assert score.baseline_accuracy == 0.5
    expected = -(math.log(0.9) + math.log(0.4) + math.log(0.8) + math.log(0.8)) / 4
    assert score.log_loss == pytest.approx(expected)


def test_each_band_of_age_and_sex_has_its_own_error() -> None:
    bands = {band.name: band for band in evaluate(BONE_AGE, TOLD, TRUTHS, LEARNT).main.bands}

    assert {name: (band.cases, band.mae) for name, band in bands.items() if band.cases} == {
        "female 0-120": (1, 4.0),
        "female 120-240": (1, 30.0),
        "male 0-120": (1, 10.0),
        "male 120-240": (1, 20.0),
    }


@pytest.mark.parametrize(
    ("age", "name"),
    [(0.0, "female 0-120"), (119.9, "female 0-120"), (120.0, "female 120-240"),
     (240.0, "female 120-240")],
)  # fmt: skip
def test_a_band_begins_with_its_lower_edge_and_the_last_one_ends_with_its_upper(
    age: float, name: str
) -> None:
    held = [band.name for band in bands_of(BONE_AGE) if band.holds("age_months", truth(age))]

    assert held == [name]


def test_cases_without_a_prediction_are_counted_as_missing() -> None:
    result = evaluate(BONE_AGE, {"a": TOLD["a"]}, TRUTHS, LEARNT)

    assert (result.cases, result.missing) == (1, 3)


def test_truths_that_lack_a_target_are_judged_by_the_others() -> None:
    result = evaluate(BONE_AGE, TOLD, {"a": {"sex": "female"}, "b": TRUTHS["b"]}, LEARNT)

    assert result.cases == 1
    assert result.choices["sex"].cases == 2


def test_a_target_that_does_not_apply_is_not_judged() -> None:
    healthy = replace(
        told(0.0), values={"finding": "normal"}, probabilities={"finding": {"normal": 1.0}}
    )

    result = evaluate(FRACTURE, {"x": healthy}, {"x": {"finding": "normal", "severity": 9.0}}, [])

    assert result.numbers["severity"].cases == 0
    assert result.choices["finding"].accuracy == 1.0


def test_no_cases_give_no_figures_and_still_json() -> None:
    result = evaluate(BONE_AGE, {}, {}, [])

    plain = json.loads(json.dumps(result.to_json(), allow_nan=False))

    assert math.isnan(result.mae)
    assert (plain["cases"], plain["mae"], plain["mae_ci95"]) == (0, None, [None, None])


def test_json_has_the_primary_targets_figures_on_top() -> None:
    plain = json.loads(json.dumps(evaluate(BONE_AGE, TOLD, TRUTHS, LEARNT).to_json()))

    assert (plain["mae"], plain["cases"], plain["baseline_mae"]) == (16.0, 4, 42.5)
    assert plain["accuracy"] == {"sex": 0.75}
    assert plain["numbers"]["age_months"]["within"]["12"] == 0.5


def test_the_bootstrap_interval_is_that_of_the_normal_distribution_for_many_cases() -> None:
    # Standard error of the mean: 10 / sqrt(2500) = 0.2, so the interval is 0.39 to both sides.
    values = np.random.default_rng(3).normal(50, 10, 2500)

    low, high = mean_interval(values)

    assert values.mean() - low == pytest.approx(1.96 * 0.2, abs=0.03)
    assert high - values.mean() == pytest.approx(1.96 * 0.2, abs=0.03)


def test_the_bootstrap_gives_the_same_interval_again() -> None:
    values = np.random.default_rng(4).normal(size=40)

    assert mean_interval(values) == mean_interval(values)


def test_the_bootstrap_of_equal_values_has_no_width() -> None:
    assert mean_interval(np.full(7, 3.0)) == (3.0, 3.0)


def test_two_models_are_compared_case_by_case() -> None:
    # Absolute errors 4, 10, 20, 30 against 6, 6, 26, 26: differences -2, 4, -6, 4.
    champion = {"a": told(106.0), "b": told(106.0), "c": told(124.0), "d": told(226.0)}

    result = compare(BONE_AGE, TOLD, champion, TRUTHS)

    assert (result.cases, result.mean_difference) == (4, 0.0)
    assert (result.new_error, result.champion_error) == (16.0, 16.0)
    assert {b.name: b.mean_difference for b in result.bands} == {
        "female 0-120": -2.0,
        "female 120-240": 4.0,
        "male 0-120": 4.0,
        "male 120-240": -6.0,
    }


def test_a_shift_that_every_case_shares_has_an_interval_without_width() -> None:
    # The paired interval does not see how much the cases differ among themselves.
    truths = {str(age): truth(float(age)) for age in range(60, 100)}
    new = {key: told(float(key) + int(key) % 9) for key in truths}
    champion = {key: told(float(key) + int(key) % 9 + 5) for key in truths}

    assert compare(BONE_AGE, new, champion, truths).ci95 == (-5.0, -5.0)


def test_only_cases_that_both_models_answered_are_compared() -> None:
    result = compare(BONE_AGE, TOLD, {"a": told(106.0)}, TRUTHS)

    assert (result.cases, result.mean_difference) == (1, -2.0)


def test_a_comparison_without_cases_is_json_without_figures() -> None:
    plain = json.loads(json.dumps(compare(BONE_AGE, {}, {}, {}).to_json(), allow_nan=False))

    assert (plain["cases"], plain["mean_difference"]) == (0, None)


def test_sexes_are_told_apart_within_ranges_of_age_not_within_one_sex() -> None:
    score = evaluate(BONE_AGE, TOLD, TRUTHS, LEARNT).choices["sex"]

    assert {band.name: (band.cases, band.accuracy) for band in score.bands} == {
        "0-120": (2, 0.5),
        "120-240": (2, 1.0),
    }


def test_a_model_that_does_not_tell_a_target_is_not_judged_by_it() -> None:
    age_only = {key: replace(said, probabilities={}) for key, said in TOLD.items()}

    result = evaluate(BONE_AGE, age_only, TRUTHS, LEARNT)

    assert (result.cases, result.choices["sex"].cases) == (4, 0)


def test_saying_that_a_target_does_not_apply_where_it_does_is_a_wrong_answer() -> None:
    depends = replace(SEX, applies_when=("finding", "fracture"))
    spec = replace(BONE_AGE, targets=(AGE, FINDING, depends))
    said = replace(TOLD["a"], probabilities={"finding": {"normal": 1.0}})

    result = evaluate(spec, {"a": said}, {"a": {"finding": "fracture", "sex": "female"}}, [])

    assert (result.choices["sex"].cases, result.choices["sex"].accuracy) == (1, 0.0)


def test_two_models_are_compared_by_their_wrong_choices_too() -> None:
    # b is wrong here and right there, d the other way round, a is wrong there alone.
    champion = {
        "a": told(100.0, female=0.1),
        "b": told(100.0, female=0.1),
        "c": told(100.0, female=0.1),
        "d": told(100.0, female=0.4),
    }

    result = compare(BONE_AGE, TOLD, champion, TRUTHS)

    assert (result.choices["sex"].cases, result.choices["sex"].mean_difference) == (4, -0.25)


def test_models_are_not_compared_by_a_choice_that_one_of_them_does_not_tell() -> None:
    girls_only = {
        key: replace(said, values={"age_months": said.values["age_months"]}, probabilities={})
        for key, said in TOLD.items()
    }

    result = compare(BONE_AGE, girls_only, TOLD, TRUTHS)

    assert (result.cases, result.choices["sex"].cases) == (4, 0)
