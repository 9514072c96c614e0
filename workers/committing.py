"""Turns the readings of the ledger into a dataset version."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from data.consensus import consensus
from data.domain import DatasetVersion, TaskSpec
from data.errors import VersionError
from data.ledger import Ledger

if TYPE_CHECKING:
    from data.versions import DatasetRepository


def commit_current(
    ledger: Ledger, repository: DatasetRepository, spec: TaskSpec, trigger: str
) -> tuple[DatasetVersion, int]:
    """Commits what the readers agree on now.

    Returns:
        The version (the latest one if nothing changed since) and the sequence number of the last
        ledger event that was looked at.

    Raises:
        VersionError: There is no label yet, or the repository cannot be written.
    """
    repository.initialise()
    head, radiographs, readings = ledger.snapshot()
    rows = consensus(radiographs, readings, spec)
    if not rows:
        raise VersionError("There is no label to commit yet.")
    version = repository.commit_version(
        rows, trigger=trigger, ledger_head=head, committed_at=datetime.now(UTC)
    )
    ledger.add_version(version, trigger)
    return version, head[0]
