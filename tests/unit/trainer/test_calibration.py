from __future__ import annotations

import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.trainer.cases import AGE, BONE_AGE, FRACTURE, SEX
from trainer.answers.calibration import (
    Calibration,
    Line,
    calibrate,
    conformal_quantile,
    fit_line,
    fit_temperature,
)
from trainer.answers.grouping import Grouping
from trainer.answers.raw_outputs import RawOutputs
from trainer.evaluation.bands import bands_of
from trainer.options import TrainOptions

NO_BANDS = Grouping("age_months")


def features(count: int) -> NDArray[np.float32]:
    return np.zeros((count, 3), np.float32)


@pytest.mark.parametrize(
    ("count", "coverage", "rank"),
    [
        # ceil((n + 1) coverage), worked out by hand.
        pytest.param(9, 0.9, 9, id="10 x 0.9 = 9"),
        pytest.param(10, 0.9, 10, id="11 x 0.9 = 9.9"),
        pytest.param(19, 0.9, 18, id="20 x 0.9 = 18"),
        pytest.param(99, 0.9, 90, id="100 x 0.9 = 90"),
        pytest.param(99, 0.5, 50, id="100 x 0.5 = 50"),
        pytest.param(100, 0.95, 96, id="101 x 0.95 = 95.95"),
    ],
)
def test_the_quantile_is_the_score_of_the_promised_rank(
    count: int, coverage: float, rank: int
) -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1.0, count + 1))

    assert conformal_quantile(scores, coverage) == rank


@pytest.mark.parametrize(("count", "coverage"), [(0, 0.9), (8, 0.9), (18, 0.95)])
def test_too_few_cases_promise_nothing(count: int, coverage: float) -> None:
    assert conformal_quantile(np.ones(count), coverage) == math.inf


def test_intervals_cover_new_cases_as_often_as_promised() -> None:
    # Exchangeable scores: the expected coverage is 90/100 with 99 calibration cases.
    rng = np.random.default_rng(1)
    covered = [
        np.mean(rng.exponential(size=200) <= conformal_quantile(rng.exponential(size=99), 0.9))
        for _ in range(400)
    ]

    assert abs(float(np.mean(covered)) - 0.9) < 0.005


def test_residuals_are_measured_in_predicted_spreads() -> None:
    # Errors 1..19 months with spreads that are half as large: every score is 2.
    errors = np.arange(1.0, 20)
    raw = RawOutputs({"age_months": (100 + errors, errors / 2)}, {}, features(19))

    fitted = calibrate((AGE,), raw, [{"age_months": 100.0}] * 19, TrainOptions(), NO_BANDS)

    assert fitted.quantiles == {"age_months": 2.0}
    assert fitted.cases == {"age_months": 19}


def test_cases_without_a_label_calibrate_nothing() -> None:
    raw = RawOutputs(
        {"severity": (np.asarray([10.0, 99.0]), np.ones(2))},
        {"finding": np.zeros((2, 2))},
        features(2),
    )
    truths = [{"finding": "fracture", "severity": 10.0}, {"finding": "normal", "severity": 3.0}]

    fitted = calibrate(FRACTURE.targets, raw, truths, TrainOptions(), Grouping("severity"))

    assert fitted.cases == {"finding": 2, "severity": 1}


def test_the_temperature_makes_confidence_what_accuracy_is() -> None:
    # Logit 4 for the answer, right in 3 of 4 cases: sigmoid(4 / T) = 0.75, so T = 4 / ln 3.
    logits = np.tile([4.0, 0.0], (40, 1))
    labels = np.asarray([0, 0, 0, 1] * 10)

    assert abs(fit_temperature(logits, labels) - 4 / math.log(3)) < 1e-6


def test_the_temperature_is_left_alone_with_few_cases() -> None:
    assert fit_temperature(np.tile([4.0, 0.0], (19, 1)), np.zeros(19, np.int64)) == 1.0


def test_the_temperature_stays_in_its_range_where_every_answer_is_right() -> None:
    assert abs(fit_temperature(np.tile([4.0, 0.0], (20, 1)), np.zeros(20, np.int64)) - 0.25) < 1e-9


def test_no_calibration_cases_give_whole_ranges_and_plain_probabilities() -> None:
    raw = RawOutputs(
        {"age_months": (np.zeros(0), np.zeros(0))}, {"sex": np.zeros((0, 2))}, features(0)
    )

    fitted = calibrate((AGE, SEX), raw, [], TrainOptions(), NO_BANDS)

    assert fitted.quantiles == {"age_months": math.inf}
    assert fitted.temperatures == {"sex": 1.0}


def test_a_calibration_survives_json_infinity_included() -> None:
    fitted = Calibration(
        0.9,
        {"age_months": math.inf},
        {"female 0-120": 1.5},
        {"age_months": Line(1.0, 0.9)},
        {"sex": 1.5},
        {"age_months": 3},
        (None, 2.0),
        Calibration(0.9, {"age_months": math.inf}),
    )

    text = json.dumps(fitted.to_json(), allow_nan=False)

    assert Calibration.from_json(json.loads(text)) == fitted


def test_a_straight_error_is_found_and_taken_back() -> None:
    # The model tells 10 + 0.9 x truth: truth = (told - 10) / 0.9.
    truth = np.linspace(20, 200, 40)
    line = fit_line(10 + 0.9 * truth, truth)

    assert line.slope == pytest.approx(1 / 0.9)
    np.testing.assert_allclose(line.corrected(10 + 0.9 * truth), truth)


def test_a_model_that_has_learnt_nothing_is_not_blown_up() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 200, 50)

    assert fit_line(100 + truth * 1e-3, truth).slope == 1.25
    assert fit_line(np.full(50, 90.0), truth).slope == 1.0


@pytest.mark.parametrize("corrected", [False, True])
def test_a_correction_is_fitted_only_where_it_is_wished(corrected: bool) -> None:
    truth = np.linspace(20, 200, 40)
    raw = RawOutputs({"age_months": (truth - 6, np.ones(40))}, {}, features(40))
    options = TrainOptions(bias_correction=corrected)

    fitted = calibrate((AGE,), raw, [{"age_months": t} for t in truth], options, NO_BANDS)

    assert fitted.quantiles["age_months"] == pytest.approx(0 if corrected else 6, abs=1e-9)
    assert (fitted.lines.get("age_months") is not None) == corrected


def test_bands_with_enough_cases_get_quantiles_of_their_own() -> None:
    # 40 girls up to 120 months err by 4, 40 boys above by 8, 10 girls above are too few.
    told = np.concatenate([np.full(40, 60.0), np.full(40, 180.0), np.full(10, 180.0)])
    errors = np.concatenate([np.full(40, 4.0), np.full(40, 8.0), np.full(10, 1.0)])
    girl = np.concatenate([np.ones(40), np.zeros(40), np.ones(10)])
    raw = RawOutputs(
        {"age_months": (told, np.full(90, 2.0))},
        {"sex": np.stack([girl, 1 - girl], 1) * 5},
        features(90),
    )
    truths = [{"age_months": float(t)} for t in told - errors]
    grouping = Grouping("age_months", tuple(bands_of(BONE_AGE)), SEX)

    fitted = calibrate((AGE,), raw, truths, TrainOptions(), grouping)

    assert fitted.band_quantiles == {"female 0-120": 2.0, "male 120-240": 4.0}


def test_a_band_too_small_for_a_high_promise_has_the_interval_of_all() -> None:
    # ceil(41 x 0.99) = 41 of 40 girls, but ceil(121 x 0.99) = 120 of 120 cases.
    told = np.concatenate([np.full(40, 60.0), np.full(80, 180.0)])
    raw = RawOutputs(
        {"age_months": (told, np.full(120, 2.0))},
        {"sex": np.tile([5.0, 0.0], (120, 1))},
        features(120),
    )
    truths = [{"age_months": float(t)} for t in told - 4]
    grouping = Grouping("age_months", tuple(bands_of(BONE_AGE)), SEX)

    fitted = calibrate((AGE,), raw, truths, TrainOptions(coverage=0.99), grouping)

    assert (fitted.quantiles, fitted.band_quantiles) == ({"age_months": 2.0}, {})
    json.dumps(fitted.to_json(), allow_nan=False)
