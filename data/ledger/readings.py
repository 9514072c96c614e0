"""What the readers say now, and one `label` event for each change of it.

The caller tells facts, in any order and as often as it likes; the ledger works out what changed.
Two times keep that free of surprises: `read_at` belongs to the values that are stored, `seen_at` is
the newest time at which they were told. What is told with an older time than `seen_at` is stale.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, func, insert, select, update

from data.domain import REFERENCE_READER, Reading, Split
from data.errors import InvalidInputError
from data.ledger.chain import append_events
from data.ledger.database import rows_among
from data.ledger.events import EventKind, canonical_json, utc_text, utc_time
from data.ledger.radiographs import require_radiographs
from data.ledger.schema import patients, radiographs, readings

ANNOTATION = re.compile(r"(\d{1,9}):(\d{1,18})", re.ASCII)
"""`<project>:<annotation>`."""


@dataclass(frozen=True, slots=True)
class Change:
    """A reading that is not what the ledger holds of it.

    Attributes:
        key: Primary key in the table of readings.
        old: What the ledger holds; None: nothing.
        new: What is true.
        seen_at: `utc_text` of the newest time that was told.
        label_event: The last event before this one that changed a label; 0: none.
    """

    key: str
    old: Reading | None
    new: Reading
    seen_at: str
    label_event: int

    def changes_a_label(self) -> bool:
        """Whether more happened than a radiograph being put aside that had no label."""
        return _is_label(self.new) or (self.old is not None and _is_label(self.old))


def reading_key(reading: Reading) -> str:
    """Returns what makes a reading the same reading.

    Raises:
        InvalidInputError: A reader's reading without an annotation, or a reference with one.
    """
    if (reading.reader == REFERENCE_READER) != (reading.annotation == ""):
        raise InvalidInputError(
            f"The reading of radiograph {reading.radiograph_id} by {reading.reader!r} names the "
            f"annotation {reading.annotation!r}: readers have one, the reference has none."
        )
    if not reading.annotation:
        return f"{REFERENCE_READER}:{reading.radiograph_id}"
    if not ANNOTATION.fullmatch(reading.annotation):
        raise InvalidInputError(
            f"{reading.annotation!r} is no annotation: it is written <project>:<annotation>."
        )
    return reading.annotation


def record_readings(connection: Connection, told: Sequence[Reading]) -> int:
    """Moves the readings to what is told; see `Ledger.record_readings`."""
    latest: dict[str, Reading] = {}
    for reading in told:
        key = reading_key(reading)
        known = latest.get(key)
        if known is None or utc_text(known.read_at) <= utc_text(reading.read_at):
            latest[key] = reading
    require_radiographs(connection, {reading.radiograph_id for reading in latest.values()})
    stored = {row["key"]: row for row in _rows(connection, latest)}
    changes: list[Change] = []
    confirmed: list[dict[str, str]] = []
    for key, reading in latest.items():
        seen_at, row = utc_text(reading.read_at), stored.get(key)
        if row is None:
            changes.append(Change(key, None, reading, seen_at, 0))
        elif seen_at >= row["seen_at"]:
            old = _from_row(row)
            if _label(old) != _label(reading):
                changes.append(Change(key, old, reading, seen_at, row["label_event"]))
            elif seen_at > row["seen_at"]:
                confirmed.append({"of": key, "seen": seen_at})
    _confirm(connection, confirmed)
    return _store(connection, changes)


def withdraw_annotations(connection: Connection, annotations: Collection[str]) -> int:
    """Withdraws the readings of annotations that are gone; see `Ledger.withdraw_annotations`."""
    changes = []
    for row in _rows(connection, set(annotations)):
        old = _from_row(row)
        if old.annotation and not old.withdrawn:
            new = replace(old, withdrawn=True)
            changes.append(Change(row["key"], old, new, row["seen_at"], row["label_event"]))
    return _store(connection, sorted(changes, key=lambda change: change.key))


def list_readings(connection: Connection, include_withdrawn: bool) -> list[Reading]:
    """Returns the readings, sorted by radiograph and reading."""
    query = select(readings).order_by(readings.c.radiograph_id, readings.c.key)
    if not include_withdrawn:
        query = query.where(readings.c.withdrawn.is_(False))
    return [_from_row(row) for row in connection.execute(query).mappings()]


def readings_among(connection: Connection, wanted: Collection[str]) -> list[Reading]:
    """Returns the live readings of these radiographs, sorted by radiograph and reading."""
    query = select(readings).where(readings.c.withdrawn.is_(False))
    rows = rows_among(connection, query, readings.c.radiograph_id, wanted)
    return [_from_row(row) for row in sorted(rows, key=_radiograph_and_key)]


def readings_of(connection: Connection, radiograph_id: str) -> list[Reading]:
    """Returns all readings of a radiograph, withdrawn ones included, sorted by reading."""
    query = select(readings).where(readings.c.radiograph_id == radiograph_id)
    rows = connection.execute(query.order_by(readings.c.key)).mappings()
    return [_from_row(row) for row in rows]


def live_annotations(connection: Connection, project: int) -> set[int]:
    """Returns the numbers of a project's annotations that are not withdrawn."""
    query = select(readings.c.key).where(
        readings.c.project == project, readings.c.withdrawn.is_(False)
    )
    return {int(key.partition(":")[2]) for key in connection.execute(query).scalars()}


def count_changed(connection: Connection, after: int) -> int:
    """Counts the radiographs whose label changed; see `Ledger.changed_radiographs`."""
    held_out_reference = (readings.c.reader == REFERENCE_READER) & (
        patients.c.split != Split.TRAIN.value
    )
    query = (
        select(func.count(readings.c.radiograph_id.distinct()))
        .select_from(readings.join(radiographs).join(patients))
        .where(readings.c.label_event > after, ~held_out_reference)
    )
    return connection.execute(query).scalar_one()


def _radiograph_and_key(row: RowMapping) -> tuple[str, str]:
    return row["radiograph_id"], row["key"]


def _store(connection: Connection, changes: Sequence[Change]) -> int:
    drafts = [(EventKind.LABEL, item.new.radiograph_id, _payload(item)) for item in changes]
    fresh: list[dict[str, Any]] = []
    moved: list[dict[str, Any]] = []
    for item, seq in zip(changes, append_events(connection, drafts), strict=True):
        row = _to_row(item, seq if item.changes_a_label() else item.label_event)
        (fresh if item.old is None else moved).append(row)
    if fresh:
        connection.execute(insert(readings), fresh)
    if moved:
        connection.execute(
            update(readings).where(readings.c.key == bindparam("of")),
            [{"of": row.pop("key"), **row} for row in moved],
        )
    return len(changes)


def _confirm(connection: Connection, confirmed: list[dict[str, str]]) -> None:
    if confirmed:
        same = update(readings).where(readings.c.key == bindparam("of"))
        connection.execute(same.values(seen_at=bindparam("seen")), confirmed)


def _rows(connection: Connection, keys: Collection[str]) -> Iterable[RowMapping]:
    return rows_among(connection, select(readings), readings.c.key, keys)


def _is_label(reading: Reading) -> bool:
    """Whether it is neither withdrawn (skipped) nor says that the radiograph cannot be read."""
    return not reading.withdrawn and not reading.unreadable


def _label(reading: Reading) -> tuple[object, ...]:
    """What makes two states of a reading different; lead time and origin only come along."""
    said = dict(reading.values), reading.unreadable
    return reading.radiograph_id, reading.reader, said, reading.withdrawn


def _payload(change: Change) -> dict[str, Any]:
    old = None if change.old is None else _facts(change.old)
    return {"reading": change.key, "old": old, "new": _facts(change.new)}


def _facts(reading: Reading) -> Mapping[str, Any]:
    return {
        "radiograph": reading.radiograph_id,
        "reader": reading.reader,
        "values": reading.values,
        "read_at": utc_text(reading.read_at),
        "origin": reading.origin,
        "withdrawn": reading.withdrawn,
        "lead_time_s": reading.lead_time_s,
        **({"unreadable": reading.unreadable} if reading.unreadable else {}),
    }


def _to_row(change: Change, label_event: int) -> dict[str, Any]:
    reading = change.new
    return {
        "key": change.key,
        "radiograph_id": reading.radiograph_id,
        "reader": reading.reader,
        "project": int(reading.annotation.partition(":")[0]) if reading.annotation else None,
        "values": canonical_json(reading.values),
        "origin": reading.origin,
        "withdrawn": reading.withdrawn,
        "lead_time_s": reading.lead_time_s,
        "read_at": utc_text(reading.read_at),
        "seen_at": change.seen_at,
        "label_event": label_event,
        "unreadable": reading.unreadable,
    }


def _from_row(row: RowMapping) -> Reading:
    return Reading(
        radiograph_id=row["radiograph_id"],
        reader=row["reader"],
        values=json.loads(row["values"]),
        read_at=utc_time(row["read_at"]),
        annotation="" if row["project"] is None else row["key"],
        origin=row["origin"],
        withdrawn=row["withdrawn"],
        lead_time_s=row["lead_time_s"],
        unreadable=row["unreadable"],
    )
