from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from data.domain import Prediction
from data.errors import ModelError
from tests.unit.trainer.cases import AGE, BONE_AGE, FRACTURE, SEX
from trainer.answers.calibration import Calibration, Line
from trainer.answers.grouping import Grouping
from trainer.answers.raw_outputs import RawOutputs, mean_of_models, to_units
from trainer.answers.readout import Asked, confidence, predictions
from trainer.evaluation.bands import bands_of
from trainer.inputs.targets import Norm, encode_known
from trainer.network.heads import heads_of
from trainer.options import TrainOptions

SURE = Calibration(0.9, {"age_months": 2.0}, temperatures={"sex": 1.0})
HEADS = heads_of(BONE_AGE.targets, {"age_months": Norm(100.0, 30.0)}, TrainOptions())
BREAKS = Asked(FRACTURE.targets, "severity", Calibration(0.9), "v0001-0")
NO_BANDS = Grouping("age_months")


def features(count: int) -> NDArray[np.float32]:
    return np.zeros((count, 3), np.float32)


def read(
    centre: float = 100.0,
    spread: float = 5.0,
    logits: tuple[float, float] = (0.0, 0.0),
    calibration: Calibration = SURE,
) -> Prediction:
    raw = RawOutputs(
        {"age_months": (np.asarray([centre]), np.asarray([spread]))},
        {"sex": np.asarray([logits])},
        features(1),
    )
    asked = Asked(BONE_AGE.targets, "age_months", calibration, "v0001-0")
    return predictions(asked, raw, ["id"], NO_BANDS)[0]


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
        logits=(math.log(9), 0.0),
        calibration=Calibration(0.9, {"age_months": 2.0}, temperatures={"sex": 2.0}),
    )

    assert prediction.probabilities["sex"] == {"female": 0.75, "male": 0.25}
    assert prediction.values["sex"] == "female"


def test_rounded_probabilities_still_sum_to_one() -> None:
    raw = RawOutputs(
        {"severity": (np.ones(1), np.ones(1))}, {"finding": np.asarray([[0.5, 0.1]])}, features(1)
    )

    prediction = predictions(BREAKS, raw, ["id"], Grouping("severity"))[0]

    assert sum(prediction.probabilities["finding"].values()) == 1.0


def test_a_target_that_does_not_apply_is_left_out() -> None:
    raw = RawOutputs(
        {"severity": (np.ones(2), np.ones(2))},
        {"finding": np.asarray([[3.0, 0.0], [0.0, 3.0]])},
        features(2),
    )

    normal, broken = predictions(BREAKS, raw, ["a", "b"], Grouping("severity"))

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

    raw = to_units(HEADS, outputs, features(1))

    centre, spread = raw.numbers["age_months"]
    assert (float(centre[0]), float(spread[0])) == (160.0, 30.0)
    assert raw.logits["sex"].tolist() == [[1.0, -1.0]]


def test_an_answer_that_is_not_finite_is_an_error_and_never_a_value() -> None:
    outputs = [np.asarray([[math.nan, 0.0]], np.float32), np.zeros((1, 2), np.float32)]

    with pytest.raises(ModelError, match="not finite"):
        to_units(HEADS, outputs, features(1))


def bands(narrow: float) -> Calibration:
    return Calibration(0.9, {"age_months": 2.0}, {"female 0-120": narrow}, temperatures={"sex": 1})


def read_fed(
    known: dict[str, str] | None, predicts: bool, calibration: Calibration = SURE
) -> Prediction:
    """A film of 100 months that shows a girl, as a model that is fed the sex tells it."""
    raw = RawOutputs(
        {"age_months": (np.asarray([100.0]), np.asarray([5.0]))},
        {"sex": np.asarray([[3.0, 0.0]])},
        features(1),
    )
    asked = Asked(BONE_AGE.targets, "age_months", calibration, "v0001-0", "sex", predicts)
    fed = encode_known(SEX, [known or {}])
    grouping = Grouping("age_months", tuple(bands_of(BONE_AGE)), SEX, fed)
    return predictions(asked, raw, ["id"], grouping, [known] if known else None)[0]


def test_a_band_with_its_own_quantile_has_its_own_interval() -> None:
    assert read_fed(None, True, bands(1.0)).intervals["age_months"] == (95.0, 105.0)


def test_a_recorded_sex_decides_the_band_whatever_the_film_shows() -> None:
    prediction = read_fed({"sex": "male"}, True, bands(1.0))

    assert prediction.intervals["age_months"] == (90.0, 110.0)
    assert prediction.values["sex"] == "female"


def test_films_of_unknown_sex_have_the_intervals_that_were_fitted_without_it() -> None:
    apart = Calibration(0.9, {"age_months": 4.0}, lines={"age_months": Line(10.0, 1.0)})
    calibration = replace(SURE, withheld=apart)

    told, withheld = (read_fed(known, True, calibration) for known in ({"sex": "female"}, None))

    assert told.intervals["age_months"] == read_fed({"sex": "female"}, True).intervals["age_months"]
    assert withheld.values["age_months"] == 110.0
    assert withheld.intervals["age_months"] == (90.0, 130.0)


@pytest.mark.parametrize(
    ("known", "predicts", "used", "predicted"),
    [
        pytest.param({"sex": "male"}, True, {"sex": "male"}, (), id="recorded"),
        pytest.param(None, True, {"sex": "female"}, ("sex",), id="predicted"),
        pytest.param(None, False, {}, (), id="withheld"),
    ],
)
def test_a_prediction_says_what_was_fed_and_whether_it_was_predicted(
    known: dict[str, str] | None,
    predicts: bool,
    used: dict[str, str],
    predicted: tuple[str, ...],
) -> None:
    prediction = read_fed(known, predicts)

    assert (prediction.used, prediction.predicted_inputs) == (used, predicted)


def test_a_line_corrects_the_number_and_moves_its_interval() -> None:
    # 10 + 0.9 x 100 = 100; x 80 = 82.
    line = Calibration(0.9, {"age_months": 2.0}, lines={"age_months": Line(10.0, 0.9)})

    corrected = read(centre=80.0, calibration=line)

    assert corrected.values["age_months"] == 82.0
    assert corrected.intervals["age_months"] == (72.0, 92.0)


def test_the_mean_of_models_is_unsure_of_what_they_disagree_about() -> None:
    # Centres 90 and 110, spreads 6 and 8: mean 100, sqrt((36 + 64) / 2 + 100).
    one, other = (
        RawOutputs(
            {"age_months": (np.asarray([centre]), np.asarray([spread]))},
            {"sex": np.log(np.asarray([[chance, 1 - chance]]))},
            np.asarray([[3.0, 4.0]], np.float32),
        )
        for centre, spread, chance in ((90.0, 6.0, 0.9), (110.0, 8.0, 0.5))
    )

    mixed = mean_of_models([one, other])

    centre, spread = mixed.numbers["age_months"]
    assert (float(centre[0]), float(spread[0])) == (100.0, pytest.approx(math.sqrt(150)))
    np.testing.assert_allclose(np.exp(mixed.logits["sex"]), [[0.7, 0.3]])
    np.testing.assert_allclose(mixed.features, [[0.6, 0.8, 0.6, 0.8]])


def test_a_distribution_is_read_as_its_expectation_and_standard_deviation() -> None:
    # Bins every 2 months over 0..240; all weight on 100 and 104, evenly: 102, sd 2.
    options = TrainOptions(number_head="distribution", bin_width=2.0)
    (head,) = heads_of([AGE], {"age_months": Norm(100.0, 30.0)}, options)
    logits = np.full((1, 121), -1e3, np.float32)
    logits[0, [50, 52]] = 0

    centre, spread = to_units([head], [logits], features(1)).numbers["age_months"]

    assert (head.outputs, len(head.bins)) == (121, 121)
    assert float(centre[0]) == pytest.approx(102.0)
    assert float(spread[0]) == pytest.approx(2.0)
