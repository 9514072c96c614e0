"""POST /api/predict: one image, one answer."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from werkzeug.datastructures import Authorization
from werkzeug.test import TestResponse

from data.domain import Prediction
from ml_backend.prediction_routes import answer_of
from tests.unit.ml_backend.conftest import PASSWORD, USER, Backend
from tests.unit.ml_backend.fakes import FakePredictor, png


def send(backend: Backend, form: dict[str, Any], **kwargs: Any) -> TestResponse:
    auth = Authorization("basic", {"username": USER, "password": PASSWORD})
    return backend.client.post(
        "/api/predict", data=form, auth=auth, content_type="multipart/form-data", **kwargs
    )


def test_an_image_is_answered_in_the_words_of_bone_age(backend: Backend) -> None:
    backend.serve(FakePredictor("v0003-1a2b3c4d", age_months=100.0))

    answer = send(backend, {"image": (BytesIO(png(1)), "hand.png")})

    assert answer.status_code == 200
    assert answer.get_json() == {
        "bone_age": 100.0,
        "interval": [88.0, 112.0],
        "coverage": 0.9,
        "used_sex": "f",
        "sex_predicted": True,
        "sex_probability": 0.75,
        "confidence": 0.5,
        "model_version": "v0003-1a2b3c4d",
    }


def test_an_image_that_was_sent_is_not_kept(backend: Backend) -> None:
    backend.serve(FakePredictor("v1"))

    send(backend, {"image": (BytesIO(png(1)), "hand.png")})

    assert backend.ledger.stored == {}
    assert backend.ledger.recorded == []


def test_without_a_model_the_answer_is_503(backend: Backend) -> None:
    answer = send(backend, {"image": (BytesIO(png(1)), "hand.png")})

    assert answer.status_code == 503
    assert "no model yet" in answer.get_json()["detail"]


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"image": "hand", "sex": "f"}, "form field 'sex' is not known"),
        ({"picture": (BytesIO(b"x"), "hand.png")}, "form field 'picture' is not known"),
        ({"image": "text, not a file"}, "exactly one file"),
        ({}, "exactly one file"),
        (
            {"image": [(BytesIO(b"x"), "a.png"), (BytesIO(b"x"), "b.png")]},
            "exactly one file",
        ),
    ],
    ids=["sex", "another file", "text", "empty", "two files"],
)
def test_a_form_of_the_wrong_shape_is_refused(
    backend: Backend, form: dict[str, Any], sentence: str
) -> None:
    backend.serve(FakePredictor("v1"))

    answer = send(backend, form)

    assert answer.status_code == 400
    assert sentence in answer.get_json()["detail"]


def test_a_body_that_is_no_form_is_refused(backend: Backend) -> None:
    answer = backend.post("/api/predict", {"image": "x"})

    assert answer.status_code == 400
    assert "multipart/form-data" in answer.get_json()["detail"]


def test_a_file_that_is_no_image_is_unprocessable(backend: Backend) -> None:
    backend.serve(FakePredictor("v1"))

    answer = send(backend, {"image": (BytesIO(b"GIF89a and so on"), "hand.png")})

    assert answer.status_code == 422
    assert answer.get_json()["detail"].endswith(".")


def test_a_form_that_is_too_large_is_refused(backend: Backend) -> None:
    backend.serve(FakePredictor("v1"))

    answer = send(backend, {"image": (BytesIO(b"0" * 200_000), "hand.png")})

    assert answer.status_code == 413


def test_another_task_answers_by_the_names_of_its_targets() -> None:
    shares = {"finding": {"normal": 0.2, "pneumonia": 0.8}}
    prediction = Prediction("0" * 64, "v1", {"finding": "pneumonia"}, {}, shares, 0.8)

    assert answer_of(prediction) == {
        "values": {"finding": "pneumonia"},
        "intervals": {},
        "probabilities": shares,
        "confidence": 0.8,
        "coverage": 0.9,
        "model_version": "v1",
    }


def test_a_model_that_tells_the_sex_alone_answers_with_that() -> None:
    shares = {"sex": {"female": 0.75, "male": 0.25}}
    prediction = Prediction("0" * 64, "v1", {"sex": "female"}, {}, shares, 0.75)

    assert answer_of(prediction)["values"] == {"sex": "female"}
