from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import pytest

from data.errors import LedgerError
from data.ledger.events import (
    GENESIS,
    Event,
    EventKind,
    canonical_json,
    check_chain,
    event_hash,
    next_event,
    utc_text,
    utc_time,
)
from tests.unit.data.ledger_cases import NOON


def a_chain(length: int) -> list[Event]:
    head, chain = GENESIS, []
    for number in range(length):
        event = next_event(head, NOON, EventKind.LABEL, "radiograph", {"number": number})
        chain.append(event)
        head = (event.seq, event.hash)
    return chain


def test_canonical_json_sorts_keys_and_has_no_spaces() -> None:
    assert canonical_json({"b": [1, 2.5], "a": {"d": None, "c": True}}) == (
        '{"a":{"c":true,"d":null},"b":[1,2.5]}'
    )


def test_canonical_json_writes_other_alphabets_as_ascii() -> None:
    assert canonical_json({"reader": "Zoë"}) == '{"reader":"Zo\\u00eb"}'


@pytest.mark.parametrize(
    ("value", "part"),
    [
        pytest.param({"mae": float("nan")}, "payload.mae is nan", id="not a number"),
        pytest.param({"a": [1.0, float("inf")]}, r"payload.a\[1\] is inf", id="infinite"),
        pytest.param({"a": {3: "x"}}, "payload.a has the key 3", id="key that is not text"),
        pytest.param({"at": NOON}, "payload.at is a datetime", id="not JSON"),
    ],
)
def test_what_json_cannot_hold_is_refused_by_name(value: dict[str, object], part: str) -> None:
    with pytest.raises(LedgerError, match=part):
        canonical_json(value)


def test_the_hash_is_sha256_of_the_hash_before_and_all_facts_of_the_event() -> None:
    text = (
        "f" * 64
        + '{"at":"2026-03-01T12:00:00.000000+00:00","kind":"label","payload":{"age":120.0},'
        + '"seq":7,"subject":"abc"}'
    )

    digest = event_hash("f" * 64, 7, NOON, EventKind.LABEL, "abc", {"age": 120.0})

    assert digest == sha256(text.encode()).hexdigest()


def test_times_are_recorded_in_utc_whatever_their_zone() -> None:
    in_berlin = datetime(2026, 3, 1, 13, 0, tzinfo=timezone(timedelta(hours=1)))

    assert utc_text(in_berlin) == "2026-03-01T12:00:00.000000+00:00"
    assert utc_time(utc_text(in_berlin)) == NOON
    assert utc_time(utc_text(in_berlin)).tzinfo is UTC


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(LedgerError, match="no time zone"):
        utc_text(datetime(2026, 3, 1))


def test_an_untouched_chain_leads_to_its_head() -> None:
    chain = a_chain(5)

    assert check_chain(chain) == (5, chain[-1].hash)


def test_a_chain_can_be_followed_in_parts() -> None:
    chain = a_chain(5)

    assert check_chain(chain[3:], check_chain(chain[:3])) == (5, chain[-1].hash)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"payload": {"number": 9}}, id="payload"),
        pytest.param({"subject": "other"}, id="subject"),
        pytest.param({"kind": EventKind.OVERRIDE}, id="kind"),
        pytest.param({"at": NOON + timedelta(microseconds=1)}, id="time"),
        pytest.param({"hash": "0" * 64}, id="hash"),
    ],
)
def test_a_changed_event_is_named(change: dict[str, object]) -> None:
    chain = a_chain(5)
    chain[2] = replace(chain[2], **change)  # type: ignore[arg-type]

    with pytest.raises(LedgerError, match=r"event 3 \(.*\) is not what was recorded"):
        check_chain(chain)


def test_a_removed_event_is_named() -> None:
    chain = a_chain(5)
    del chain[2]

    with pytest.raises(LedgerError, match="event 3 is missing"):
        check_chain(chain)


def test_a_removed_event_is_noticed_even_if_the_rest_is_renumbered() -> None:
    chain = a_chain(5)
    del chain[2]
    renumbered = [replace(event, seq=seq) for seq, event in enumerate(chain, start=1)]

    with pytest.raises(LedgerError, match=r"event 3 \(.*\) is not what was recorded"):
        check_chain(renumbered)


def test_reordered_events_are_named() -> None:
    chain = a_chain(5)
    chain[1], chain[2] = replace(chain[2], seq=2), replace(chain[1], seq=3)

    with pytest.raises(LedgerError, match=r"event 2 \(.*\) is not what was recorded"):
        check_chain(chain)
