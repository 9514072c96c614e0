"""Writing and reading the chain of events, on a connection that somebody else opened."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

from sqlalchemy import Connection, RowMapping, insert, select, update

from data.errors import LedgerError
from data.ledger.events import (
    Event,
    EventKind,
    Head,
    canonical_json,
    next_event,
    utc_text,
    utc_time,
)
from data.ledger.schema import chain_head, events

Draft: TypeAlias = tuple[EventKind, str, Mapping[str, Any]]
"""Kind, subject and payload of an event that has no place in the chain yet."""


def append_events(connection: Connection, drafts: Sequence[Draft]) -> list[int]:
    """Puts events at the end of the chain, in a writing transaction.

    Returns:
        Their sequence numbers.

    Raises:
        LedgerError: A payload cannot be written as JSON.
    """
    if not drafts:
        return []
    head = read_head(connection)
    now = datetime.now(UTC)
    chained: list[Event] = []
    for kind, subject, payload in drafts:
        event = next_event(head, now, kind, subject, payload)
        head = (event.seq, event.hash)
        chained.append(event)
    connection.execute(insert(events), [_to_row(event) for event in chained])
    connection.execute(update(chain_head).values(seq=head[0], hash=head[1]))
    return [event.seq for event in chained]


def read_head(connection: Connection) -> Head:
    """Returns the last event's sequence number and hash.

    Raises:
        LedgerError: The row that keeps them was removed.
    """
    row = connection.execute(select(chain_head.c.seq, chain_head.c.hash)).one_or_none()
    if row is None:
        raise LedgerError("The ledger is broken: its head is missing.")
    return row.seq, row.hash


def read_events(
    connection: Connection, after: int, kinds: Collection[EventKind] | None, limit: int
) -> list[Event]:
    """Returns the first `limit` events after sequence number `after`, of these kinds if given.

    Raises:
        LedgerError: An event cannot be read as one; the sentence names it.
    """
    query = select(events).where(events.c.seq > after).order_by(events.c.seq).limit(limit)
    if kinds is not None:
        query = query.where(events.c.kind.in_(kinds))
    return [_from_row(row) for row in connection.execute(query).mappings()]


def _to_row(event: Event) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "at": utc_text(event.at),
        "kind": event.kind.value,
        "subject": event.subject,
        "payload": canonical_json(event.payload),
        "hash": event.hash,
    }


def _from_row(row: RowMapping) -> Event:
    try:
        return Event(
            seq=row["seq"],
            at=utc_time(row["at"]),
            kind=EventKind(row["kind"]),
            subject=row["subject"],
            payload=json.loads(row["payload"]),
            hash=row["hash"],
        )
    except ValueError as error:
        raise LedgerError(
            f"The ledger is broken: event {row['seq']} is not what was recorded ({error})."
        ) from error
