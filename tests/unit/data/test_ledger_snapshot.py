"""What a dataset version is made of: all of the ledger, or what changed since an event."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from data.ledger.events import EventKind
from data.ledger.ledger import Ledger
from tests.unit.data.ledger_cases import (
    a_radiograph,
    a_reading,
    a_reference,
    new_ledger,
    radiograph_id,
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger of five radiographs; 1 and 2 are read."""
    with new_ledger(tmp_path) as opened:
        opened.add_radiographs([a_radiograph(number) for number in range(1, 6)])
        opened.record_readings([a_reading(1, annotation=11), a_reading(2, annotation=12)])
        yield opened


def ids(*numbers: int) -> frozenset[str]:
    return frozenset(radiograph_id(number) for number in numbers)


def test_without_an_event_the_snapshot_is_of_everything(ledger: Ledger) -> None:
    found = ledger.label_snapshot()

    assert (found.head, found.changed, found.read) == (ledger.head(), None, 2)
    assert found.radiographs == ledger.radiographs()
    assert found.readings == ledger.readings()


def test_nothing_changed_since_the_head(ledger: Ledger) -> None:
    found = ledger.label_snapshot(ledger.head())

    assert (found.changed, found.radiographs, found.readings) == (frozenset(), [], [])
    assert found.read == 2


def test_a_new_reading_brings_its_radiograph_with_all_of_its_readings(ledger: Ledger) -> None:
    before = ledger.head()
    ledger.record_readings([a_reading(2, annotation=13, reader="b@x.org")])

    found = ledger.label_snapshot(before)

    assert found.changed == ids(2)
    assert [radiograph.id for radiograph in found.radiographs] == [radiograph_id(2)]
    assert {reading.annotation for reading in found.readings} == {"3:12", "3:13"}


def test_a_withdrawn_reading_names_its_radiograph_and_is_not_there(ledger: Ledger) -> None:
    before = ledger.head()
    ledger.withdraw_annotations({"3:11"})

    found = ledger.label_snapshot(before)

    assert (found.changed, found.readings, found.read) == (ids(1), [], 1)


def test_a_reading_that_moved_names_both_radiographs(ledger: Ledger) -> None:
    before = ledger.head()
    ledger.record_readings([a_reading(4, annotation=11, minute=1)])

    assert ledger.label_snapshot(before).changed == ids(1, 4)


def test_a_reference_is_a_change_too(ledger: Ledger) -> None:
    before = ledger.head()
    ledger.record_readings([a_reference(3)])

    assert ledger.label_snapshot(before).changed == ids(3)


def test_other_events_change_no_label(ledger: Ledger) -> None:
    before = ledger.head()
    ledger.append(EventKind.HINT, "webhook", {})

    assert ledger.label_snapshot(before).changed == frozenset()


@pytest.mark.parametrize(
    "event", [(2, "0" * 64), (99, "0" * 64), (0, "0" * 64)], ids=["altered", "missing", "none"]
)
def test_an_event_that_this_ledger_does_not_hold_gives_everything(
    ledger: Ledger, event: tuple[int, str]
) -> None:
    assert ledger.label_snapshot(event) == replace(ledger.label_snapshot(), changed=None)


def test_radiographs_with_several_live_readings_are_told_in_any_case(ledger: Ledger) -> None:
    ledger.record_readings(
        [
            a_reading(1, annotation=21, reader="b@x.org"),
            a_reading(2, annotation=22, reader="b@x.org"),
        ]
    )
    ledger.withdraw_annotations({"3:22"})

    found = ledger.label_snapshot(ledger.head())

    assert [reading.annotation for reading in found.several] == ["3:11", "3:21"]
    assert found.read == 2


def test_more_changes_than_a_page_of_events_are_all_found(ledger: Ledger) -> None:
    before = ledger.head()
    ledger.add_radiographs([a_radiograph(number) for number in range(10, 1300)])
    ledger.record_readings([a_reading(n, annotation=n + 1000) for n in range(10, 1300)])

    found = ledger.label_snapshot(before)

    assert found.changed == ids(*range(10, 1300))
    assert len(found.readings) == 1290
