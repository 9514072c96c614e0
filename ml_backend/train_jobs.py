"""A training that was asked for in Label Studio, in the form in which it asks about jobs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from data.ledger.events import Event, EventKind
from data.runs import Run, RunState
from ml_backend.services import Ledger

JOB_ID = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)
JOB_STATUS = {
    RunState.QUEUED: "queued",
    RunState.LOST: "queued",
    RunState.RUNNING: "started",
    RunState.SUCCEEDED: "finished",
    RunState.FAILED: "failed",
}


@dataclass(frozen=True, slots=True)
class TrainJob:
    """What became of the wish for a training.

    Attributes:
        job_status: `queued` (also while too few labels are new), `started`, `finished`, `failed`.
        run: The training run that follows from it; empty: none yet.
        model_version: The model that it made; empty: none yet.
        error: Why it failed.
    """

    job_status: str
    run: str = ""
    model_version: str = ""
    error: str = ""


def train_job(ledger: Ledger, job: object) -> TrainJob | None:
    """Returns the state of a job, or None if no training was asked for under that id.

    Args:
        ledger: Events and runs.
        job: The `job` that `/webhook` answered: the number of the event, as text.
    """
    if not isinstance(job, str) or JOB_ID.fullmatch(job) is None:
        return None
    wish = _wish(ledger, int(job))
    if wish is None:
        return None
    run = _run_after(ledger, wish)
    if run is None:
        return TrainJob("queued")
    return TrainJob(JOB_STATUS[run.state], run.id, run.model_version, run.error)


def _wish(ledger: Ledger, number: int) -> Event | None:
    for event in ledger.events(after=number - 1, kinds=[EventKind.TRAIN_REQUESTED]):
        return event if event.seq == number else None
    return None


def _run_after(ledger: Ledger, wish: Event) -> Run | None:
    later = [run for run in ledger.runs() if run.requested_at >= wish.at]
    return min(later, key=lambda run: run.requested_at, default=None)
