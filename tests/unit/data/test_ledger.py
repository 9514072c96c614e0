from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from data.domain import DatasetVersion, Split
from data.errors import InvalidInputError, LedgerError, NotFoundError
from data.ledger.events import GENESIS, EventKind
from data.ledger.ledger import Ledger
from data.ledger.predictions import prediction_id
from data.runs import Run, RunState
from tests.unit.data.ledger_cases import (
    NOON,
    a_prediction,
    a_radiograph,
    a_reading,
    new_ledger,
    radiograph_id,
)

BULK = 10_000
BULK_LIMIT_S = 3.0
APPEND_LIMIT_S = 0.005


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with new_ledger(tmp_path) as opened:
        yield opened


# Events


def test_a_new_ledger_has_no_events(ledger: Ledger) -> None:
    assert ledger.head() == GENESIS
    assert list(ledger.events()) == []
    assert ledger.verify_chain() == 0


def test_an_event_comes_back_as_it_was_appended(ledger: Ledger) -> None:
    before = datetime.now(UTC)

    seq = ledger.append(EventKind.GATE, "v0001-1a2b3c4d", {"mae": 6.5, "bands": ["0-60"]})

    (event,) = ledger.events()
    assert (event.seq, event.kind, event.subject) == (seq, EventKind.GATE, "v0001-1a2b3c4d")
    assert event.payload == {"mae": 6.5, "bands": ["0-60"]}
    assert before <= event.at <= datetime.now(UTC)
    assert event.at.tzinfo is UTC
    assert ledger.head() == (seq, event.hash)


def test_events_are_numbered_without_a_gap(ledger: Ledger) -> None:
    assert [ledger.append(EventKind.HINT, "task", {}) for _ in range(3)] == [1, 2, 3]


def test_events_can_be_read_from_a_number_on_and_by_kind(ledger: Ledger) -> None:
    for kind in (EventKind.HINT, EventKind.GATE, EventKind.HINT, EventKind.PROMOTED):
        ledger.append(kind, "x", {})

    kinds = [EventKind.HINT, EventKind.PROMOTED]
    assert [event.seq for event in ledger.events(after=1)] == [2, 3, 4]
    assert [event.seq for event in ledger.events(after=1, kinds=kinds)] == [3, 4]


@pytest.mark.long
def test_more_events_than_one_page_are_all_read(ledger: Ledger) -> None:
    ledger.add_radiographs([a_radiograph(number) for number in range(1, 1102)])
    ledger.record_readings([a_reading(number, annotation=number) for number in range(1, 1102)])

    assert [event.seq for event in ledger.events()] == list(range(1, 1102))
    assert ledger.verify_chain() == 1101


def test_events_may_be_appended_while_others_are_read(ledger: Ledger) -> None:
    ledger.append(EventKind.HINT, "first", {})

    for event in ledger.events():
        ledger.append(EventKind.HINT, f"after {event.seq}", {})

    assert ledger.verify_chain() == 2


def test_a_payload_that_json_cannot_hold_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match=r"payload\.mae is nan"):
        ledger.append(EventKind.GATE, "x", {"mae": float("nan")})

    assert ledger.head() == GENESIS


def test_an_append_takes_few_milliseconds_of_processor_time(ledger: Ledger) -> None:
    seconds = []
    for _ in range(100):
        start = time.process_time()  # the wait for the disk is the machine's own
        ledger.append(EventKind.HINT, "task", {"task": 1})
        seconds.append(time.process_time() - start)

    assert sorted(seconds)[90] < APPEND_LIMIT_S


# Radiographs and tasks


def test_a_radiograph_comes_back_as_it_was_added(ledger: Ledger) -> None:
    radiograph = a_radiograph(split=Split.CALIBRATION)

    assert ledger.add_radiographs([radiograph]) == 1

    assert ledger.radiograph(radiograph.id) == radiograph
    assert ledger.radiograph("unknown") is None


def test_a_time_of_another_zone_comes_back_in_utc(ledger: Ledger) -> None:
    zone = timezone(timedelta(hours=-5))
    ledger.add_radiographs([replace(a_radiograph(), imported_at=NOON.astimezone(zone))])

    stored = ledger.radiograph(radiograph_id(1))
    assert stored is not None
    assert (stored.imported_at, stored.imported_at.tzinfo) == (NOON, UTC)


def test_known_radiographs_are_left_as_they_are(ledger: Ledger) -> None:
    first = a_radiograph(1)
    ledger.add_radiographs([first])
    later = replace(first, source="folder", imported_at=NOON + timedelta(days=1))

    assert ledger.add_radiographs([later, a_radiograph(2), a_radiograph(2)]) == 1

    assert ledger.radiographs() == [first, a_radiograph(2)]


def test_radiographs_are_listed_and_counted_by_split(ledger: Ledger) -> None:
    ledger.add_radiographs([a_radiograph(2, split=Split.TEST), a_radiograph(1, split=Split.TRAIN)])

    assert [item.id for item in ledger.radiographs()] == [radiograph_id(1), radiograph_id(2)]
    assert [item.id for item in ledger.radiographs(Split.TEST)] == [radiograph_id(2)]
    assert ledger.count_radiographs() == 2
    assert ledger.count_radiographs(Split.TEST) == 1
    assert ledger.count_radiographs(Split.CALIBRATION) == 0


def test_a_patient_stays_in_its_split(ledger: Ledger) -> None:
    ledger.add_radiographs([a_radiograph(1, patient="p", split=Split.TEST)])

    with pytest.raises(LedgerError, match="Patient p is in split test"):
        ledger.add_radiographs([a_radiograph(2, patient="p", split=Split.TRAIN)])

    assert ledger.count_radiographs() == 1
    assert ledger.patient_splits(["p", "q"]) == {"p": Split.TEST}


def test_a_patient_cannot_come_in_two_splits_at_once(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="Patient p"):
        ledger.add_radiographs(
            [a_radiograph(1, "p", Split.TEST), a_radiograph(2, "p", Split.TRAIN)]
        )

    assert ledger.count_radiographs() == 0


def test_a_task_leads_to_its_radiograph(ledger: Ledger) -> None:
    ledger.add_radiographs([a_radiograph(1), a_radiograph(2)])
    ledger.link_tasks(3, {8: radiograph_id(2), 7: radiograph_id(1)})
    ledger.link_tasks(4, {7: radiograph_id(2)})

    assert ledger.radiograph_of_task(3, 7) == radiograph_id(1)
    assert ledger.radiograph_of_task(3, 9) is None
    assert ledger.task_links(3) == {7: radiograph_id(1), 8: radiograph_id(2)}


def test_a_task_can_be_linked_again(ledger: Ledger) -> None:
    ledger.add_radiographs([a_radiograph(1), a_radiograph(2)])
    ledger.link_tasks(3, {7: radiograph_id(1), 8: radiograph_id(1)})
    ledger.link_tasks(3, {7: radiograph_id(2), 8: radiograph_id(1)})

    assert ledger.task_links(3) == {7: radiograph_id(2), 8: radiograph_id(1)}


def test_a_task_of_an_unknown_radiograph_is_refused(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError, match=radiograph_id(9)):
        ledger.link_tasks(3, {7: radiograph_id(9)})


def test_ten_thousand_radiographs_are_added_in_seconds(ledger: Ledger) -> None:
    start = time.process_time()

    assert ledger.add_radiographs([a_radiograph(number) for number in range(BULK)]) == BULK

    assert time.process_time() - start < BULK_LIMIT_S


# Predictions


def test_a_prediction_comes_back_to_the_last_bit(ledger: Ledger) -> None:
    ledger.add_radiographs([a_radiograph()])
    prediction = a_prediction()

    assert ledger.add_predictions([prediction]) == 1

    assert ledger.prediction(prediction.radiograph_id, prediction.model_version) == prediction
    assert ledger.predictions(prediction.model_version) == {prediction.radiograph_id: prediction}


def test_a_prediction_is_found_by_its_id(ledger: Ledger) -> None:
    ledger.add_radiographs([a_radiograph()])
    ledger.add_predictions([a_prediction()])

    # printf '%064x|v0001-1a2b3c4d' 1 | sha256sum | cut -c 1-16
    wanted = prediction_id(radiograph_id(1), "v0001-1a2b3c4d")
    assert wanted == "73b75669a75789f9"
    assert ledger.prediction_by_id(wanted) == a_prediction()
    assert ledger.prediction_by_id("0" * 16) is None


def test_a_prediction_that_is_there_is_never_changed(ledger: Ledger) -> None:
    ledger.add_radiographs([a_radiograph(1), a_radiograph(2)])
    ledger.add_predictions([a_prediction(1)])
    other = replace(a_prediction(1), confidence=0.1)

    assert ledger.add_predictions([other, a_prediction(2), a_prediction(2)]) == 1

    assert ledger.prediction(radiograph_id(1), "v0001-1a2b3c4d") == a_prediction(1)


def test_predictions_of_one_model_are_found_for_many_radiographs_at_once(ledger: Ledger) -> None:
    ledger.add_radiographs([a_radiograph(number) for number in (1, 2, 3)])
    ledger.add_predictions([a_prediction(number) for number in (1, 2)])
    ledger.add_predictions([a_prediction(3, model="v0002-ffffffff")])
    wanted = [radiograph_id(number) for number in (2, 3, 4)]

    found = ledger.predictions_among(wanted, "v0001-1a2b3c4d")

    assert found == {radiograph_id(2): a_prediction(2)}
    assert ledger.predictions_among([], "v0001-1a2b3c4d") == {}


def test_the_latest_prediction_is_the_one_that_was_added_last(ledger: Ledger) -> None:
    ledger.add_radiographs([a_radiograph()])
    for model in ("v0001-1a2b3c4d", "v0003-00000000", "v0002-ffffffff"):
        ledger.add_predictions([a_prediction(model=model)])

    latest = ledger.latest_prediction(radiograph_id(1))
    assert latest is not None
    assert latest.model_version == "v0002-ffffffff"
    assert ledger.latest_prediction(radiograph_id(2)) is None


def test_a_prediction_of_an_unknown_radiograph_is_refused(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError, match="import"):
        ledger.add_predictions([a_prediction(1)])


@pytest.mark.long
def test_ten_thousand_predictions_are_added_in_seconds(ledger: Ledger) -> None:
    ledger.add_radiographs([a_radiograph(number) for number in range(BULK)])
    start = time.process_time()

    assert ledger.add_predictions([a_prediction(number) for number in range(BULK)]) == BULK

    assert time.process_time() - start < BULK_LIMIT_S


# Runs


def a_run(number: int = 1, state: RunState = RunState.QUEUED) -> Run:
    return Run(id=f"r{number:04d}", trigger="labels", requested_at=NOON, state=state)


def test_a_run_comes_back_as_it_was_added(ledger: Ledger) -> None:
    run = replace(
        a_run(),
        promoted=False,
        started_at=NOON + timedelta(seconds=1),
        metrics={"mae": 6.5, "bands": {"0-60": None}},
        seconds={"train": 41.5},
    )
    ledger.add_run(run)

    assert ledger.run("r0001") == run
    assert ledger.run("r0002") is None


def test_a_second_run_of_the_same_id_is_refused(ledger: Ledger) -> None:
    ledger.add_run(a_run())

    with pytest.raises(LedgerError, match="r0001 is already"):
        ledger.add_run(a_run())


def test_an_id_that_is_none_is_refused(ledger: Ledger) -> None:
    with pytest.raises(InvalidInputError, match="r0001"):
        ledger.add_run(replace(a_run(), id="first"))


def test_runs_are_listed_by_state_oldest_first(ledger: Ledger) -> None:
    for number, state in ((10_000, RunState.LOST), (9_999, RunState.QUEUED), (1, RunState.FAILED)):
        ledger.add_run(a_run(number, state))

    assert [run.id for run in ledger.runs()] == ["r0001", "r9999", "r10000"]
    active = [RunState.LOST, RunState.QUEUED]
    assert [run.id for run in ledger.runs(active)] == ["r9999", "r10000"]
    assert ledger.runs([]) == []


def test_each_change_of_state_is_an_event(ledger: Ledger) -> None:
    ledger.add_run(a_run())
    ledger.update_run("r0001", state=RunState.RUNNING, started_at=NOON)
    ledger.update_run("r0001", state=RunState.SUCCEEDED, metrics={"mae": 6.5})

    events = list(ledger.events(kinds=[EventKind.RUN]))
    assert [(e.payload["old_state"], e.payload["state"]) for e in events] == [
        (None, "queued"),
        ("queued", "running"),
        ("running", "succeeded"),
    ]
    assert {event.subject for event in events} == {"r0001"}
    assert events[-1].payload["metrics"] == {"mae": 6.5}


def test_a_heartbeat_is_no_event(ledger: Ledger) -> None:
    ledger.add_run(a_run(state=RunState.RUNNING))

    run = ledger.update_run("r0001", heartbeat_at=NOON, stage="train", state=RunState.RUNNING)

    assert ledger.run("r0001") == run
    assert (run.heartbeat_at, run.stage) == (NOON, "train")
    assert ledger.head()[0] == 1


def test_an_unknown_run_cannot_be_changed(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError, match="r0007"):
        ledger.update_run("r0007", stage="train")


# Dataset versions


def a_version(number: int, commit: str = "a" * 40) -> DatasetVersion:
    return DatasetVersion(
        name=f"v{number:04d}",
        commit=commit,
        labels=50,
        expert_labels=40,
        last_event=7,
        committed_at=NOON,
    )


def test_versions_are_listed_oldest_first(ledger: Ledger) -> None:
    for number in (10_000, 2, 1):
        ledger.add_version(a_version(number))

    assert ledger.versions() == [a_version(1), a_version(2), a_version(10_000)]
    assert ledger.latest_version() == a_version(10_000)


def test_a_ledger_without_versions_has_no_latest_one(ledger: Ledger) -> None:
    assert ledger.latest_version() is None


def test_a_version_is_journalled_once(ledger: Ledger) -> None:
    ledger.add_version(a_version(1), trigger="labels")
    ledger.add_version(a_version(1), trigger="labels")

    (event,) = ledger.events()
    assert (event.kind, event.subject) == (EventKind.COMMITTED, "v0001")
    assert (event.payload["commit"], event.payload["trigger"]) == ("a" * 40, "labels")


def test_a_version_never_changes_its_commit(ledger: Ledger) -> None:
    ledger.add_version(a_version(1))

    with pytest.raises(LedgerError, match="versions never change"):
        ledger.add_version(a_version(1, commit="b" * 40))


# State


def test_state_is_what_was_set_last(ledger: Ledger) -> None:
    ledger.set_state("cursor", "1")
    ledger.set_state("cursor", "2")
    ledger.set_state("project", "3")

    assert ledger.get_state("cursor") == "2"
    assert ledger.get_state("unknown") is None


def test_only_one_run_is_active_at_a_time(ledger: Ledger) -> None:
    first = ledger.begin_run("labels", datetime(2026, 1, 2, tzinfo=UTC), "60 new labels")
    assert first is not None
    assert ledger.begin_run("labels", datetime(2026, 1, 2, tzinfo=UTC), "60 new labels") is None

    ledger.update_run(first.id, state=RunState.FAILED, finished_at=datetime(2026, 1, 2, tzinfo=UTC))
    second = ledger.begin_run("labels", datetime(2026, 1, 2, tzinfo=UTC), "60 new labels")

    assert (first.id, second and second.id) == ("r0001", "r0002")
