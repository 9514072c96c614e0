"""Turns the readings of the ledger into a dataset version."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from data.consensus import consensus
from data.domain import DatasetVersion, Radiograph, Reading, TaskSpec
from data.errors import VersionError
from data.ledger import Ledger
from data.ledger_events import EventKind

if TYPE_CHECKING:
    from data.versions import DatasetRepository

SNAPSHOT_TRIES = 20
"""Readings are read again if one arrived meanwhile; one read takes milliseconds."""


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
    head, radiographs, readings = _snapshot(ledger)
    rows = consensus(radiographs, readings, spec)
    if not rows:
        raise VersionError("There is no label to commit yet.")
    version = repository.commit_version(
        rows, trigger=trigger, ledger_head=head, committed_at=datetime.now(UTC)
    )
    if version.name not in {known.name for known in ledger.versions()}:
        ledger.add_version(version)
        ledger.append(
            EventKind.COMMITTED,
            version.name,
            {"commit": version.commit, "labels": version.labels, "trigger": trigger},
        )
    return version, head[0]


def _snapshot(
    ledger: Ledger,
) -> tuple[tuple[int, str], list[Radiograph], list[Reading]]:
    """Returns the ledger's head and exactly the readings that it includes."""
    for _ in range(SNAPSHOT_TRIES):
        head = ledger.head()
        radiographs, readings = ledger.radiographs(), ledger.readings()
        if not ledger.changed_radiographs(head[0]):
            return head, radiographs, readings
    raise VersionError("Labels arrive faster than they can be read; the next run tries again.")
