"""Trainings that wait until a person has merged the dataset version they train on."""

from __future__ import annotations

from datetime import UTC, datetime

from data.ledger.ledger import Ledger
from data.runs import Run, RunState
from workers.assembly import dataset, task
from workers.committing import note_versions
from workers.settings import Settings

REVIEW = "review"
"""Stage of a queued run whose dataset version is a proposal; one that failed in it was rejected."""


def is_waiting(run: Run) -> bool:
    """Says whether a run waits for a person's review."""
    return run.state is RunState.QUEUED and run.stage == REVIEW


def is_rejected(run: Run) -> bool:
    """Says whether a person rejected the dataset version of a run."""
    return run.state is RunState.FAILED and run.stage == REVIEW


def wait_for_review(ledger: Ledger, run_id: str, version: str, branch: str) -> None:
    """Lets a run wait until the proposal of its dataset version is merged."""
    ledger.update_run(
        run_id,
        state=RunState.QUEUED,
        stage=REVIEW,
        version=version,
        reason=f"{version} is proposed on branch {branch} and waits to be merged.",
    )


def follow_reviews(settings: Settings, ledger: Ledger) -> list[str]:
    """Looks what people decided of the proposal that a training waits for.

    Returns:
        One sentence for each run that goes on or has ended; the caller queues the former.

    Raises:
        VersionError: The dataset repository cannot be read or written.
    """
    waiting = [run for run in ledger.runs((RunState.QUEUED,)) if is_waiting(run)]
    if not waiting:
        return []
    if settings.review == "off":
        return [_go_on(ledger, run, "", "Reviews were switched off") for run in waiting]
    repository = dataset(settings, task(settings))
    repository.accept_merged()
    note_versions(ledger, repository)
    merged = {version.name for version in ledger.versions()}
    still_open = {proposal.name for proposal in repository.proposals()}
    told = []
    for run in waiting:
        if run.version in merged:
            told.append(_go_on(ledger, run, run.version, f"{run.version} was merged"))
        elif run.version not in still_open:
            told.append(_reject(ledger, run))
    return told


def _go_on(ledger: Ledger, run: Run, version: str, why: str) -> str:
    ledger.update_run(run.id, stage="commit", version=version, reason=f"{why}.")
    return f"{why}: training {run.id} goes on."


def _reject(ledger: Ledger, run: Run) -> str:
    reason = f"{run.version} was rejected: the branch of its proposal is gone."
    ledger.update_run(
        run.id, state=RunState.FAILED, version="", error=reason, finished_at=datetime.now(UTC)
    )
    return reason
