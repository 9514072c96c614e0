"""POST /api/predict: one film, one answer."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest

from data.dicom.reading import to_image
from data.domain import Prediction, Radiograph
from data.images.decoding import content_id
from data.ledger.predictions import prediction_id
from ml_backend.app import create_app
from ml_backend.prediction_json import film_answer_json, in_years
from ml_backend.sent_films import FilmAnswer
from tests.unit.data.dicom_cases import SALT, a_file
from tests.unit.ml_backend.conftest import Backend
from tests.unit.ml_backend.fakes import FakePredictor, picture, png
from tests.unit.ml_backend.film_cases import SexedModel, send
from workers.standards import Standard, Standards

FILM = png(1)


def answered(backend: Backend, payload: bytes = FILM, **fields: Any) -> dict[str, Any]:
    answer = send(backend, payload, **fields)
    assert answer.status_code == 200, answer.text
    body = answer.get_json()
    assert isinstance(body, dict)
    return body


def recorded(backend: Backend, sex: str, seed: int = 1) -> Radiograph:
    """Returns a radiograph of the pool whose source has recorded the sex."""
    film = replace(backend.radiograph(seed), metadata={"sex": sex})
    backend.ledger.known[film.id] = film
    return film


def test_a_film_is_answered_as_the_published_bone_age_service_answers(backend: Backend) -> None:
    backend.serve(SexedModel())

    answer = answered(backend)

    assert answer == {
        "bone_age": 131.0,
        "bone_age_text": "10 years 11 months",
        "interval": [119.0, 143.0],
        "coverage": 0.9,
        "used_sex": "f",
        "sex_predicted": True,
        "sex_source": "predicted",
        "sex_fed": True,
        "sex_probability": 0.75,
        "confidence": 0.5,
        "novelty": 0.4,
        "unusual": False,
        "warnings": [],
        "standards": [],
        "model_version": "v0003-1a2b3c4d",
        "prediction_id": prediction_id(content_id(FILM), "v0003-1a2b3c4d"),
        "radiograph": content_id(FILM),
        "kept": False,
    }


@pytest.mark.parametrize("word", ["m", "M", "male", "MALE", "Male", " male "])
def test_a_boy_is_told_the_age_of_a_boy(backend: Backend, word: str) -> None:
    backend.serve(SexedModel())

    answer = answered(backend, sex=word)

    assert (answer["bone_age"], answer["used_sex"]) == (155.4, "m")
    assert (answer["sex_predicted"], answer["sex_source"]) == (False, "given")
    assert answer["sex_probability"] == 0.25, "what the model itself thinks of it"


@pytest.mark.parametrize("word", ["f", "F", "female", "Female", "FEMALE"])
def test_a_girl_is_told_the_age_of_a_girl(backend: Backend, word: str) -> None:
    backend.serve(SexedModel(seen="male"))

    answer = answered(backend, sex=word)

    assert (answer["bone_age"], answer["used_sex"]) == (131.0, "f")
    assert answer["sex_predicted"] is False


@pytest.mark.parametrize("word", ["", "  "])
def test_an_empty_sex_counts_as_absent(backend: Backend, word: str) -> None:
    backend.serve(SexedModel(seen="male"))

    answer = answered(backend, sex=word)

    assert (answer["used_sex"], answer["sex_predicted"]) == ("m", True)


@pytest.mark.parametrize("word", ["x", "woman", "mal", "0", "femalé", "m,f"])
def test_another_sex_is_refused(backend: Backend, word: str) -> None:
    backend.serve(SexedModel())

    answer = send(backend, FILM, sex=word)

    assert answer.status_code == 400
    assert "sex must be one of f, female, m, male" in answer.get_json()["detail"]


def test_a_model_that_is_told_no_sex_says_which_one_it_reads(backend: Backend) -> None:
    backend.serve(FakePredictor("v1"))

    answer = answered(backend, sex="m")

    assert (answer["used_sex"], answer["sex_predicted"], answer["sex_fed"]) == ("f", True, False)
    assert answer["warnings"] == ["The model v1 makes no use of a given sex."]


def test_a_sex_that_the_film_contradicts_is_used_and_doubted(backend: Backend) -> None:
    backend.serve(SexedModel(seen="male", chance=0.97))

    answer = answered(backend, sex="f")

    assert answer["used_sex"] == "f"
    assert answer["warnings"] == [
        "The film looks male to the model (probability 0.97), not female."
    ]


def test_a_film_unlike_a_hand_is_answered_and_said_to_be_unusual(backend: Backend) -> None:
    backend.serve(SexedModel(novelty=2.31))

    answer = answered(backend)

    assert (answer["bone_age"], answer["novelty"], answer["unusual"]) == (131.0, 2.31, True)
    assert "unlike those that the model has learnt from" in answer["warnings"][0]


def test_what_is_not_known_of_the_novelty_is_not_said(backend: Backend) -> None:
    backend.serve(SexedModel(novelty=None))

    answer = answered(backend)

    assert (answer["novelty"], answer["unusual"]) == (None, None)


def test_a_dicom_file_is_shown_to_the_model_with_the_sex_that_it_records(backend: Backend) -> None:
    backend.serve(SexedModel())
    payload = a_file(picture(3).astype(np.uint16), PatientSex="M")

    answer = answered(backend, payload)

    assert (answer["used_sex"], answer["sex_source"]) == ("m", "recorded")
    assert answer["radiograph"] == content_id(to_image(payload, SALT).payload)


def test_a_given_sex_goes_before_the_recorded_one_and_that_is_said(backend: Backend) -> None:
    backend.serve(SexedModel())
    payload = a_file(picture(3).astype(np.uint16), PatientSex="M")

    answer = answered(backend, payload, sex="f")

    assert (answer["used_sex"], answer["sex_source"]) == ("f", "given")
    assert answer["warnings"] == [
        "The sex was given as female, and male is recorded with the film."
    ]


def test_of_a_film_that_is_not_in_the_pool_nothing_is_kept(backend: Backend) -> None:
    backend.serve(SexedModel())

    answered(backend)

    assert backend.ledger.stored == {}
    assert backend.ledger.recorded == []


def test_a_film_of_the_pool_gets_the_answer_that_label_studio_shows(backend: Backend) -> None:
    film = recorded(backend, "male")
    backend.serve(SexedModel("v1"))

    answer = answered(backend, FILM)

    assert (answer["used_sex"], answer["sex_source"], answer["kept"]) == ("m", "recorded", True)
    assert backend.ledger.stored[film.id, "v1"].values["age_months"] == answer["bone_age"]


def test_what_the_ledger_keeps_is_answered_without_the_model(backend: Backend) -> None:
    film = recorded(backend, "male")
    model = backend.serve(SexedModel("v1"))
    answered(backend, FILM)
    kept = backend.ledger.stored[film.id, "v1"]
    backend.ledger.stored[film.id, "v1"] = replace(kept, values={**kept.values, "age_months": 7.0})
    model.error = RuntimeError("The model is asked.")

    assert answered(backend, FILM)["bone_age"] == 7.0


def test_another_sex_than_the_recorded_one_is_answered_and_not_kept(backend: Backend) -> None:
    film = recorded(backend, "male")
    backend.serve(SexedModel("v1"))
    answered(backend, FILM)

    answer = answered(backend, FILM, sex="f")

    assert (answer["bone_age"], answer["kept"]) == (131.0, False)
    assert backend.ledger.stored[film.id, "v1"].used == {"sex": "male"}


def test_a_given_sex_is_not_answered_by_a_prediction_that_was_not_told_it(
    backend: Backend,
) -> None:
    film = backend.radiograph(1)
    model = backend.serve(SexedModel("v1"))
    answered(backend, FILM)
    assert backend.ledger.stored[film.id, "v1"].predicted_inputs == ("sex",)
    backend.ledger.known[film.id] = replace(film, metadata={"sex": "female"})

    answer = answered(backend, FILM, sex="f")

    assert (answer["sex_predicted"], answer["kept"]) == (False, False)
    assert model.told[film.id] == {"sex": "female"}


def standard(backend: Backend, seed: int, months: float, sex: str, patient: str) -> Standard:
    film = replace(backend.radiograph(seed), patient=patient)
    backend.ledger.known[film.id] = film
    return Standard(film, months, sex, readers=3, agreeing=2, reference=False, place="same")


def with_standards(backend: Backend, *standards: Standard) -> Backend:
    kept = Standards(standards, tolerance=6.0)
    services = replace(backend.services, standards=lambda: kept)
    return replace(backend, services=services, app=create_app(services=services))


def test_the_nearest_standards_of_the_same_sex_stand_beside_the_answer(backend: Backend) -> None:
    backend.serve(SexedModel())
    younger = standard(backend, 11, 120.0, "female", "a" * 16)
    boy = standard(backend, 12, 131.0, "male", "b" * 16)
    older = standard(backend, 13, 150.0, "female", "c" * 16)

    answer = answered(with_standards(backend, younger, boy, older))

    assert answer["standards"] == [
        {
            "radiograph": younger.radiograph.id,
            "place": "younger",
            "months": 120.0,
            "text": "10 years 0 months",
            "sex": "f",
            "readers": 3,
            "agreeing": 2,
            "reference": False,
            "case": None,
            "picture": None,
        },
        {
            "radiograph": older.radiograph.id,
            "place": "older",
            "months": 150.0,
            "text": "12 years 6 months",
            "sex": "f",
            "readers": 3,
            "agreeing": 2,
            "reference": False,
            "case": None,
            "picture": None,
        },
    ]


def test_a_film_is_no_standard_of_itself_nor_of_its_patient(backend: Backend) -> None:
    backend.serve(SexedModel())
    itself = standard(backend, 1, 131.0, "female", "a" * 16)
    sibling = standard(backend, 2, 130.0, "female", "a" * 16)
    other = standard(backend, 3, 128.0, "female", "b" * 16)

    answer = answered(with_standards(backend, itself, sibling, other), FILM)

    assert [one["radiograph"] for one in answer["standards"]] == [other.radiograph.id]


@pytest.mark.parametrize("word", ["true", "TRUE", "1", "yes", "on"])
def test_a_mask_cannot_be_asked_of_a_model_without_masks(backend: Backend, word: str) -> None:
    backend.serve(SexedModel("v1"))

    answer = send(backend, FILM, use_mask=word)

    assert answer.status_code == 422
    assert answer.get_json()["detail"] == (
        "use_mask cannot be true: the model v1 uses no hand masks."
    )


def test_a_model_with_masks_cannot_do_without(backend: Backend) -> None:
    backend.serve(SexedModel("v1")).needs_mask = True

    answer = send(backend, FILM, use_mask="false")

    assert answer.status_code == 422
    assert answer.get_json()["detail"] == (
        "use_mask cannot be false: the model v1 needs a hand mask."
    )


@pytest.mark.parametrize("word", ["true", ""])
def test_a_model_with_masks_answers_for_a_film_that_has_one(backend: Backend, word: str) -> None:
    backend.serve(SexedModel("v1")).needs_mask = True

    assert answered(backend, use_mask=word)["bone_age"] == 131.0


def test_a_mask_that_a_model_needs_and_a_film_lacks_is_named(backend: Backend) -> None:
    model = backend.serve(SexedModel("v1"))
    model.needs_mask, model.unreadable = True, {content_id(FILM)}

    answer = send(backend, FILM, use_mask="true")

    assert answer.status_code == 422


@pytest.mark.parametrize("word", ["", "false", "No"])
def test_a_model_without_masks_does_without(backend: Backend, word: str) -> None:
    backend.serve(SexedModel())

    assert answered(backend, use_mask=word)["bone_age"] == 131.0


@pytest.mark.parametrize("word", ["maybe", "2", "tru"])
def test_another_word_for_the_mask_is_refused(backend: Backend, word: str) -> None:
    backend.serve(SexedModel())

    answer = send(backend, FILM, use_mask=word)

    assert answer.status_code == 400
    assert "use_mask must be true or false" in answer.get_json()["detail"]


def test_without_a_model_the_answer_is_503(backend: Backend) -> None:
    answer = send(backend, FILM)

    assert answer.status_code == 503
    assert "no model yet" in answer.get_json()["detail"]


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"image": (BytesIO(b"x"), "a.png")}, "form field 'image' is not known here: file, sex"),
        ({"age": "12"}, "form field 'age' is not known"),
        ({"file": "text, not a file"}, "exactly one file"),
        ({}, "exactly one file"),
        ({"file": [(BytesIO(b"x"), "a.png"), (BytesIO(b"x"), "b.png")]}, "exactly one file"),
        ({"sex": ["m", "f"]}, "'sex' may be given once"),
        ({"sex": (BytesIO(b"m"), "sex.txt")}, "'sex' may be given once"),
    ],
    ids=["the old field", "another field", "text", "empty", "two files", "two sexes", "sex file"],
)
def test_a_form_of_the_wrong_shape_is_refused(
    backend: Backend, form: dict[str, Any], sentence: str
) -> None:
    backend.serve(SexedModel())

    answer = send(backend, **form)

    assert answer.status_code == 400
    assert sentence in answer.get_json()["detail"]


def test_a_body_that_is_no_form_is_refused(backend: Backend) -> None:
    answer = backend.post("/api/predict", {"file": "x"})

    assert answer.status_code == 415
    assert "multipart/form-data" in answer.get_json()["detail"]


def test_a_file_that_is_no_image_is_unprocessable(backend: Backend) -> None:
    backend.serve(SexedModel())

    answer = send(backend, b"GIF89a and so on")

    assert answer.status_code == 422
    assert answer.get_json()["detail"].startswith("This is not an image that can be read")


def test_a_form_that_is_too_large_is_refused(backend: Backend) -> None:
    backend.serve(SexedModel())

    answer = send(backend, b"0" * 200_000)

    assert answer.status_code == 413


def an_answer(prediction: Prediction) -> FilmAnswer:
    return FilmAnswer(prediction, "", is_fed=False, patient="", kept=False, warnings=())


def test_another_task_answers_by_the_names_of_its_targets(backend: Backend) -> None:
    shares = {"finding": {"normal": 0.2, "pneumonia": 0.8}}
    prediction = Prediction("0" * 64, "v1", {"finding": "pneumonia"}, {}, shares, 0.8)

    answer = film_answer_json(backend.services, an_answer(prediction))

    assert answer["values"] == {"finding": "pneumonia"}
    assert answer["probabilities"] == shares
    assert answer["standards"] == []
    assert "bone_age" not in answer


def test_a_model_that_tells_the_sex_alone_answers_with_that(backend: Backend) -> None:
    shares = {"sex": {"female": 0.75, "male": 0.25}}
    prediction = Prediction("0" * 64, "v1", {"sex": "female"}, {}, shares, 0.75)

    answer = film_answer_json(backend.services, an_answer(prediction))

    assert answer["values"] == {"sex": "female"}


@pytest.mark.parametrize(
    ("months", "words"),
    [
        (0.4, "0 years 0 months"),
        (13.0, "1 year 1 month"),
        (11.6, "1 year 0 months"),
        (131.4, "10 years 11 months"),
    ],
)
def test_an_age_is_said_in_years_and_months(months: float, words: str) -> None:
    assert in_years(months) == words
