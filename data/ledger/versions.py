"""Committed dataset versions, each with its `committed` event."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select

from data.domain import DatasetVersion
from data.errors import LedgerError
from data.ledger.chain import append_events
from data.ledger.events import EventKind, utc_text, utc_time
from data.ledger.schema import dataset_versions


def add_version(connection: Connection, version: DatasetVersion, trigger: str) -> None:
    """Records a version and its event; see `Ledger.add_version`."""
    query = select(dataset_versions).where(dataset_versions.c.name == version.name)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        facts = _to_row(version)
        connection.execute(insert(dataset_versions).values(**facts))
        append_events(
            connection, [(EventKind.COMMITTED, version.name, {**facts, "trigger": trigger})]
        )
    elif row["commit"] != version.commit:
        raise LedgerError(
            f"Dataset version {version.name} is commit {row['commit']} in the ledger, "
            f"not {version.commit}: versions never change."
        )


def list_versions(connection: Connection) -> list[DatasetVersion]:
    """Returns the versions, oldest first."""
    versions = [_from_row(row) for row in connection.execute(select(dataset_versions)).mappings()]
    return sorted(versions, key=lambda version: (len(version.name), version.name))


def _to_row(version: DatasetVersion) -> dict[str, Any]:
    return {**asdict(version), "committed_at": utc_text(version.committed_at)}


def _from_row(row: RowMapping) -> DatasetVersion:
    return DatasetVersion(**{**row, "committed_at": utc_time(row["committed_at"])})
