"""POST /job_status: what became of 'Start training'."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from data.runs import Run, RunState
from tests.unit.ml_backend.conftest import Backend
from tests.unit.ml_backend.fakes import NOW


def ask(backend: Backend) -> str:
    answer = backend.post("/webhook", {"action": "START_TRAINING", "project": {"id": 3}})
    return str(answer.get_json()["job"])


def test_a_wish_waits_until_a_run_follows_from_it(backend: Backend) -> None:
    earlier = Run("r0001", "labels", NOW - timedelta(hours=1), RunState.SUCCEEDED)
    backend.ledger.trainings.append(earlier)

    job = ask(backend)

    assert backend.post("/job_status", {"job": job}).get_json()["job_status"] == "queued"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (RunState.QUEUED, "queued"),
        (RunState.LOST, "queued"),
        (RunState.RUNNING, "started"),
        (RunState.SUCCEEDED, "finished"),
        (RunState.FAILED, "failed"),
    ],
)
def test_a_job_is_as_far_as_the_run_that_follows_from_it(
    backend: Backend, state: RunState, expected: str
) -> None:
    job = ask(backend)
    run = Run("r0002", "request", NOW + timedelta(seconds=1), state, error="why")
    backend.ledger.trainings += [replace(run, id="r0003", requested_at=NOW + timedelta(1)), run]

    answer = backend.post("/job_status", {"job": job}).get_json()

    assert (answer["job_status"], answer["run"], answer["error"]) == (expected, "r0002", "why")


@pytest.mark.parametrize("job", [None, "", "0", "2", "-1", "9" * 400, "x", 1, {"id": 1}])
def test_a_job_that_nobody_asked_for_is_gone(backend: Backend, job: object) -> None:
    ask(backend)

    assert backend.post("/job_status", {"job": job}).status_code == 410


def test_another_event_is_no_job(backend: Backend) -> None:
    backend.post("/webhook", {"action": "TASKS_CREATED", "project": {"id": 3}})
    ask(backend)

    assert backend.post("/job_status", {"job": "1"}).status_code == 410
