"""POST /webhook: journalled first, then passed on, and answered at once."""

from __future__ import annotations

from typing import Any

import pytest

from data.errors import LedgerError, StorageError
from data.ledger.events import EventKind
from ml_backend.metrics import QUEUE_FAILURES
from tests.unit.ml_backend.conftest import SECRET, Backend

TOKEN = "f00dfeedf00dfeedf00dfeedf00dfeedf00dfeed"

CREATED: dict[str, Any] = {
    "action": "ANNOTATION_CREATED",
    "annotation": {"id": 41, "result": [{"value": {"number": 99}}], "completed_by": 1, "task": 7},
    "project": {"id": 3, "title": "Bone age", "token": TOKEN, "task_data_password": TOKEN},
    "task": {"id": 7, "data": {"image": "/data/local-files/?d=images/ab/x.png"}},
}


def test_a_webhook_is_journalled_and_a_reconcile_is_asked_for(backend: Backend) -> None:
    answer = backend.post("/webhook", CREATED)

    assert answer.status_code == 201
    assert answer.get_json() == {"status": "ok"}
    (event,) = backend.ledger.recorded
    assert (event.kind, event.subject) == (EventKind.HINT, "project:3")
    assert event.payload == {
        "action": "ANNOTATION_CREATED",
        "project": 3,
        "tasks": [7],
        "annotations": [41],
    }
    assert backend.queue.reasons == ["annotation_created"]


def test_a_webhook_with_our_secret_needs_no_password(backend: Backend) -> None:
    answer = backend.client.post(
        "/webhook", json=CREATED, headers={"X-Carpal-Webhook-Secret": SECRET}
    )

    assert answer.status_code == 201


def test_no_secret_of_label_studio_is_journalled_or_logged(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    backend.queue.down = True
    body = {**CREATED, "access_token": TOKEN, "params": {"login": TOKEN, "password": TOKEN}}
    body["project"] = {**CREATED["project"], "id": 3, "login": TOKEN}

    backend.post("/webhook", body)
    backend.post("/webhook", {**body, "project": {"token": TOKEN}})
    backend.post("/setup", {"project": TOKEN, "access_token": TOKEN})
    backend.post("/predict", {"tasks": [], "params": {"login": TOKEN, "password": TOKEN}})

    assert len(backend.ledger.recorded) == 1
    assert TOKEN not in str(backend.ledger.recorded)
    assert caplog.records
    assert TOKEN not in caplog.text


def test_deleted_annotations_are_journalled_by_their_ids(backend: Backend) -> None:
    backend.post(
        "/webhook",
        {
            "action": "ANNOTATIONS_DELETED",
            "annotations": [{"id": 5}, {"id": 6}, {"id": "x"}, None, {}],
            "project": {"id": 3},
        },
    )

    assert backend.ledger.recorded[0].payload["annotations"] == [5, 6]


def test_a_hint_keeps_a_bounded_number_of_ids(backend: Backend) -> None:
    tasks = [{"id": number} for number in range(5000)]

    backend.post("/webhook", {"action": "TASKS_CREATED", "tasks": tasks, "project": {"id": 3}})

    assert backend.ledger.recorded[0].payload["tasks"] == list(range(1000))


def test_start_training_is_journalled_as_a_wish_and_gets_a_job_id(backend: Backend) -> None:
    answer = backend.post("/webhook", {"action": "START_TRAINING", "project": {"id": 3}})

    assert answer.status_code == 201
    assert answer.get_json() == {"status": "ok", "job": "1"}
    assert backend.ledger.recorded[0].kind is EventKind.TRAIN_REQUESTED
    assert backend.queue.reasons == ["start_training"]


@pytest.mark.parametrize("action", ["PROJECT_UPDATED", "LABEL_LINK_CREATED", "", "made up"])
def test_an_action_that_says_nothing_about_labels_is_ignored(backend: Backend, action: str) -> None:
    answer = backend.post("/webhook", {"action": action, "project": {"id": 3}})

    assert (answer.status_code, answer.get_json()) == (200, {"status": "ignored"})
    assert backend.ledger.recorded == []
    assert backend.queue.reasons == []


def test_a_webhook_of_another_project_is_ignored(backend: Backend) -> None:
    joined = backend.with_project(4)

    assert joined.post("/webhook", CREATED).get_json() == {"status": "ignored"}
    assert backend.ledger.recorded == []


def test_a_webhook_is_accepted_while_the_queue_is_down(backend: Backend) -> None:
    backend.queue.down = True

    answer = backend.post("/webhook", CREATED)

    assert answer.status_code == 201
    assert len(backend.ledger.recorded) == 1
    assert backend.services.counters.value(QUEUE_FAILURES) == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StorageError("The disk that holds the ledger is full: free some space."), 507),
        (LedgerError("The ledger is locked by another program."), 500),
    ],
)
def test_a_webhook_that_cannot_be_journalled_is_refused_and_not_passed_on(
    backend: Backend, error: StorageError | LedgerError, status: int
) -> None:
    backend.ledger.error = error

    answer = backend.post("/webhook", CREATED)

    assert answer.status_code == status
    assert answer.get_json()["detail"] == str(error)
    assert backend.queue.reasons == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"action": 7},
        {"action": "ANNOTATION_CREATED"},
        {"action": "ANNOTATION_CREATED", "project": {}},
        {"action": "ANNOTATION_CREATED", "project": {"id": True}},
    ],
)
def test_a_webhook_of_the_wrong_form_is_refused(backend: Backend, body: object) -> None:
    answer = backend.post("/webhook", body)

    assert answer.status_code == 400
    assert backend.ledger.recorded == []
