from __future__ import annotations

import math

import numpy as np
import pytest

from data.domain import Prediction
from data.errors import ModelError
from tests.unit.trainer.cases import BONE_AGE, FRACTURE
from trainer.calibration import Calibration
from trainer.raw_outputs import RawOutputs, to_units
from trainer.readout import confidence, predictions
from trainer.targets import Norm

SURE = Calibration(0.9, {"age_months": 2.0}, {"sex": 1.0})


def read(
    centre: float = 100.0,
    spread: float = 5.0,
    logits: tuple[float, float] = (0.0, 0.0),
    calibration: Calibration = SURE,
) -> Prediction:
    raw = RawOutputs(
        {"age_months": (np.asarray([centre]), np.asarray([spread]))}, {"sex": np.asarray([logits])}
    )
    return predictions(BONE_AGE.targets, "age_months", raw, calibration, ["id"], "v0001-0")[0]


def test_the_interval_reaches_the_quantile_times_the_spread_to_both_sides() -> None:
    prediction = read(centre=100.0, spread=5.0)

    assert prediction.values["age_months"] == 100.0
    assert prediction.intervals["age_months"] == (90.0, 110.0)
    assert (prediction.coverage, prediction.radiograph_id) == (0.9, "id")


def test_intervals_are_rounded_outwards() -> None:
    assert read(centre=100.0, spread=1.00251).intervals["age_months"] == (97.99, 102.01)


def test_value_and_interval_stay_in_the_range_of_the_target() -> None:
    prediction = read(centre=245.0, spread=5.0)

    assert prediction.values["age_months"] == 240.0
    assert prediction.intervals["age_months"] == (235.0, 240.0)


def test_without_calibration_the_interval_is_the_whole_range() -> None:
    assert read(calibration=Calibration(0.9, {"age_months": math.inf})).intervals == {
        "age_months": (0.0, 240.0)
    }


def test_probabilities_are_the_softmax_of_the_cooled_logits() -> None:
    # ln 9 / 2 = ln 3: 3 to 1.
    prediction = read(
        logits=(math.log(9), 0.0), calibration=Calibration(0.9, {"age_months": 2.0}, {"sex": 2.0})
    )

    assert prediction.probabilities["sex"] == {"female": 0.75, "male": 0.25}
    assert prediction.values["sex"] == "female"


def test_rounded_probabilities_still_sum_to_one() -> None:
    raw = RawOutputs({"severity": (np.ones(1), np.ones(1))}, {"finding": np.asarray([[0.5, 0.1]])})

    prediction = predictions(
        FRACTURE.targets, "severity", raw, Calibration(0.9), ["id"], "v0001-0"
    )[0]

    assert sum(prediction.probabilities["finding"].values()) == 1.0


def test_a_target_that_does_not_apply_is_left_out() -> None:
    raw = RawOutputs(
        {"severity": (np.ones(2), np.ones(2))}, {"finding": np.asarray([[3.0, 0.0], [0.0, 3.0]])}
    )

    normal, broken = predictions(
        FRACTURE.targets, "severity", raw, Calibration(0.9), ["a", "b"], "v0001-0"
    )

    assert normal.values == {"finding": "normal"}
    assert normal.intervals == {}
    assert broken.values == {"finding": "fracture", "severity": 1.0}


@pytest.mark.parametrize("more_sure", [{"spread": 2.0}, {"logits": (5.0, 0.0)}])
def test_confidence_grows_as_any_uncertainty_falls(more_sure: dict[str, float]) -> None:
    assert read(**more_sure).confidence > read().confidence  # type: ignore[arg-type]


def test_confidence_is_the_free_share_of_the_range_times_the_top_probability() -> None:
    # Interval 20 of 240 months wide, a coin for the sex: (1 - 20 / 240) x 0.5.
    assert read().confidence == round((1 - 20 / 240) * 0.5, 4)
    assert confidence(0.25, []) == 0.75


def test_cases_can_be_ranked_before_there_is_a_calibration() -> None:
    none = Calibration(0.9, {"age_months": math.inf})

    assert read(spread=2.0, calibration=none).confidence > (
        read(spread=8.0, calibration=none).confidence
    )


def test_outputs_are_brought_back_to_the_unit_of_the_target() -> None:
    # Location 2 sd above a mean of 100 with sd 30; log-spread 0 is one sd.
    outputs = [np.asarray([[2.0, 0.0]], np.float32), np.asarray([[1.0, -1.0]], np.float32)]

    raw = to_units(BONE_AGE.targets, outputs, {"age_months": Norm(100.0, 30.0)})

    centre, spread = raw.numbers["age_months"]
    assert (float(centre[0]), float(spread[0])) == (160.0, 30.0)
    assert raw.logits["sex"].tolist() == [[1.0, -1.0]]


def test_an_answer_that_is_not_finite_is_an_error_and_never_a_value() -> None:
    outputs = [np.asarray([[math.nan, 0.0]], np.float32), np.zeros((1, 2), np.float32)]

    with pytest.raises(ModelError, match="not finite"):
        to_units(BONE_AGE.targets, outputs, {"age_months": Norm(100.0, 30.0)})
