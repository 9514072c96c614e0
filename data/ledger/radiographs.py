"""Radiographs, their patients' splits, and the Label Studio tasks that show them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, func, insert, select, update

from data.domain import Radiograph, Split
from data.errors import LedgerError, NotFoundError
from data.ledger.database import put_rows, rows_among
from data.ledger.events import canonical_json, utc_text, utc_time
from data.ledger.schema import patients, radiographs, task_links


def add_radiographs(connection: Connection, new: Sequence[Radiograph]) -> int:
    """Adds those that are not there yet; see `Ledger.add_radiographs`."""
    known = _known(connection, {radiograph.id for radiograph in new})
    fresh = {item.id: item for item in reversed(new) if item.id not in known}
    settle_splits(connection, {(item.patient, item.split) for item in new})
    put_rows(connection, radiographs, [_to_row(item) for item in fresh.values()])
    return len(fresh)


def find_radiograph(connection: Connection, radiograph_id: str) -> Radiograph | None:
    """Returns the radiograph of that id."""
    query = _all().where(radiographs.c.id == radiograph_id)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _from_row(row)


def list_radiographs(connection: Connection, split: Split | None) -> list[Radiograph]:
    """Returns the radiographs of a split (of all if None), sorted by id."""
    query = _all().order_by(radiographs.c.id)
    if split is not None:
        query = query.where(patients.c.split == split.value)
    return [_from_row(row) for row in connection.execute(query).mappings()]


def radiographs_among(connection: Connection, wanted: Collection[str]) -> dict[str, Radiograph]:
    """Returns id -> radiograph of those that are known."""
    rows = rows_among(connection, _all(), radiographs.c.id, wanted)
    return {row["id"]: _from_row(row) for row in rows}


def count_radiographs(connection: Connection, split: Split | None) -> int:
    """Counts the radiographs of a split (all if None)."""
    query = select(func.count()).select_from(radiographs.join(patients))
    if split is not None:
        query = query.where(patients.c.split == split.value)
    return connection.execute(query).scalar_one()


def patient_splits(connection: Connection, wanted: Collection[str]) -> dict[str, Split]:
    """Returns the splits of those patients that have one."""
    rows = rows_among(connection, select(patients), patients.c.patient, wanted)
    return {row["patient"]: Split(row["split"]) for row in rows}


def require_radiographs(connection: Connection, wanted: Collection[str]) -> None:
    """Raises NotFoundError, naming one, if the ledger does not know all of these radiographs."""
    missing = sorted(set(wanted) - _known(connection, wanted))
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise NotFoundError(
            f"The ledger does not know radiograph {missing[0]}{others}: import first."
        )


def link_tasks(connection: Connection, project: int, links: Mapping[int, str]) -> None:
    """Records which radiograph each task shows; see `Ledger.link_tasks`."""
    require_radiographs(connection, set(links.values()))
    query = select(task_links.c.task, task_links.c.radiograph_id).where(
        task_links.c.project == project
    )
    known = {
        row["task"]: row["radiograph_id"]
        for row in rows_among(connection, query, task_links.c.task, links)
    }
    fresh = [
        {"project": project, "task": task, "radiograph_id": radiograph_id}
        for task, radiograph_id in links.items()
        if task not in known
    ]
    if fresh:
        connection.execute(insert(task_links), fresh)
    for task, radiograph_id in links.items():
        if known.get(task, radiograph_id) != radiograph_id:
            connection.execute(
                update(task_links)
                .where(task_links.c.project == project, task_links.c.task == task)
                .values(radiograph_id=radiograph_id)
            )


def list_task_links(connection: Connection, project: int) -> dict[int, str]:
    """Returns task id -> radiograph id of a project, by ascending task id."""
    query = (
        select(task_links.c.task, task_links.c.radiograph_id)
        .where(task_links.c.project == project)
        .order_by(task_links.c.task)
    )
    return {row.task: row.radiograph_id for row in connection.execute(query)}


def radiograph_of_task(connection: Connection, project: int, task: int) -> str | None:
    """Returns the id of the radiograph that a task shows."""
    query = select(task_links.c.radiograph_id).where(
        task_links.c.project == project, task_links.c.task == task
    )
    return connection.execute(query).scalar_one_or_none()


def _known(connection: Connection, wanted: Collection[str]) -> set[str]:
    rows = rows_among(connection, select(radiographs.c.id), radiographs.c.id, wanted)
    return {row["id"] for row in rows}


def settle_splits(connection: Connection, wanted: Collection[tuple[str, Split]]) -> None:
    """Fixes the split of patients who have none; refuses another one for those who have."""
    settled = patient_splits(connection, {patient for patient, _ in wanted})
    fresh: dict[str, Split] = {}
    for patient, split in sorted(wanted):
        there = settled.get(patient) or fresh.setdefault(patient, split)
        if there is not split:
            raise LedgerError(
                f"Patient {patient} is in split {there} for ever and cannot go to {split}: "
                "keep the salt and the shares of the splits that the workspace began with."
            )
    put_rows(connection, patients, [(key, split.value) for key, split in fresh.items()])


def _all() -> Select[Any]:
    return select(radiographs, patients.c.split).join(patients)


def _to_row(item: Radiograph) -> tuple[Any, ...]:
    """Returns the columns in the order of the table."""
    return (
        item.id,
        item.patient,
        item.source,
        item.path,
        item.width,
        item.height,
        utc_text(item.imported_at),
        canonical_json(item.metadata) if item.metadata else "{}",
    )


def _from_row(row: RowMapping) -> Radiograph:
    return Radiograph(
        id=row["id"],
        patient=row["patient"],
        split=Split(row["split"]),
        source=row["source"],
        path=row["path"],
        width=row["width"],
        height=row["height"],
        imported_at=utc_time(row["imported_at"]),
        metadata=json.loads(row["metadata"]),
    )
