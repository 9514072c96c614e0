"""Sums over the ledger, made by the database, against histories that are short enough to count."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from data.domain import REFERENCE_READER, Reading, Split
from data.ledger.figures import Asked, LedgerFigures, OpenTasks, ReaderDay, ReaderOrigin
from data.ledger.ledger import Ledger
from tests.unit.workers.loop_ledger import NOON, PROJECT, LoopLedger, film, prediction, reading

HOUR = timedelta(hours=1)
UNREADABLE: dict[str, Any] = {"values": {}, "unreadable": "exposure"}


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[LoopLedger]:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with Ledger.open(url) as ledger:
        splits = [Split.TRAIN, Split.TRAIN, Split.TRAIN, Split.TEST]
        ledger.add_radiographs([film(n, split) for n, split in enumerate(splits, start=1)])
        yield LoopLedger(ledger, url)


def figures(loop: LoopLedger, *, written: int = 0, last: int = 10) -> LedgerFigures:
    asked = Asked("v1", "v2", PROJECT, written, since=NOON, last=last)
    return loop.ledger.figures(asked)


def test_an_empty_ledger_has_empty_figures(tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{tmp_path / 'empty.db'}") as ledger:
        asked = Asked("", "", None, 0, since=NOON, last=10)

        assert ledger.figures(asked) == LedgerFigures(
            0, [], [], [], OpenTasks(0, 0), [], [], [], [], []
        )


def test_readings_are_counted_by_day_reader_and_origin_without_references(
    loop: LoopLedger,
) -> None:
    one, two, three, _ = (radiograph.id for radiograph in loop.ledger.radiographs())
    loop.ledger.record_readings(
        [
            reading(one, 100, NOON, 1, "anna", "prediction", seconds=10.0),
            reading(two, 100, NOON + HOUR, 2, "anna", seconds=None),
            replace(reading(two, 100, NOON + 13 * HOUR, 3, "ben", seconds=30.0), **UNREADABLE),
            Reading(three, REFERENCE_READER, {"age_months": 90.0}, NOON),
        ]
    )
    loop.ledger.record_readings([reading(three, 100, NOON, 4, "ben")])
    loop.ledger.withdraw_annotations(["1:4"])

    found = figures(loop)

    assert found.labelled == 2
    assert found.days == [
        ReaderDay(date(2026, 3, 20), "anna", 2),
        ReaderDay(date(2026, 3, 21), "ben", 1),
    ]
    assert found.origins == [
        ReaderOrigin("anna", "manual", 1),
        ReaderOrigin("anna", "prediction", 1),
        ReaderOrigin("ben", "manual", 1, unreadable=1),
    ]
    assert sorted(found.lead_times) == [("anna", 10.0), ("ben", 30.0)]


def test_open_tasks_are_those_without_a_reading_and_behind_those_after_the_last_score(
    loop: LoopLedger,
) -> None:
    loop.join()
    loop.ledger.record_readings([reading(loop.ledger.radiographs()[0].id, 100, NOON, 1)])

    assert figures(loop, written=2).open == OpenTasks(waiting=3, behind=2)
    assert figures(loop, written=4).open == OpenTasks(waiting=3, behind=0)


def test_a_reading_after_a_prediction_is_held_against_it(loop: LoopLedger) -> None:
    one, two, three, _ = (radiograph.id for radiograph in loop.ledger.radiographs())
    loop.predict([prediction(key, "v1", 90) for key in (one, two, three)], NOON)
    loop.predict([prediction(one, "v2", 95)], NOON + 3 * HOUR)
    loop.ledger.record_readings(
        [
            reading(one, 100, NOON + HOUR, 1, origin="prediction-changed"),
            reading(two, 80, NOON - HOUR, 2),
            reading(two, 82, NOON + HOUR, 3, "ben"),
        ]
    )

    (held,) = figures(loop).champion

    assert held.prediction.radiograph_id == one
    assert (held.values["age_months"], held.origin) == (100.0, "prediction-changed")
    assert held.read_at == NOON + HOUR
    assert figures(loop).challenger == [], "the challenger spoke after the reading"


def test_a_reading_that_was_withdrawn_still_spoils_the_comparison(loop: LoopLedger) -> None:
    one = loop.ledger.radiographs()[0].id
    loop.ledger.record_readings([reading(one, 100, NOON - HOUR, 1)])
    loop.ledger.withdraw_annotations(["1:1"])
    loop.predict([prediction(one, "v1", 90)], NOON)
    loop.ledger.record_readings([reading(one, 100, NOON + HOUR, 2)])

    assert figures(loop).champion == []


def test_each_radiograph_counts_once_with_its_newest_reading_and_the_newest_come_first(
    loop: LoopLedger,
) -> None:
    one, two, three, _ = (radiograph.id for radiograph in loop.ledger.radiographs())
    loop.predict([prediction(key, "v1", 90) for key in (one, two, three)], NOON)
    loop.ledger.record_readings(
        [
            reading(one, 100, NOON + HOUR, 1),
            reading(one, 104, NOON + 4 * HOUR, 2, "ben"),
            reading(two, 100, NOON + 2 * HOUR, 3),
            reading(three, 100, NOON + 3 * HOUR, 4),
        ]
    )

    found = figures(loop, last=2).champion

    assert [held.prediction.radiograph_id for held in found] == [one, three]
    assert found[0].values["age_months"] == 104.0


def test_predictions_are_told_apart_by_the_last_days(loop: LoopLedger) -> None:
    one, two, *_ = (radiograph.id for radiograph in loop.ledger.radiographs())
    loop.predict([prediction(one, "v1", 90)], NOON)
    loop.predict([prediction(two, "v1", 91)], NOON - HOUR)
    loop.predict([prediction(two, "v2", 92)], NOON)

    found = figures(loop)

    assert [said.radiograph_id for said in found.recent] == [one]
    assert [said.radiograph_id for said in found.before] == [two]
    assert loop.ledger.count_predictions("v1") == 2


def test_only_the_training_split_is_learnt_from(loop: LoopLedger) -> None:
    films = loop.ledger.radiographs()
    told = [reading(one.id, 90.0 + n, NOON, n + 1) for n, one in enumerate(films)]
    loop.ledger.record_readings(told)

    assert [values["age_months"] for values in figures(loop).learnt] == [90.0, 91.0, 92.0]
