"""What cannot be read is no label, and whoever disagrees on it is heard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from data.domain import REFERENCE_READER, Reading, Target
from data.ledger.ledger import Ledger
from data.readers.agreement import label_noise
from data.readers.consensus import consensus, live_readings, reader_keys
from data.readers.disagreements import count_disagreements, disagreements
from data.readers.unreadable import unreadable_reasons
from data.versions.replay import replay_labels
from tests.unit.data.dataset_cases import SPEC as READABLE
from tests.unit.data.dataset_cases import a_radiograph, a_reading, radiograph_id

SPEC = replace(READABLE, unreadable=Target("unreadable", "choice", choices=("exposure", "other")))
CHIEF = "chief@example.org"
FILM = a_radiograph(1)


def cannot(reader: str, minute: int = 0, reason: str = "exposure", number: int = 1) -> Reading:
    return replace(a_reading(reader, number, minute), unreadable=reason)


def can(reader: str, minute: int = 0, age: float = 100.0, number: int = 1) -> Reading:
    return a_reading(reader, number, minute, age_months=age, sex="male")


def reasons(*readings: Reading) -> dict[str, str]:
    return unreadable_reasons(live_readings(readings).values(), reader_keys([CHIEF]))


CASES = {
    "the only reader cannot": ([cannot("a")], False),
    "all cannot": ([cannot("a"), cannot("b", 1)], False),
    "one can and one cannot": ([can("a"), cannot("b", 1)], False),
    "most can": ([can("a"), cannot("b", 1), can("c", 2)], True),
    "most cannot": ([can("a"), cannot("b", 1), cannot("c", 2)], False),
    "the adjudicator can": ([cannot("a"), cannot("b", 1), can(CHIEF, 2)], True),
    "the adjudicator cannot": ([can("a"), can("b", 1), cannot(CHIEF.upper(), 2)], False),
    "the adjudicator had read it before": ([cannot(CHIEF), can(CHIEF, 1)], True),
    "the source has a reference": ([cannot("a", 1), can(REFERENCE_READER)], True),
}


@pytest.mark.parametrize(("readings", "labelled"), CASES.values(), ids=CASES)
def test_a_film_has_a_label_unless_half_of_its_readers_cannot_read_it(
    readings: list[Reading], labelled: bool
) -> None:
    rows = consensus([FILM], readings, SPEC, [CHIEF])

    assert [row.radiograph.id for row in rows] == ([FILM.id] if labelled else [])
    assert set(reasons(*readings)) == (set() if labelled else {FILM.id})


def test_a_reader_who_cannot_read_a_film_does_not_agree_with_its_label() -> None:
    (row,) = consensus([FILM], [can("a"), cannot("b", 1), can("c", 2)], SPEC)

    assert row.values["age_months"] == 100.0
    assert row.agreement == pytest.approx(2 / 3)


def test_of_several_reasons_the_one_that_most_give_counts() -> None:
    said = [cannot("a", 0, "other"), cannot("b", 1), cannot("c", 2)]

    assert reasons(*said) == {FILM.id: "exposure"}


def test_the_adjudicators_reason_stands() -> None:
    said = [cannot("a"), cannot("b", 1), cannot(CHIEF, 2, "other")]

    assert reasons(*said) == {FILM.id: "other"}


def test_readers_who_disagree_whether_a_film_can_be_read_are_in_dispute() -> None:
    readings = [can("a"), cannot("b", 1)]

    (found,) = disagreements([FILM], readings, SPEC, [CHIEF])

    assert found.targets == ("unreadable",)
    assert found.label.values == {}
    assert [reading.unreadable for reading in found.readings] == ["", "exposure"]
    assert count_disagreements(readings, SPEC, [CHIEF]) == 1
    assert label_noise(readings, SPEC, [CHIEF]).unsettled == 1


def test_a_dispute_on_the_age_is_told_beside_the_one_on_the_film() -> None:
    readings = [can("a"), can("b", 1, age=130.0), cannot("c", 2)]

    (found,) = disagreements([FILM], readings, SPEC)

    assert found.targets == ("unreadable", "age_months")


@pytest.mark.parametrize(
    "last", [can(CHIEF, 2), cannot(CHIEF, 2), can(REFERENCE_READER)], ids=["can", "cannot", "ref"]
)
def test_an_adjudicator_or_a_reference_settles_whether_a_film_can_be_read(last: Reading) -> None:
    assert disagreements([FILM], [can("a"), cannot("b", 1), last], SPEC, [CHIEF]) == []


def test_readers_who_give_different_reasons_are_in_no_dispute() -> None:
    assert disagreements([FILM], [cannot("a"), cannot("b", 1, "other")], SPEC) == []


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as opened:
        opened.add_radiographs([a_radiograph(number) for number in (1, 2)])
        yield opened


def test_the_ledger_keeps_why_a_film_cannot_be_read(ledger: Ledger) -> None:
    ledger.record_readings([cannot("a")])
    assert ledger.record_readings([cannot("a")]) == 0

    assert ledger.readings() == [cannot("a")]
    assert ledger.label_snapshot().unreadable == [cannot("a")]


def test_a_film_that_nobody_can_read_is_nothing_new_to_learn(ledger: Ledger) -> None:
    ledger.record_readings([cannot("a")])

    assert ledger.changed_radiographs(after=0) == 0


def test_a_label_that_is_taken_back_because_the_film_cannot_be_read_is_a_change(
    ledger: Ledger,
) -> None:
    ledger.record_readings([can("a", minute=0)])
    seen = ledger.head()[0]
    ledger.record_readings([replace(cannot("a", minute=5), annotation="1:0")])

    assert ledger.changed_radiographs(after=seen) == 1


def test_the_snapshot_tells_all_readings_of_films_that_somebody_cannot_read(
    ledger: Ledger,
) -> None:
    ledger.record_readings([can("a", 0), cannot("b", 1), can("a", 2, number=2)])

    told = ledger.label_snapshot(after=ledger.head())

    assert told.readings == []
    assert {(r.reader, r.radiograph_id) for r in told.unreadable} == {
        ("a", radiograph_id(1)),
        ("b", radiograph_id(1)),
    }


def test_a_replay_of_the_events_knows_what_could_not_be_read(ledger: Ledger) -> None:
    ledger.record_readings([can("a", 0), can("a", 1, number=2)])
    before = ledger.head()[0]
    ledger.record_readings([replace(cannot("a", 5), annotation="1:0")])
    films = [a_radiograph(number) for number in (1, 2)]

    replayed = dict(replay_labels(ledger, [before, ledger.head()[0]], films, SPEC))

    assert [len(rows) for rows in replayed.values()] == [2, 1]
