"""Turns the readings of the ledger into a dataset version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from data.domain import DatasetVersion, TaskSpec
from data.ledger.ledger import Ledger
from data.readers.agreement import label_noise
from data.readers.consensus import consensus, live_readings, reader_keys
from data.readers.unreadable import unreadable_reasons
from data.versions.proposals import Proposal
from data.versions.rules import rules_of

if TYPE_CHECKING:
    from data.versions.repository import DatasetRepository


class Committed(NamedTuple):
    """What came of a commit.

    Attributes:
        version: The version (the latest one if nothing changed since), or in review mode the
            proposal that waits for a person.
        seen: Sequence number of the last ledger event that was looked at.
    """

    version: DatasetVersion | Proposal
    seen: int

    @property
    def branch(self) -> str:
        """Branch of the proposal that waits for a person; empty: it is a version."""
        return self.version.branch if isinstance(self.version, Proposal) else ""


def commit_current(
    ledger: Ledger,
    repository: DatasetRepository,
    spec: TaskSpec,
    trigger: str,
    adjudicators: Collection[str] = (),
) -> Committed:
    """Commits what the readers agree on now.

    Only radiographs that were read since the latest version are looked at, if its labels were made
    by the same rules; the result is the same, byte for byte, as if all were.

    Raises:
        VersionError: There is no label yet, or the repository cannot be written.
    """
    rules = rules_of(spec, adjudicators)
    base = repository.base(rules)
    found = ledger.label_snapshot(base.ledger_head if base else None)
    rows = consensus(found.radiographs, found.readings, spec, adjudicators)
    noise = replace(label_noise(found.several, spec, adjudicators), labelled=found.read)
    aside = unreadable_reasons(live_readings(found.unreadable).values(), reader_keys(adjudicators))
    version = repository.commit_version(
        rows,
        trigger=trigger,
        ledger_head=found.head,
        committed_at=datetime.now(UTC),
        since=base.version if base and found.changed is not None else "",
        unlabelled=(found.changed or frozenset()) - {row.radiograph.id for row in rows},
        rules=rules,
        noise=noise,
        near_duplicates=found.near_duplicates,
        unreadable=Counter(aside.values()),
    )
    note_versions(ledger, repository)
    return Committed(version, found.head[0])


def note_versions(ledger: Ledger, repository: DatasetRepository) -> list[DatasetVersion]:
    """Records in the ledger what versions the repository has that it does not know.

    Returns:
        Those that were new to it, oldest first.
    """
    known = {version.name for version in ledger.versions()}
    new = [repository.describe(name) for name in repository.versions() if name not in known]
    for version in new:
        ledger.add_version(version, repository.trigger(version.name))
    return new
