"""Every error is a problem document with one sentence."""

from __future__ import annotations

import pytest
from werkzeug.datastructures import Authorization

from data.errors import CarpalError, LedgerError, NotFoundError, StorageError
from ml_backend.errors import sentence_of
from ml_backend.json_body import MAX_JSON_BYTES
from tests.unit.ml_backend.conftest import Backend
from tests.unit.ml_backend.fakes import FakePredictor, png
from tests.unit.ml_backend.film_cases import AUTH, send


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

    answer = send(backend, png(1))

    assert answer.status_code == 500
    incident = answer.get_json()["instance"].removeprefix("urn:uuid:")
    assert "on fire" not in answer.text
    assert incident in caplog.text
    assert "the device is on fire" in caplog.text


@pytest.mark.parametrize(
    ("error", "status"),
    [(LedgerError("The ledger is locked."), 500), (StorageError("The disk is full."), 507)],
    ids=["ledger", "disk"],
)
def test_a_failure_of_ours_says_why_and_where_the_log_has_it(
    backend: Backend, caplog: pytest.LogCaptureFixture, error: CarpalError, status: int
) -> None:
    backend.serve(FakePredictor("v1"))
    backend.ledger.error = error

    answer = send(backend, png(1))

    assert answer.status_code == status
    assert answer.get_json()["detail"] == str(error)
    assert answer.get_json()["instance"].removeprefix("urn:uuid:") in caplog.text


def test_what_is_missing_for_now_is_no_incident(backend: Backend) -> None:
    answer = send(backend, png(1))

    assert answer.status_code == 503
    assert "instance" not in answer.get_json()


@pytest.mark.parametrize(
    ("method", "path", "auth", "status"),
    [
        ("GET", "/v2", None, 401),
        ("GET", "/v2/made-up", AUTH, 404),
        ("POST", "/v2", AUTH, 405),
        ("POST", "/v2/models/bone_age/infer", AUTH, 415),
    ],
)
def test_a_problem_of_the_inference_protocol_says_its_sentence_where_that_has_it(
    backend: Backend, method: str, path: str, auth: Authorization | None, status: int
) -> None:
    answer = backend.client.open(path, method=method, auth=auth)

    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    document = answer.get_json()
    assert document["error"] == document["detail"]


def test_a_problem_elsewhere_has_no_member_of_that_protocol(backend: Backend) -> None:
    assert "error" not in backend.client.get("/v2000", auth=AUTH).get_json()


def test_a_page_of_a_failure_says_where_the_log_has_it(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    with backend.app.test_request_context("/task/1"):
        sentence = sentence_of(LedgerError("The ledger is locked."))

    incident = sentence.removeprefix("The ledger is locked. The log has it as ").rstrip(".")
    assert f"Incident {incident}" in caplog.text


def test_a_page_of_what_is_not_there_says_just_that(backend: Backend) -> None:
    assert sentence_of(NotFoundError("There is no task 1.")) == "There is no task 1."
