"""Asking for a training, and finding again what was asked for and lost.

The ledger holds each run; Redis only carries it. Asking twice for the same run is safe.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from data.domain import REFERENCE_READER
from data.errors import ServiceUnavailableError
from data.ledger.events import EventKind
from data.ledger.ledger import Ledger
from data.runs import ACTIVE, Run, RunState
from workers.assembly import retrain_policy
from workers.policy import Decision, LoopState, decide
from workers.queues import submit_once
from workers.reviewing import is_rejected, is_waiting
from workers.settings import Settings

HEARTBEAT_S = 5.0
"""A running training says this often that it lives."""
LOST_AFTER = timedelta(seconds=45)
"""Without a sign of life for this long, a training is taken for dead."""
MAX_ATTEMPTS = 3
"""A run whose process died this often has failed."""

log = logging.getLogger(__name__)


def loop_state(ledger: Ledger, now: datetime) -> LoopState:
    """Reads from the ledger what the policy has to know."""
    runs = sorted(ledger.runs(), key=lambda run: run.id)
    trained_to = _last_trained_event(ledger, runs)
    active = [run for run in runs if run.state in ACTIVE]
    starts = [run.requested_at for run in runs]
    failures = 0
    for run in reversed(runs):
        if run.state is not RunState.FAILED or is_rejected(run):
            break
        failures += 1
    ended = runs[-1].finished_at if failures else None
    oldest = _oldest_label(ledger, trained_to)
    return LoopState(
        new_labels=ledger.changed_radiographs(trained_to),
        trained_before=any(run.state is RunState.SUCCEEDED for run in runs),
        active_run=active[-1].id if active else "",
        requested=_requested_since(ledger, max(starts, default=None)),
        since_start_s=(now - max(starts)).total_seconds() if starts else None,
        since_first_label_s=(now - oldest).total_seconds() if oldest else None,
        failures=failures,
        since_failure_s=(now - ended).total_seconds() if ended else None,
    )


def consider_training(settings: Settings, ledger: Ledger, now: datetime | None = None) -> Decision:
    """Decides by the policy, and if it says so records a run and queues it."""
    now = now or datetime.now(UTC)
    decision = decide(retrain_policy(settings), loop_state(ledger, now))
    if decision.start:
        run = ledger.begin_run(decision.trigger, now, decision.reason)
        if run is not None:
            _submit(settings, run)
    return decision


def request_training(
    settings: Settings, ledger: Ledger, reader: str, *, override: str = ""
) -> Decision:
    """Notes that a person wants a training and starts it if there is anything new to learn.

    Args:
        settings: Where everything is.
        ledger: Open ledger.
        reader: Who asks.
        override: Why it may start from a dirty or unpushed dataset repository; empty: it may not.
    """
    wish = {"override": override} if override else {}
    ledger.append(EventKind.TRAIN_REQUESTED, reader, wish)
    return consider_training(settings, ledger)


def override_of(ledger: Ledger, run: Run) -> tuple[str, str] | None:
    """Returns who allowed a run to start from a dirty or unpushed repository, and why.

    That is whoever asked last between the wish for the run before and the wish for this one.
    """
    before = [other.requested_at for other in ledger.runs() if other.id < run.id]
    since = max(before, default=None)
    found = None
    for event in ledger.events(kinds=[EventKind.TRAIN_REQUESTED]):
        asked_for_this = event.at <= run.requested_at and (since is None or event.at > since)
        if asked_for_this and event.payload.get("override"):
            found = event.subject, str(event.payload["override"])
    return found


def recover_runs(settings: Settings, ledger: Ledger, now: datetime | None = None) -> list[str]:
    """Queues again what Redis or a dead worker has lost.

    Returns:
        One sentence for each run that was touched.
    """
    now = now or datetime.now(UTC)
    told: list[str] = []
    for run in ledger.runs(ACTIVE):
        if run.state is RunState.RUNNING:
            alive_at = run.heartbeat_at or run.started_at or run.requested_at
            if now - alive_at < LOST_AFTER:
                continue
            run = _mark_lost(ledger, run, now)
            told.append(f"Training {run.id} stopped answering ({run.state.value}).")
        if is_waiting(run):
            continue
        if run.state in (RunState.QUEUED, RunState.LOST) and _submit(settings, run):
            told.append(f"Training {run.id} was queued again.")
    return told


def _mark_lost(ledger: Ledger, run: Run, now: datetime) -> Run:
    if run.attempt >= MAX_ATTEMPTS:
        return ledger.update_run(
            run.id,
            state=RunState.FAILED,
            finished_at=now,
            error=f"Its process died {run.attempt} times, last in stage {run.stage!r}.",
        )
    return ledger.update_run(run.id, state=RunState.LOST, attempt=run.attempt + 1)


def _submit(settings: Settings, run: Run) -> bool:
    try:
        return submit_once(
            settings,
            "workers.jobs.train",
            f"train-{run.id}-{run.attempt}",
            run.id,
            timeout_s=settings.train_timeout_s,
        )
    except ServiceUnavailableError as error:
        log.warning("%s Run %s waits in the ledger for the next reconcile.", error, run.id)
        return False


def note_labels_seen(ledger: Ledger, run_id: str, event: int) -> None:
    """Keeps the last ledger event that a run has looked at.

    The version's own `last_event` would not do: labels that were changed and changed back make no
    new version, and would count as new for ever.
    """
    ledger.set_state(_seen_key(run_id), str(event))


def _last_trained_event(ledger: Ledger, runs: list[Run]) -> int:
    seen = (run.id for run in runs if run.state is RunState.SUCCEEDED or is_rejected(run))
    return max((int(ledger.get_state(_seen_key(name)) or 0) for name in seen), default=0)


def _seen_key(run_id: str) -> str:
    return f"labels_seen/{run_id}"


def _requested_since(ledger: Ledger, start: datetime | None) -> bool:
    for event in ledger.events(kinds=[EventKind.TRAIN_REQUESTED]):
        if start is None or event.at > start:
            return True
    return False


def _oldest_label(ledger: Ledger, after: int) -> datetime | None:
    for event in ledger.events(after=after, kinds=[EventKind.LABEL]):
        if event.payload["new"]["reader"] != REFERENCE_READER:
            return event.at
    return None
