"""One look at the loop: what stands where, and what is urgent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from carpal.free_ports import free_port
from data.ledger.events import EventKind
from data.ledger.ledger import Ledger
from data.runs import Run, RunState
from tests.unit.workers.loop_ledger import (
    CHALLENGER_VERSION,
    CHAMPION_VERSION,
    NOON,
    LoopLedger,
    fill,
    reading,
)
from workers.attention import Notice, Urgency, queue_notices
from workers.overview import LoopOverview, overview
from workers.queue_state import Queues, QueueState, WorkerState
from workers.reconcile import REFUSED
from workers.settings import Settings


@dataclass
class Place:
    """A workspace whose Redis does not answer."""

    settings: Settings
    loop: LoopLedger

    @property
    def ledger(self) -> Ledger:
        return self.loop.ledger

    def look(self) -> LoopOverview:
        return overview(self.settings, self.ledger, NOON)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    settings = replace(Settings.load({"CARPAL_HOME": str(tmp_path)}), redis_port=free_port())
    with Ledger.open(settings.ledger) as ledger:
        yield Place(settings, LoopLedger(ledger, settings.ledger))


def test_a_new_workspace_has_an_overview(place: Place) -> None:
    view = place.look()

    assert (view.labelled, view.waiting, view.champion, view.runs) == (0, 0, "", [])
    assert view.figures.models == ()
    assert (view.figures.live, view.figures.shadow, view.figures.drift) == (None, None, None)
    assert "Redis" in view.attention[0].sentence


def test_the_overview_of_a_loop_at_work(place: Place) -> None:
    fill(place.loop)

    view = place.look()

    assert view.radiographs == {"train": 120, "calibration": 15, "test": 15}
    assert (view.labelled, view.waiting, view.champion) == (90, 60, CHAMPION_VERSION)
    figures = view.figures
    assert [model.version for model in figures.models] == ["v0001", "v0002", "v0003"]
    assert [point.labels for point in figures.budget] == [30, 45, 90]
    assert figures.live is not None
    assert figures.live.films == 45
    assert figures.shadow is not None
    assert (figures.shadow.challenger, figures.shadow.films) == (CHALLENGER_VERSION, 0)
    assert figures.drift is not None
    assert sum(day.labels for day in figures.days) == 90
    assert sum(reader.labels for reader in figures.readers) == 90


def test_tasks_are_behind_until_the_champion_has_scored_them(place: Place) -> None:
    fill(place.loop)
    place.ledger.set_state("scored", "v0001-aaaaaaaa")

    assert place.look().figures.behind == 60


def test_what_stands_still_comes_before_what_waits_for_a_decision(place: Place) -> None:
    fill(place.loop)
    place.ledger.set_state(REFUSED, json.dumps({"1:7": "age_months is 300."}))
    place.ledger.add_run(Run("r0004", "labels", NOON, RunState.FAILED, error="No space left."))

    notices = place.look().attention

    assert [notice.urgency for notice in notices] == sorted(n.urgency for n in notices)
    assert "Redis" in notices[0].sentence
    assert Notice("Training r0004 failed: No space left.", "/#trainings") in notices
    refused = next(notice for notice in notices if "1:7" in notice.sentence)
    assert refused.urgency is Urgency.SOON
    assert refused.link == f"{place.settings.label_studio}/projects/1/data"


def test_intervals_that_break_their_promise_need_attention(place: Place) -> None:
    fill(place.loop, labelled=40)
    films = place.ledger.radiographs()[50:90]
    later = NOON - timedelta(hours=1)
    told = [reading(f.id, 5.0, later, 500 + n) for n, f in enumerate(films)]
    place.ledger.record_readings(told)

    notices = place.look().attention

    (broken,) = [notice for notice in notices if "promised" in notice.sentence]
    assert broken.link == "/#live"
    assert broken.urgency is Urgency.NOW


def test_the_last_events_are_told_in_words_the_newest_first(place: Place) -> None:
    fill(place.loop)
    place.ledger.append(EventKind.HINT, "task 7", {})

    lines = place.look().figures.events

    assert lines[0].sentence == "Training r0003 succeeded."
    assert (lines[1].sentence, lines[1].link) == (
        "v0003 was committed: 90 labels.",
        "/versions/v0003",
    )
    assert lines[2].sentence == "Labels came or changed: anna@example.org 27, ben@example.org 18."


def test_radiographs_that_cannot_be_read_are_counted_by_reason(place: Place) -> None:
    fill(place.loop, films=20, labelled=10)
    film = place.ledger.radiographs()[15].id
    told = replace(reading(film, 0, NOON, 700), values={}, unreadable="position")
    place.ledger.record_readings([told])

    assert place.look().unreadable == {"position": 1}


def queues(*, oldest_s: float, job: str, served: tuple[str, ...]) -> Queues:
    waiting = QueueState("heavy", 1, oldest_s, "train r0001")
    workers = tuple(WorkerState(f"{name}-1", (name,), job) for name in served)
    return Queues((QueueState("light", 0), waiting), workers)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        pytest.param(queues(oldest_s=5, job="", served=("light", "heavy")), [], id="well"),
        pytest.param(
            queues(oldest_s=5, job="", served=("light",)),
            ["No worker serves the heavy queue"],
            id="no-worker",
        ),
        pytest.param(
            queues(oldest_s=3600, job="", served=("light", "heavy")),
            ["A job of the heavy queue has waited for 60 min"],
            id="stuck",
        ),
        pytest.param(
            queues(oldest_s=3600, job="train r0000", served=("light", "heavy")), [], id="in-line"
        ),
    ],
)
def test_a_queue_that_nobody_serves_or_that_is_stuck_needs_attention(
    state: Queues, said: list[str]
) -> None:
    found = [notice.sentence for notice in queue_notices(state)]

    assert len(found) == len(said)
    assert all(sentence.startswith(part) for sentence, part in zip(found, said, strict=True))
