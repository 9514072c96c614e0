from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from data.errors import TrainingError
from tests.unit.trainer.cases import BONE_AGE, FRACTURE, SEX
from trainer.targets import Norm, encode, fit_norms, outputs_of


def test_a_number_is_normalised_by_the_training_labels() -> None:
    # Mean of 60 and 120 is 90, standard deviation 30.
    rows = [{"age_months": 60.0, "sex": "female"}, {"age_months": 120.0, "sex": "male"}]

    norms = fit_norms(BONE_AGE, rows)

    assert norms == {"age_months": Norm(90.0, 30.0)}
    np.testing.assert_allclose(encode(BONE_AGE, rows, norms), [[-1, 0], [1, 1]])


def test_an_absent_label_is_not_a_number() -> None:
    codes = encode(BONE_AGE, [{"sex": "male"}], {"age_months": Norm(90.0, 30.0)})

    assert math.isnan(codes[0, 0])
    assert codes[0, 1] == 1


def test_a_label_whose_target_does_not_apply_is_left_out() -> None:
    rows = [
        {"finding": "fracture", "severity": 10.0},
        {"finding": "fracture", "severity": 20.0},
        {"finding": "normal", "severity": 49.0},
    ]

    norms = fit_norms(FRACTURE, rows)
    codes = encode(FRACTURE, rows, norms)

    assert norms["severity"] == Norm(15.0, 5.0)
    np.testing.assert_allclose(codes, [[1, -1], [1, 1], [0, math.nan]])


def test_a_softmax_over_one_class_is_refused() -> None:
    rows = [{"age_months": float(i), "sex": "male"} for i in range(20)]

    with pytest.raises(TrainingError, match="All 20 training labels of sex are male"):
        fit_norms(BONE_AGE, rows)


def test_numbers_that_are_all_the_same_are_refused() -> None:
    rows = [{"age_months": 100.0, "sex": s} for s in ("male", "female")]

    with pytest.raises(TrainingError, match="age_months"):
        fit_norms(BONE_AGE, rows)


def test_a_target_without_labels_is_refused() -> None:
    with pytest.raises(TrainingError, match="No training image has a label for age_months"):
        fit_norms(BONE_AGE, [{"sex": "male"}, {"sex": "female"}])


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
        encode(BONE_AGE, [row], {"age_months": Norm(0.0, 1.0)})


def test_a_choice_has_one_output_per_class() -> None:
    assert outputs_of(replace(SEX, choices=("a", "b", "c"))) == 3
