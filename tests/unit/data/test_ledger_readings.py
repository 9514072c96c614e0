from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.domain import REFERENCE_READER, Reading, Split
from data.errors import InvalidInputError, LedgerError, NotFoundError
from data.ledger.events import Event, EventKind
from data.ledger.ledger import Ledger
from tests.unit.data.ledger_cases import (
    NOON,
    PROJECT,
    a_radiograph,
    a_reading,
    a_reference,
    new_ledger,
    radiograph_id,
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with new_ledger(tmp_path) as opened:
        opened.add_radiographs([a_radiograph(number) for number in (1, 2, 3)])
        opened.add_radiographs([a_radiograph(4, split=Split.TEST)])
        yield opened


def labels(ledger: Ledger) -> list[Event]:
    return list(ledger.events(kinds=[EventKind.LABEL]))


def test_a_reading_comes_back_as_it_was_recorded(ledger: Ledger) -> None:
    reading = a_reading(origin="prediction-changed", lead_time_s=31.4)

    assert ledger.record_readings([reading]) == 1

    assert ledger.readings() == [reading]


def test_a_first_reading_makes_one_event_without_an_old_value(ledger: Ledger) -> None:
    ledger.record_readings([a_reading(age=120.0)])

    (event,) = labels(ledger)
    assert event.subject == radiograph_id(1)
    assert event.payload["reading"] == "3:17"
    assert event.payload["old"] is None
    assert event.payload["new"]["values"] == {"age_months": 120.0, "sex": "female"}
    assert event.payload["new"]["reader"] == "ada@example.org"


def test_the_same_facts_again_change_nothing_and_make_no_event(ledger: Ledger) -> None:
    ledger.record_readings([a_reading()])

    assert ledger.record_readings([a_reading(), a_reading()]) == 0

    assert len(labels(ledger)) == 1


def test_the_same_values_told_later_are_no_change(ledger: Ledger) -> None:
    first = a_reading(age=120.0, minute=0)
    ledger.record_readings([first])

    assert ledger.record_readings([a_reading(age=120, minute=5, lead_time_s=9.0)]) == 0

    assert ledger.readings() == [first]
    assert len(labels(ledger)) == 1


def test_a_changed_value_makes_one_event_with_the_old_and_the_new_value(ledger: Ledger) -> None:
    ledger.record_readings([a_reading(age=120.0)])

    assert ledger.record_readings([a_reading(age=132.0, minute=1)]) == 1

    event = labels(ledger)[-1]
    assert event.payload["old"]["values"]["age_months"] == 120.0
    assert event.payload["new"]["values"]["age_months"] == 132.0
    assert [reading.values["age_months"] for reading in ledger.readings()] == [132.0]


def test_older_facts_do_not_overwrite_newer_ones(ledger: Ledger) -> None:
    ledger.record_readings([a_reading(age=132.0, minute=5)])

    assert ledger.record_readings([a_reading(age=120.0, minute=4)]) == 0

    assert ledger.readings() == [a_reading(age=132.0, minute=5)]


def test_facts_older_than_a_later_confirmation_do_not_overwrite(ledger: Ledger) -> None:
    ledger.record_readings([a_reading(age=132.0, minute=1)])
    ledger.record_readings([a_reading(age=132.0, minute=9)])

    assert ledger.record_readings([a_reading(age=120.0, minute=5)]) == 0


def test_the_newest_of_several_facts_in_one_call_is_the_one_that_counts(ledger: Ledger) -> None:
    newest = a_reading(age=140.0, minute=2)

    changed = ledger.record_readings([a_reading(age=130.0, minute=1), newest, a_reading()])

    assert changed == 1
    assert ledger.readings() == [newest]
    assert len(labels(ledger)) == 1


def test_a_withdrawn_annotation_leaves_the_readings_and_makes_an_event(ledger: Ledger) -> None:
    reading = a_reading()
    ledger.record_readings([reading])

    assert ledger.withdraw_annotations({"3:17"}) == 1

    assert ledger.readings() == []
    assert ledger.readings(include_withdrawn=True) == [replace(reading, withdrawn=True)]
    assert labels(ledger)[-1].payload["new"]["withdrawn"] is True


def test_withdrawing_again_or_what_is_unknown_changes_nothing(ledger: Ledger) -> None:
    ledger.record_readings([a_reading()])
    ledger.withdraw_annotations({"3:17"})

    assert ledger.withdraw_annotations({"3:17", "3:999", f"reference:{radiograph_id(1)}"}) == 0

    assert len(labels(ledger)) == 2


def test_a_reference_is_never_withdrawn_as_an_annotation(ledger: Ledger) -> None:
    ledger.record_readings([a_reference(1)])

    assert ledger.withdraw_annotations({f"reference:{radiograph_id(1)}", ""}) == 0


def test_a_withdrawn_reading_that_is_told_again_lives_again(ledger: Ledger) -> None:
    ledger.record_readings([a_reading()])
    ledger.withdraw_annotations({"3:17"})

    assert ledger.record_readings([a_reading()]) == 1

    assert ledger.readings() == [a_reading()]
    assert [event.payload["new"]["withdrawn"] for event in labels(ledger)] == [False, True, False]


def test_a_skipped_radiograph_is_journalled_as_withdrawn(ledger: Ledger) -> None:
    ledger.record_readings([a_reading(values={}, withdrawn=True)])

    assert ledger.readings() == []
    assert labels(ledger)[0].payload["new"]["withdrawn"] is True


def test_the_reference_has_one_reading_a_radiograph(ledger: Ledger) -> None:
    ledger.record_readings([a_reference(1, age=100.0), a_reference(2, age=100.0)])

    assert ledger.record_readings([a_reference(1, age=104.0, minute=1)]) == 1

    assert [(r.radiograph_id, r.values["age_months"]) for r in ledger.readings()] == [
        (radiograph_id(1), 104.0),
        (radiograph_id(2), 100.0),
    ]
    assert {(r.reader, r.annotation) for r in ledger.readings()} == {(REFERENCE_READER, "")}


def test_two_readers_of_one_radiograph_both_count(ledger: Ledger) -> None:
    ledger.record_readings([a_reading(1, annotation=17), a_reading(1, annotation=18)])

    assert len(ledger.readings()) == 2


def test_live_annotations_are_those_of_the_project_that_are_not_withdrawn(ledger: Ledger) -> None:
    ledger.record_readings(
        [
            a_reading(1, annotation=17),
            a_reading(2, annotation=18),
            a_reading(3, annotation=19),
            replace(a_reading(3), annotation="33:20"),
            a_reference(1),
        ]
    )
    ledger.withdraw_annotations({"3:18"})

    assert ledger.live_annotations(PROJECT) == {17, 19}
    assert ledger.live_annotations(33) == {20}


def test_a_snapshot_holds_the_head_the_radiographs_and_the_live_readings(ledger: Ledger) -> None:
    ledger.record_readings([a_reading(1, annotation=17), a_reading(2, annotation=18)])
    ledger.withdraw_annotations({"3:18"})

    head, radiographs, readings = ledger.snapshot()

    assert head == ledger.head()
    assert radiographs == ledger.radiographs()
    assert readings == [a_reading(1, annotation=17)]


def test_changed_radiographs_counts_each_radiograph_once(ledger: Ledger) -> None:
    ledger.record_readings([a_reading(1, annotation=17), a_reading(1, annotation=18)])
    ledger.record_readings([a_reading(2, annotation=19)])

    assert ledger.changed_radiographs(0) == 2


def test_changed_radiographs_counts_what_came_after_the_event(ledger: Ledger) -> None:
    ledger.record_readings([a_reading(1, annotation=17), a_reading(2, annotation=18)])
    seq, _ = ledger.head()
    ledger.record_readings([a_reading(2, annotation=18, age=99.0, minute=1)])

    assert ledger.changed_radiographs(seq) == 1
    assert ledger.changed_radiographs(seq + 1) == 0


def test_a_withdrawal_changes_its_radiograph(ledger: Ledger) -> None:
    ledger.record_readings([a_reading(1)])
    seq, _ = ledger.head()
    ledger.withdraw_annotations({"3:17"})

    assert ledger.changed_radiographs(seq) == 1


@pytest.mark.parametrize(
    "reading",
    [
        pytest.param(a_reference(4), id="a reference of a held-out radiograph"),
        pytest.param(a_reading(1, values={}, withdrawn=True), id="a skipped radiograph"),
    ],
)
def test_no_expert_label_is_counted_for(ledger: Ledger, reading: Reading) -> None:
    ledger.record_readings([reading])

    assert ledger.changed_radiographs(0) == 0


def test_a_reference_that_is_trained_on_counts_as_a_label(ledger: Ledger) -> None:
    ledger.record_readings([a_reference(1)])

    assert ledger.changed_radiographs(0) == 1


def test_a_reading_of_an_unknown_radiograph_is_refused_and_nothing_is_kept(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError, match="import"):
        ledger.record_readings([a_reading(1), a_reading(404, annotation=18)])

    assert ledger.readings() == []
    assert ledger.head()[0] == 0


@pytest.mark.parametrize(
    "reading",
    [
        pytest.param(a_reading(annotation=1, reader=REFERENCE_READER), id="reference with one"),
        pytest.param(replace(a_reading(), annotation=""), id="reader without one"),
        pytest.param(replace(a_reading(), annotation="17"), id="without project"),
        pytest.param(replace(a_reading(), annotation="3:17; --"), id="not a number"),
    ],
)
def test_a_reading_with_a_wrong_annotation_is_refused(ledger: Ledger, reading: Reading) -> None:
    with pytest.raises(InvalidInputError, match="annotation"):
        ledger.record_readings([reading])


def test_the_readings_can_be_rebuilt_from_the_events_alone(ledger: Ledger) -> None:
    ledger.record_readings([a_reading(1, annotation=17), a_reference(2)])
    ledger.record_readings([a_reading(1, annotation=17, age=99.0, minute=3, lead_time_s=4.5)])
    ledger.record_readings([a_reading(3, annotation=18, minute=1)])
    ledger.withdraw_annotations({"3:18"})

    state: dict[str, dict[str, Any]] = {}
    for event in labels(ledger):
        assert event.payload["old"] == state.get(event.payload["reading"])
        state[event.payload["reading"]] = event.payload["new"]

    rebuilt = [
        (
            facts["radiograph"],
            facts["reader"],
            facts["values"],
            facts["withdrawn"],
            facts["read_at"],
        )
        for facts in state.values()
    ]
    stored = [
        (
            r.radiograph_id,
            r.reader,
            r.values,
            r.withdrawn,
            r.read_at.isoformat(timespec="microseconds"),
        )
        for r in ledger.readings(include_withdrawn=True)
    ]
    assert sorted(rebuilt, key=str) == sorted(stored, key=str)


@pytest.fixture(scope="module")
def long_lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    with new_ledger(tmp_path_factory.mktemp("converge")) as opened:
        opened.add_radiographs([a_radiograph()])
        yield opened


@pytest.mark.long
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    told=st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=5),
    calls=st.lists(st.integers(0, 4), max_size=8),
)
def test_doubled_and_reordered_facts_end_in_the_newest_state(
    long_lived: Ledger, told: list[tuple[int, bool]], calls: list[int]
) -> None:
    annotation = 1 + len(long_lived.readings(include_withdrawn=True))
    facts = [
        a_reading(annotation=annotation, age=100.0 + age, minute=minute, withdrawn=withdrawn)
        for minute, (age, withdrawn) in enumerate(told)
    ]

    for index in [*calls, *range(len(facts)), *reversed(calls)]:
        long_lived.record_readings([facts[index % len(facts)]])

    every = {reading.annotation: reading for reading in long_lived.readings(True)}
    stored = every[f"{PROJECT}:{annotation}"]
    assert (stored.values, stored.withdrawn) == (facts[-1].values, facts[-1].withdrawn)
    assert stored.read_at <= NOON + timedelta(minutes=len(facts) - 1)


@pytest.mark.parametrize("naive_first", [True, False], ids=["naive-first", "naive-last"])
def test_a_time_without_a_zone_is_refused_beside_one_with_a_zone(
    ledger: Ledger, naive_first: bool
) -> None:
    told = [a_reading(), replace(a_reading(), read_at=NOON.replace(tzinfo=None))]

    with pytest.raises(LedgerError, match="no time zone"):
        ledger.record_readings(told[::-1] if naive_first else told)

    assert ledger.readings() == []
