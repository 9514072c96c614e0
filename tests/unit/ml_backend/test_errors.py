"""Every error is a problem document with one sentence."""

from __future__ import annotations

import pytest
from werkzeug.datastructures import Authorization

from ml_backend.json_body import MAX_JSON_BYTES
from tests.unit.ml_backend.conftest import PASSWORD, USER, Backend
from tests.unit.ml_backend.fakes import FakePredictor, task_of

AUTH = Authorization("basic", {"username": USER, "password": PASSWORD})


@pytest.mark.parametrize(
    ("method", "path", "status", "sentence"),
    [
        ("GET", "/made-up", 404, "There is nothing at /made-up."),
        ("GET", "/predict", 405, "/predict does not answer GET."),
        ("DELETE", "/health", 405, "/health does not answer DELETE."),
    ],
)
def test_what_is_not_there_is_a_problem_document(
    backend: Backend, method: str, path: str, status: int, sentence: str
) -> None:
    answer = backend.client.open(path, method=method, auth=AUTH)

    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    assert answer.get_json(force=True)["detail"] == sentence


def test_a_refused_method_names_those_that_are_answered(backend: Backend) -> None:
    answer = backend.client.get("/predict", auth=AUTH)

    assert set(answer.headers["Allow"].split(", ")) == {"POST", "OPTIONS"}


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"\xff\xfe", b"[" * 200_000, b'{"project": ' + b"1" * 5000 + b"}"],
    ids=["empty", "cut off", "no text", "deep", "long number"],
)
def test_a_body_that_is_not_json_is_refused(backend: Backend, payload: bytes) -> None:
    answer = backend.client.post(
        "/webhook", data=payload, auth=AUTH, content_type="application/json"
    )

    assert answer.status_code == 400
    assert "JSON" in answer.get_json()["detail"]


def test_a_form_of_a_foreign_web_page_cannot_pass_for_json(backend: Backend) -> None:
    answer = backend.client.post(
        "/webhook", data=b'{"action": "START_TRAINING"}', auth=AUTH, content_type="text/plain"
    )

    assert answer.status_code == 415
    assert "application/json" in answer.get_json()["detail"]


def test_a_body_that_is_too_large_is_refused_unread(backend: Backend) -> None:
    answer = backend.client.post(
        "/webhook",
        auth=AUTH,
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": str(MAX_JSON_BYTES + 1)},
    )

    assert answer.status_code == 413
    assert str(MAX_JSON_BYTES) in answer.get_json()["detail"]


def test_an_unexpected_failure_is_logged_under_the_incident_that_the_answer_names(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    model = backend.serve(FakePredictor("v1"))
    model.error = RuntimeError("the device is on fire")

    answer = backend.post("/predict", {"tasks": [task_of(backend.radiograph(1))]})

    assert answer.status_code == 500
    problem = answer.get_json()
    incident = problem["instance"].removeprefix("urn:uuid:")
    assert "on fire" not in answer.text
    assert incident in caplog.text
    assert "the device is on fire" in caplog.text
