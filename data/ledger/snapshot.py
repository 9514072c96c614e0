"""What a dataset version is made of, as one moment of the ledger: all of it, or what changed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from data.domain import Radiograph, Reading
from data.ledger.chain import read_events, read_head
from data.ledger.database import CHUNK
from data.ledger.events import EventKind, Head
from data.ledger.radiographs import list_radiographs, radiographs_among
from data.ledger.readings import list_readings, readings_among
from data.ledger.schema import events, near_duplicates, readings


@dataclass(frozen=True, slots=True)
class LabelSnapshot:
    """Radiographs and their live readings at one event.

    Attributes:
        head: The event.
        changed: Radiographs whose readings may be other ones than at the earlier event; None: the
            snapshot is of all of them.
        radiographs: The changed ones, or all; sorted by id.
        readings: The live readings of these.
        several: The live readings of all radiographs that have two or more.
        unreadable: The live readings of all radiographs that a reader cannot read.
        read: Radiographs with a live reading.
        near_duplicates: Pairs of radiographs that look alike.
    """

    head: Head
    changed: frozenset[str] | None
    radiographs: list[Radiograph]
    readings: list[Reading]
    several: list[Reading]
    unreadable: list[Reading]
    read: int
    near_duplicates: int


def take_snapshot(connection: Connection, after: Head | None) -> LabelSnapshot:
    """Reads what belongs to the head; see `Ledger.label_snapshot`."""
    changed = None
    if after is not None and _holds(connection, after):
        changed = _changed(connection, after[0])
    live = readings.c.withdrawn.is_(False)
    of, times = readings.c.radiograph_id, func.count()
    several = select(of, times).where(live).group_by(of).having(times > 1)
    many = {row[0]: row[1] for row in connection.execute(several)}
    unread = select(of).distinct().where(live, readings.c.unreadable != "")
    all_live = connection.execute(select(times).select_from(readings).where(live)).scalar_one()
    pairs = select(func.count()).select_from(near_duplicates)
    return LabelSnapshot(
        head=read_head(connection),
        changed=changed,
        radiographs=_radiographs(connection, changed),
        readings=_readings(connection, changed),
        several=_readings(connection, many),
        unreadable=_readings(connection, connection.execute(unread).scalars().all()),
        read=all_live - sum(many.values()) + len(many),
        near_duplicates=connection.execute(pairs).scalar_one(),
    )


def _radiographs(connection: Connection, wanted: Collection[str] | None) -> list[Radiograph]:
    if wanted is None:
        return list_radiographs(connection, None)
    return [found for _, found in sorted(radiographs_among(connection, wanted).items())]


def _readings(connection: Connection, wanted: Collection[str] | None) -> list[Reading]:
    if wanted is None:
        return list_readings(connection, include_withdrawn=False)
    return readings_among(connection, wanted)


def _holds(connection: Connection, event: Head) -> bool:
    """Whether this is the ledger that has this event: not one that was put in its place."""
    query = select(events.c.hash).where(events.c.seq == event[0])
    return connection.execute(query).scalar_one_or_none() == event[1]


def _changed(connection: Connection, after: int) -> frozenset[str]:
    """The radiographs of all label events since, also of readings that moved to another one."""
    changed: set[str] = set()
    while True:
        page = read_events(connection, after, [EventKind.LABEL], CHUNK)
        for event in page:
            old = event.payload.get("old")
            changed |= {event.subject, *([old["radiograph"]] if old else [])}
        if len(page) < CHUNK:
            return frozenset(changed)
        after = page[-1].seq
