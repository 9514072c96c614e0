"""The events of the ledger and their hash chain: pure, so that anybody can check a ledger.

Each event's hash is SHA-256 over the hash before it followed by the event's own canonical JSON.
Whoever changes, removes or reorders an event breaks every hash from there on; whoever rewrites the
whole chain no longer matches the `Ledger-Head` that each dataset version carries in git.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, TypeAlias

from data.errors import LedgerError

Head: TypeAlias = tuple[int, str]
"""Sequence number and hash of the last event of a chain."""

GENESIS: Head = (0, "0" * 64)
"""The head of a chain without events."""


class EventKind(StrEnum):
    """What happened."""

    HINT = "hint"
    """A webhook of Label Studio arrived; it says where to look, not what is true."""
    LABEL = "label"
    """A reading was recorded, changed, withdrawn or revived."""
    TRAIN_REQUESTED = "train_requested"
    COMMITTED = "committed"
    """A dataset version was committed."""
    RUN = "run"
    """A training run changed its state."""
    GATE = "gate"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    OVERRIDE = "override"
    """A person decided against the rules, and is named in the event."""


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the ledger.

    Attributes:
        seq: 1, 2, 3, ... without a gap.
        at: When it was recorded, UTC.
        kind: What happened.
        subject: What it happened to: id of a radiograph, a run, a version.
        payload: The facts, as JSON holds them.
        hash: 64 hexadecimal digits; see `event_hash`.
    """

    seq: int
    at: datetime
    kind: EventKind
    subject: str
    payload: Mapping[str, Any]
    hash: str


def utc_text(moment: datetime) -> str:
    """Returns a time as ISO 8601 text in UTC whose alphabetical order is the order in time.

    Raises:
        LedgerError: The time has no time zone.
    """
    if moment.utcoffset() is None:
        raise LedgerError(f"The time {moment} has no time zone: the ledger records UTC only.")
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def utc_time(text: str) -> datetime:
    """Reads what `utc_text` wrote; raises ValueError for anything else."""
    return datetime.fromisoformat(text).astimezone(UTC)


def canonical_json(value: Mapping[str, Any]) -> str:
    """Returns the one JSON text that a value has: sorted keys, no spaces, ASCII, finite numbers.

    Raises:
        LedgerError: JSON cannot hold a part of the value; the sentence names the part.
    """
    return json.dumps(_plain(value, "payload"), sort_keys=True, separators=(",", ":"))


def event_hash(
    previous: str, seq: int, at: datetime, kind: str, subject: str, payload: Mapping[str, Any]
) -> str:
    """Returns SHA-256 over `previous` and the canonical JSON of the other arguments."""
    facts = {"seq": seq, "at": utc_text(at), "kind": kind, "subject": subject, "payload": payload}
    return sha256((previous + canonical_json(facts)).encode()).hexdigest()


def next_event(
    head: Head, at: datetime, kind: EventKind, subject: str, payload: Mapping[str, Any]
) -> Event:
    """Returns the event that follows `head`."""
    seq = head[0] + 1
    digest = event_hash(head[1], seq, at, kind, subject, payload)
    return Event(seq=seq, at=at, kind=kind, subject=subject, payload=payload, hash=digest)


def check_chain(events: Iterable[Event], head: Head = GENESIS) -> Head:
    """Follows a chain from `head` and returns its new head.

    Args:
        events: In the order of their sequence numbers, beginning after `head`.
        head: The last event that is already checked.

    Raises:
        LedgerError: An event is missing, changed or out of order; the sentence names the first.
    """
    for event in events:
        expected = head[0] + 1
        if event.seq != expected:
            raise LedgerError(
                f"The ledger is broken: event {expected} is missing, event {event.seq} follows "
                f"event {head[0]}."
            )
        digest = event_hash(head[1], event.seq, event.at, event.kind, event.subject, event.payload)
        if digest != event.hash:
            raise LedgerError(
                f"The ledger is broken: event {event.seq} ({event.kind} {event.subject}) is not "
                "what was recorded; it was changed or reordered."
            )
        head = (event.seq, event.hash)
    return head


def _plain(value: object, where: str) -> object:
    """Copies a value into what JSON holds without loss, or says which part it cannot hold."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise LedgerError(f"{where} is {value}, which the ledger cannot record as a number.")
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise LedgerError(f"{where} has the key {key!r}, which is not text.")
        return {key: _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    raise LedgerError(f"{where} is a {type(value).__name__}, which the ledger cannot record.")
