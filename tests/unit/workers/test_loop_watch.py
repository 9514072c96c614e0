"""How often the loop is looked at, and how long anybody waits for it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from data.errors import LedgerError
from data.ledger.ledger import Ledger
from data.runs import Run, RunState
from tests.support import eventually
from tests.unit.workers.loop_ledger import CHAMPION_VERSION, NOON, fill, prediction, reading
from tests.unit.workers.test_overview import Place, place
from workers import loop_watch
from workers.loop_watch import KEPT_FOR, LoopWatch
from workers.overview import LoopOverview
from workers.settings import Settings

__all__ = ["place"]
PATIENT_S = 60.0


@dataclass
class Clock:
    """A clock that stands still."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """When the whole ledger was looked at."""
    seen: list[datetime] = []
    real = loop_watch.ledger_overview

    def count(settings: Settings, ledger: Ledger, now: datetime) -> LoopOverview:
        seen.append(now)
        return real(settings, ledger, now)

    monkeypatch.setattr(loop_watch, "ledger_overview", count)
    return seen


def test_a_ledger_that_has_not_changed_is_looked_at_once(
    place: Place, looks: list[datetime]
) -> None:
    fill(place.loop, films=20, labelled=10)
    clock = Clock()
    watch = LoopWatch(place.settings, place.ledger, clock, PATIENT_S)

    views = [watch.look() for _ in range(3)]

    assert len(looks) == 1
    assert {view.labelled for view in views} == {10}


@pytest.mark.parametrize("what", ["a reading", "a prediction", "the time"])
def test_whatever_changes_is_seen_at_the_next_look(
    place: Place, looks: list[datetime], what: str
) -> None:
    fill(place.loop, films=20, labelled=10)
    clock = Clock()
    watch = LoopWatch(place.settings, place.ledger, clock, PATIENT_S)
    watch.look()
    film = place.ledger.radiographs()[0].id

    if what == "a reading":
        place.ledger.record_readings([reading(film, 99, NOON, 900, "carol@example.org")])
    elif what == "a prediction":
        place.ledger.add_predictions([prediction(film, CHAMPION_VERSION, 90)])
    else:
        clock.now += KEPT_FOR + timedelta(seconds=1)
    watch.look()

    assert len(looks) == 2


def test_how_far_a_training_is_is_told_anew_every_time(place: Place, looks: list[datetime]) -> None:
    place.ledger.add_run(Run("r0001", "labels", NOON, RunState.RUNNING))
    watch = LoopWatch(place.settings, place.ledger, Clock(), PATIENT_S)
    watch.look()
    place.ledger.update_run("r0001", stage="train, epoch 3 of 9")

    progress = watch.look().figures.progress

    assert len(looks) == 1
    assert progress is not None
    assert (progress.epoch, progress.epochs) == (3, 9)


def test_nobody_waits_long_for_a_new_look_and_the_next_gets_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(place.loop, films=20, labelled=10)
    watch = LoopWatch(place.settings, place.ledger, Clock(), patience_s=0.0)
    watch.look()
    go_on, real = threading.Event(), loop_watch.ledger_overview

    def slow(settings: Settings, ledger: Ledger, now: datetime) -> LoopOverview:
        go_on.wait(10)
        return real(settings, ledger, now)

    monkeypatch.setattr(loop_watch, "ledger_overview", slow)
    film = place.ledger.radiographs()[-1].id
    place.ledger.record_readings([reading(film, 99, NOON, 900)])
    try:
        assert watch.look().labelled == 10
    finally:
        go_on.set()

    assert eventually(lambda: watch.look().labelled == 11)


def test_a_look_that_fails_is_said_and_made_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, real = LoopWatch(place.settings, place.ledger, Clock()), loop_watch.ledger_overview

    def broken(settings: Settings, ledger: Ledger, now: datetime) -> LoopOverview:
        raise LedgerError("The ledger cannot be read.")

    monkeypatch.setattr(loop_watch, "ledger_overview", broken)
    with pytest.raises(LedgerError, match="cannot be read"):
        watch.look()
    monkeypatch.setattr(loop_watch, "ledger_overview", real)

    assert watch.look().labelled == 0
