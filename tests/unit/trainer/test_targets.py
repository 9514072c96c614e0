from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from data.errors import InvalidInputError, TrainingError
from tests.unit.trainer.cases import BONE_AGE, FRACTURE, SEX
from trainer.inputs.targets import Norm, encode, encode_known, fit_norms, trained_targets
from trainer.network.heads import heads_of
from trainer.options import TrainOptions


def test_a_number_is_normalised_by_the_training_labels() -> None:
    # Mean of 60 and 120 is 90, standard deviation 30.
    rows = [{"age_months": 60.0, "sex": "female"}, {"age_months": 120.0, "sex": "male"}]

    norms = fit_norms(BONE_AGE.targets, rows)

    assert norms == {"age_months": Norm(90.0, 30.0)}
    np.testing.assert_allclose(encode(BONE_AGE.targets, rows, norms), [[-1, 0], [1, 1]])


def test_an_absent_label_is_not_a_number() -> None:
    codes = encode(BONE_AGE.targets, [{"sex": "male"}], {"age_months": Norm(90.0, 30.0)})

    assert math.isnan(codes[0, 0])
    assert codes[0, 1] == 1


def test_a_label_whose_target_does_not_apply_is_left_out() -> None:
    rows = [
        {"finding": "fracture", "severity": 10.0},
        {"finding": "fracture", "severity": 20.0},
        {"finding": "normal", "severity": 49.0},
    ]

    norms = fit_norms(FRACTURE.targets, rows)
    codes = encode(FRACTURE.targets, rows, norms)

    assert norms["severity"] == Norm(15.0, 5.0)
    np.testing.assert_allclose(codes, [[1, -1], [1, 1], [0, math.nan]])


def test_a_softmax_over_one_class_is_refused() -> None:
    rows = [{"age_months": float(i), "sex": "male"} for i in range(20)]

    with pytest.raises(TrainingError, match="All 20 training labels of sex are male"):
        fit_norms(BONE_AGE.targets, rows)


def test_numbers_that_are_all_the_same_are_refused() -> None:
    rows = [{"age_months": 100.0, "sex": s} for s in ("male", "female")]

    with pytest.raises(TrainingError, match="age_months"):
        fit_norms(BONE_AGE.targets, rows)


def test_a_target_without_labels_is_refused() -> None:
    with pytest.raises(TrainingError, match="No training image has a label for age_months"):
        fit_norms(BONE_AGE.targets, [{"sex": "male"}, {"sex": "female"}])


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"sex": "unknown"}, id="no such choice"),
        pytest.param({"age_months": math.nan}, id="not a number"),
        pytest.param({"age_months": "twelve"}, id="text"),
    ],
)
def test_an_impossible_label_is_refused(row: dict[str, float | str]) -> None:
    with pytest.raises(TrainingError):
        encode(BONE_AGE.targets, [row], {"age_months": Norm(0.0, 1.0)})


def test_a_choice_has_one_output_per_class() -> None:
    (head,) = heads_of([replace(SEX, choices=("a", "b", "c"))], {}, TrainOptions())

    assert head.outputs == 3


def test_what_is_known_is_one_hot_and_a_row_of_zeros_where_it_is_not() -> None:
    codes = encode_known(SEX, [{"sex": "male"}, {}, {"sex": "female"}])

    np.testing.assert_array_equal(codes, [[0, 1], [0, 0], [1, 0]])


def test_nothing_is_fed_where_no_target_is() -> None:
    assert encode_known(None, [{"sex": "male"}]).shape == (1, 0)


def test_a_known_value_that_is_no_choice_is_refused_by_name() -> None:
    with pytest.raises(InvalidInputError, match="sex is 'x', but must be one of female, male"):
        encode_known(SEX, [{"sex": "x"}])


def test_of_one_sex_alone_the_sex_is_no_question() -> None:
    told = trained_targets(BONE_AGE, TrainOptions(only="sex=female"))

    assert [target.name for target in told] == ["age_months"]


def test_what_applies_to_the_chosen_cases_alone_applies_to_all_of_them() -> None:
    (severity,) = trained_targets(FRACTURE, TrainOptions(only="finding=fracture"))

    assert (severity.name, severity.applies_when) == ("severity", None)


def test_only_the_input_is_told_where_that_is_wished() -> None:
    spec = replace(BONE_AGE, input="sex")

    assert trained_targets(spec, TrainOptions(input_mode="only")) == (SEX,)


@pytest.mark.parametrize("only", ["sex=unknown", "age_months=5", "finding=normal"])
def test_cases_that_the_task_does_not_have_are_refused(only: str) -> None:
    with pytest.raises(TrainingError, match="to train on alone"):
        trained_targets(BONE_AGE, TrainOptions(only=only))


@pytest.mark.parametrize("mode", ["input", "explicit", "only"])
def test_a_task_without_an_input_cannot_be_fed_one(mode: str) -> None:
    with pytest.raises(TrainingError, match="names no input"):
        trained_targets(BONE_AGE, TrainOptions(input_mode=mode))
