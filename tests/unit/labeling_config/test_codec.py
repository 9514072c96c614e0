"""Values survive the way into Label Studio's JSON and back; what cannot be is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.domain import Prediction, Radiograph, Split, Target, TaskSpec, Value
from data.errors import InvalidInputError
from labeling_config.codec import (
    annotation_to_reading,
    prediction_to_json,
    radiograph_of_task_data,
    result_to_values,
    task_data,
    values_to_result,
)
from labeling_config.fields import checked_value
from labeling_config.tasks import load_task
from labeling_config.unreadable import unreadable_reason, unreadable_to_result
from tests.unit.labeling_config.cases import effusion

BONE_AGE = load_task("bone_age")
AGES = st.floats(0, 240)
SEXES = st.sampled_from(["female", "male"])
READINGS = st.fixed_dictionaries({}, optional={"age_months": AGES, "sex": SEXES})
RADIOGRAPH = "ab" * 32
NBSP = "\u00a0"


def region(name: str, kind: str, value: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": name, "from_name": name, "to_name": "image", "type": kind, "value": value, **more}


def number(value: Any, **more: Any) -> dict[str, Any]:
    return region("age_months", "number", {"number": value}, **more)


def choices(*values: Any, **more: Any) -> dict[str, Any]:
    return region("sex", "choices", {"choices": list(values)}, **more)


def annotation(*result: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": 7,
        "result": list(result),
        "was_cancelled": False,
        "created_at": "2026-03-01T10:00:00Z",
        "updated_at": "2026-03-01T10:05:00.250000Z",
        "lead_time": 12.5,
        "parent_prediction": None,
        **more,
    }


def reading(spec: TaskSpec, source: Mapping[str, Any]) -> Any:
    return annotation_to_reading(
        spec, source, project=3, radiograph_id=RADIOGRAPH, reader="a@example.org"
    )


@given(READINGS)
def test_values_come_back_as_they_were_written(values: dict[str, Value]) -> None:
    result = json.loads(json.dumps(values_to_result(BONE_AGE, values)))

    assert result_to_values(BONE_AGE, result) == values


@given(AGES, SEXES, st.floats(0, 1), st.floats(0.5, 1))
def test_an_accepted_prediction_is_a_reading_of_what_the_page_showed(
    age: float, sex: str, confidence: float, probability: float
) -> None:
    prediction = Prediction(
        RADIOGRAPH,
        "v0001-1a2b3c4d",
        {"age_months": age, "sex": sex},
        {"age_months": (age - 12, age + 12)},
        {"sex": {sex: probability}},
        confidence,
    )

    answer = json.loads(json.dumps(prediction_to_json(BONE_AGE, prediction)))

    assert (answer["model_version"], answer["score"]) == ("v0001-1a2b3c4d", confidence)
    assert result_to_values(BONE_AGE, answer["result"]) == {"age_months": round(age), "sex": sex}


def test_a_prediction_has_the_form_that_label_studio_documents() -> None:
    prediction = Prediction(
        RADIOGRAPH,
        "v0001-1a2b3c4d",
        {"age_months": 116.4, "sex": "female"},
        {"age_months": (103.6, 128.2)},
        {"sex": {"female": 0.93, "male": 0.07}},
        0.4,
        coverage=0.9,
        used={"sex": "female"},
        predicted_inputs=("sex",),
    )

    assert prediction_to_json(BONE_AGE, prediction) == {
        "model_version": "v0001-1a2b3c4d",
        "score": 0.4,
        "result": [
            region("age_months", "number", {"number": 116.0}, score=0.4),
            region(
                "age_months_model",
                "textarea",
                {
                    "text": [
                        "Model: 116~months (9~y~8~m)\n"
                        "90~% interval: 104–128~months\n"
                        "8~y~8~m – 10~y~8~m".replace("~", NBSP)
                    ]
                },
            ),
            region("sex", "choices", {"choices": ["female"]}, score=0.93),
            region(
                "sex_model",
                "textarea",
                {"text": [f"Not recorded; predicted: female 93{NBSP}%"]},
            ),
            region("model_version", "textarea", {"text": ["Model version v0001-1a2b3c4d"]}),
        ],
    }


def notes(prediction: Prediction) -> dict[str, str]:
    """Returns what is read below the fields."""
    result = prediction_to_json(BONE_AGE, prediction)["result"]
    return {
        r["from_name"]: r["value"]["text"][0].replace(NBSP, " ")
        for r in result
        if r["type"] == "textarea"
    }


def test_a_prediction_without_interval_shows_none() -> None:
    said = notes(Prediction(RADIOGRAPH, "v1", {"age_months": 12.0}, {}, {}, 0.4))

    assert said["age_months_model"] == "Model: 12 months (1 y 0 m)"


SEX = {"female": 0.93, "male": 0.07}
INPUTS: dict[str, tuple[dict[str, Any], str]] = {
    "recorded": (
        {"used": {"sex": "male"}},
        "Recorded with the film: male; the model sees female 93 %",
    ),
    "recorded and seen": ({"used": {"sex": "female"}}, "Recorded with the film: female"),
    "predicted": (
        {"used": {"sex": "female"}, "predicted_inputs": ("sex",)},
        "Not recorded; predicted: female 93 %",
    ),
    "withheld": ({}, "Not told to the model, which says female 93 %"),
}


@pytest.mark.parametrize(("told", "said"), INPUTS.values(), ids=INPUTS)
def test_the_reader_is_told_where_the_sex_comes_from(told: dict[str, Any], said: str) -> None:
    values = {"age_months": 12.0, "sex": "female"}

    assert notes(Prediction(RADIOGRAPH, "v1", values, {}, {"sex": SEX}, 0.4, **told))[
        "sex_model"
    ] == (said)


@pytest.mark.parametrize(
    ("told", "filled_in"),
    [
        pytest.param({"used": {"sex": "male"}}, "male", id="recorded"),
        pytest.param(
            {"used": {"sex": "male"}, "predicted_inputs": ("sex",)}, "female", id="predicted"
        ),
        pytest.param({}, "female", id="withheld"),
    ],
)
def test_a_recorded_sex_is_filled_in_whatever_the_model_sees(
    told: dict[str, Any], filled_in: str
) -> None:
    values = {"age_months": 12.0, "sex": "female"}
    said = Prediction(RADIOGRAPH, "v1", values, {}, {"sex": SEX}, 0.4, **told)

    regions = {r["from_name"]: r for r in prediction_to_json(BONE_AGE, said)["result"]}

    assert regions["sex"]["value"] == {"choices": [filled_in]}


def test_a_model_that_does_not_tell_the_sex_says_that_it_was_not_told_it_either() -> None:
    said = notes(Prediction(RADIOGRAPH, "v1", {"age_months": 12.0}, {}, {}, 0.4))

    assert said["sex_model"] == "Not told to the model"


def test_a_note_is_only_written_where_the_page_has_one(tmp_path: Path) -> None:
    spec = effusion(tmp_path)
    prediction = Prediction(
        RADIOGRAPH,
        "v1",
        {"finding": "effusion", "side": "r", "depth": 1.25},
        {"depth": (0.5, 2.0)},
        {"finding": {"normal": 0.2, "effusion": 0.8}},
        0.1,
        coverage=0.8,
    )

    result = prediction_to_json(spec, prediction)["result"]

    assert [r["from_name"] for r in result] == ["finding", "side", "depth", "depth_model"]
    assert [r["to_name"] for r in result] == ["film"] * 4
    assert result[2]["value"] == {"number": 1.25}
    said = "Model: 1.2~cm\n80~% interval: 0.5–2.0~cm".replace("~", NBSP)
    assert result[3]["value"] == {"text": [said]}


def test_a_target_that_does_not_apply_is_not_predicted(tmp_path: Path) -> None:
    prediction = Prediction(RADIOGRAPH, "v1", {"finding": "normal", "side": "r"}, {}, {}, 0.1)

    result = prediction_to_json(effusion(tmp_path), prediction)["result"]

    assert [r["from_name"] for r in result] == ["finding"]


def test_a_model_that_says_what_the_field_cannot_hold_is_refused() -> None:
    prediction = Prediction(RADIOGRAPH, "v1", {"age_months": 241.0}, {}, {}, 0.1)

    with pytest.raises(InvalidInputError, match=r"'age_months' cannot be 241"):
        prediction_to_json(BONE_AGE, prediction)


def test_fields_that_are_no_targets_are_ignored() -> None:
    note = region("age_months_model", "textarea", {"text": ["104–128 months"]})

    assert result_to_values(BONE_AGE, [note, number(100)]) == {"age_months": 100.0}


def test_a_target_that_does_not_apply_is_left_out(tmp_path: Path) -> None:
    spec = effusion(tmp_path)
    both = values_to_result(spec, {"finding": "effusion", "side": "left"})
    left_over = values_to_result(spec, {"finding": "normal", "side": "left"})

    assert result_to_values(spec, both) == {"finding": "effusion", "side": "left"}
    assert result_to_values(spec, left_over) == {"finding": "normal"}


IMPOSSIBLE = {
    "too old": (number(241), "'age_months' cannot be 241"),
    "negative": (number(-0.5), "'age_months' cannot be -0.5"),
    "not a number": (number(math.nan), "'age_months' cannot be nan"),
    "endless": (number(math.inf), "'age_months' cannot be inf"),
    "larger than any float": (number(10**400), "'age_months' cannot be inf"),
    "text": (number("116"), "'age_months' cannot be '116'"),
    "truth": (number(True), "'age_months' cannot be True"),
    "list": (number([116]), r"'age_months' cannot be \[116\]"),
    "unknown choice": (choices("Female"), "'sex' cannot be 'Female'; it is one of female, male"),
    "choice of no text": (choices(1), "'sex' cannot be 1"),
    "two choices": (choices("female", "male"), "'sex' needs one choice"),
    "choice without a list": (region("sex", "choices", {"choices": "male"}), "needs one choice"),
    "no value": ({"from_name": "sex", "value": None}, "'sex' has no value"),
}


@pytest.mark.parametrize(("item", "said"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_an_impossible_value_is_refused_by_name(item: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        result_to_values(BONE_AGE, [item])


def test_even_a_field_without_limits_holds_finite_numbers_only() -> None:
    with pytest.raises(InvalidInputError, match="from -inf to inf"):
        checked_value(Target("depth", "number"), math.inf)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_no_result_of_another_form_gets_through(result: Any) -> None:
    try:
        values = result_to_values(BONE_AGE, result)
    except InvalidInputError:
        return
    assert result == []
    assert values == {}


def test_a_field_given_twice_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="given twice"):
        result_to_values(BONE_AGE, [number(100), number(101)])


@pytest.mark.parametrize("item", [number(None), choices()], ids=["number", "choice"])
def test_an_empty_field_is_absent(item: dict[str, Any]) -> None:
    assert result_to_values(BONE_AGE, [item]) == {}


def test_only_values_of_the_task_can_be_submitted() -> None:
    with pytest.raises(InvalidInputError, match="no field 'weight'"):
        values_to_result(BONE_AGE, {"weight": 3.0})
    with pytest.raises(InvalidInputError, match="'age_months'"):
        values_to_result(BONE_AGE, {"age_months": 999.0})


def test_a_reader_who_was_shown_a_prediction_confirms_or_changes_it() -> None:
    shown = {"age_months": 116.0, "sex": "female"}

    result = values_to_result(BONE_AGE, {"age_months": 116.0, "sex": "male"}, shown)

    assert [r["origin"] for r in result] == ["prediction", "prediction-changed"]


def test_an_annotation_is_a_reading() -> None:
    got = reading(BONE_AGE, annotation(number(100, origin="manual"), choices("male")))

    assert got.radiograph_id == RADIOGRAPH
    assert got.reader == "a@example.org"
    assert got.values == {"age_months": 100.0, "sex": "male"}
    assert got.annotation == "3:7"
    assert got.read_at == datetime(2026, 3, 1, 10, 5, 0, 250000, tzinfo=UTC)
    assert (got.origin, got.withdrawn, got.lead_time_s) == ("manual", False, 12.5)


ORIGINS = {
    "nothing shown": ((None, "manual", "manual"), "manual"),
    "both kept": ((5, "prediction", "prediction"), "prediction"),
    "number changed": ((5, "prediction-changed", "prediction"), "prediction-changed"),
    "choice changed, which makes a new region": ((5, "prediction", "manual"), "prediction-changed"),
    "all replaced": ((5, "manual", "manual"), "prediction-changed"),
    "shown, the link to it is gone": ((None, "prediction", "prediction"), "prediction"),
}


@pytest.mark.parametrize(("case", "origin"), ORIGINS.values(), ids=ORIGINS)
def test_the_origin_tells_confirmed_from_corrected(
    case: tuple[int | None, str, str], origin: str
) -> None:
    parent, of_number, of_choice = case
    source = annotation(
        number(100, origin=of_number),
        choices("male", origin=of_choice),
        region("age_months_model", "textarea", {"text": ["x"]}, origin="prediction"),
        parent_prediction=parent,
    )

    assert reading(BONE_AGE, source).origin == origin


def test_a_skipped_radiograph_is_withdrawn_whatever_it_holds() -> None:
    got = reading(BONE_AGE, annotation(number(999), was_cancelled=True))

    assert (got.withdrawn, got.values) == (True, {})


def test_an_empty_annotation_counts_as_skipped() -> None:
    assert reading(BONE_AGE, annotation()).withdrawn


def flag(*reasons: Any) -> dict[str, Any]:
    return region("unreadable", "choices", {"choices": list(reasons)})


def test_a_film_that_cannot_be_read_has_a_reason_and_no_values() -> None:
    # The page submits the pre-filled values with the flag, although it hides them.
    got = reading(BONE_AGE, annotation(number(100), choices("male"), flag("exposure")))

    assert (got.values, got.unreadable, got.withdrawn) == ({}, "exposure", False)


def test_a_reason_that_was_taken_back_leaves_the_values() -> None:
    got = reading(BONE_AGE, annotation(number(100), choices("male"), flag()))

    assert (got.values["age_months"], got.unreadable) == (100.0, "")


def test_a_skipped_film_is_none_that_cannot_be_read() -> None:
    got = reading(BONE_AGE, annotation(flag("exposure"), was_cancelled=True))

    assert (got.unreadable, got.withdrawn) == ("", True)


@pytest.mark.parametrize(
    "result",
    [[flag("weather")], [flag("exposure", "other")], [flag("exposure"), flag("other")]],
    ids=["unknown", "two reasons", "given twice"],
)
def test_a_reason_that_cannot_be_is_refused_by_name(result: list[dict[str, Any]]) -> None:
    with pytest.raises(InvalidInputError, match="'unreadable'"):
        reading(BONE_AGE, annotation(*result))


def test_every_reason_survives_the_way_into_label_studio_and_back() -> None:
    assert BONE_AGE.unreadable is not None
    for reason in BONE_AGE.unreadable.choices:
        result = json.loads(json.dumps(unreadable_to_result(BONE_AGE, reason)))
        assert unreadable_reason(BONE_AGE, result) == reason


def test_a_task_without_the_flag_takes_no_reason(tmp_path: Path) -> None:
    spec = effusion(tmp_path)

    assert unreadable_reason(spec, [flag("exposure")]) == ""
    with pytest.raises(InvalidInputError, match="no field for what cannot be read"):
        unreadable_to_result(spec, "exposure")


def test_a_time_without_zone_is_utc() -> None:
    got = reading(BONE_AGE, annotation(number(1), updated_at="2026-03-01T10:05:00"))

    assert got.read_at == datetime(2026, 3, 1, 10, 5, tzinfo=UTC)


@pytest.mark.parametrize("seconds", [None, -1, math.nan, "3", 10**9])
def test_a_lead_time_that_says_nothing_is_left_out(seconds: Any) -> None:
    assert reading(BONE_AGE, annotation(number(1), lead_time=seconds)).lead_time_s is None


@pytest.mark.parametrize(
    "broken",
    [{"id": None}, {"id": True}, {"updated_at": "yesterday"}, {"result": None}, {"result": [3]}],
    ids=["no id", "id is a flag", "no time", "no result", "result of numbers"],
)
def test_an_annotation_of_another_form_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        reading(BONE_AGE, {**annotation(number(1)), **broken})


def test_a_task_leads_back_to_its_radiograph() -> None:
    film = Radiograph(
        RADIOGRAPH, "0" * 16, Split.TEST, "rsna", "images/ab/ä b.png", 9, 9, datetime.now(UTC)
    )

    data = task_data(BONE_AGE, film)

    assert data["image"] == "/data/local-files/?d=images/ab/%C3%A4%20b.png"
    assert radiograph_of_task_data(BONE_AGE, data) == RADIOGRAPH


def test_a_task_tells_the_expert_nothing_but_the_image() -> None:
    film = Radiograph(
        RADIOGRAPH, "0" * 16, Split.TEST, "rsna", "images/x.png", 9, 9, datetime.now(UTC)
    )

    data = task_data(BONE_AGE, film)

    assert set(data) == {"image", "radiograph", "standards"}
    assert data["standards"] == "<p>Reference cases come with the first model.</p>"


def test_a_page_without_a_place_for_reference_cases_gets_none(tmp_path: Path) -> None:
    film = Radiograph(
        RADIOGRAPH, "0" * 16, Split.TEST, "rsna", "images/x.png", 9, 9, datetime.now(UTC)
    )

    assert set(task_data(effusion(tmp_path), film)) == {"picture", "radiograph"}


@pytest.mark.parametrize(
    "data",
    [{}, {"image": "x"}, {"radiograph": RADIOGRAPH}, {"image": "x", "radiograph": "AB" * 32}]
    + [{"image": "x", "radiograph": value} for value in (5, None, RADIOGRAPH[:-1])],
)
def test_a_task_of_somebody_else_leads_nowhere(data: dict[str, Any]) -> None:
    assert radiograph_of_task_data(BONE_AGE, data) is None
