"""A training that was asked for is found again, whatever Redis and the workers forgot.

Redis is down in all of these tests: what they check lives in the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from carpal.free_ports import free_port
from data.domain import Reading
from data.ledger.ledger import Ledger
from data.runs import RunState
from tests.unit.workers.workspace import radiograph
from workers.scheduling import (
    LOST_AFTER,
    MAX_ATTEMPTS,
    consider_training,
    loop_state,
    note_labels_seen,
    override_of,
    recover_runs,
    request_training,
)
from workers.settings import Settings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(
        Settings.load({"CARPAL_HOME": str(tmp_path)}),
        redis_port=free_port(),
        retrain_first_after=3,
        retrain_after=2,
        retrain_min_new=1,
        retrain_max_wait_s=0,
    )


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    opened = Ledger.open(settings.ledger)
    yield opened
    opened.close()


def label(ledger: Ledger, *numbers: int, age: float = 100.0) -> None:
    films = [radiograph(n) for n in numbers]
    ledger.add_radiographs(films)
    at = datetime.now(UTC)
    ledger.record_readings(
        [
            Reading(film.id, "r@example.org", {"age_months": age}, at, annotation=f"1:{n}")
            for n, film in zip(numbers, films, strict=True)
        ]
    )


def finish(ledger: Ledger, run_id: str, version: str) -> None:
    seq, _ = ledger.head()
    note_labels_seen(ledger, run_id, seq)
    ledger.update_run(run_id, state=RunState.SUCCEEDED, version=version, finished_at=NOW)


def test_the_threshold_records_one_run(settings: Settings, ledger: Ledger) -> None:
    label(ledger, 1, 2)
    assert not consider_training(settings, ledger).start

    label(ledger, 3)
    assert consider_training(settings, ledger).start
    assert not consider_training(settings, ledger).start

    assert [run.id for run in ledger.runs()] == ["r0001"]


def test_only_labels_after_the_trained_version_count(settings: Settings, ledger: Ledger) -> None:
    label(ledger, 1, 2, 3)
    consider_training(settings, ledger)
    finish(ledger, "r0001", "v0001")

    label(ledger, 4)
    assert loop_state(ledger, NOW).new_labels == 1
    label(ledger, 1, age=90.0)  # a correction counts as new
    assert loop_state(ledger, NOW).new_labels == 2


def test_a_request_starts_one_training_only(settings: Settings, ledger: Ledger) -> None:
    label(ledger, 1)

    assert request_training(settings, ledger, "r@example.org").trigger == "request"
    finish(ledger, "r0001", "v0001")

    label(ledger, 2)
    assert not consider_training(settings, ledger).start


def test_a_running_training_with_a_heartbeat_is_left_alone(
    settings: Settings, ledger: Ledger
) -> None:
    label(ledger, 1, 2, 3)
    consider_training(settings, ledger, NOW)
    ledger.update_run("r0001", state=RunState.RUNNING, started_at=NOW, heartbeat_at=NOW)

    assert recover_runs(settings, ledger, NOW + LOST_AFTER - timedelta(seconds=1)) == []
    run = ledger.run("r0001")
    assert run is not None
    assert run.state is RunState.RUNNING


def test_a_training_without_heartbeat_is_lost_and_gets_another_attempt(
    settings: Settings, ledger: Ledger
) -> None:
    label(ledger, 1, 2, 3)
    consider_training(settings, ledger, NOW)
    ledger.update_run("r0001", state=RunState.RUNNING, started_at=NOW, heartbeat_at=NOW)

    told = recover_runs(settings, ledger, NOW + LOST_AFTER)

    run = ledger.run("r0001")
    assert run is not None
    assert (run.state, run.attempt) == (RunState.LOST, 2)
    assert "r0001" in told[0]


def test_a_training_that_dies_again_and_again_has_failed(
    settings: Settings, ledger: Ledger
) -> None:
    label(ledger, 1, 2, 3)
    consider_training(settings, ledger, NOW)
    ledger.update_run(
        "r0001",
        state=RunState.RUNNING,
        started_at=NOW,
        heartbeat_at=NOW,
        stage="train",
        attempt=MAX_ATTEMPTS,
    )

    recover_runs(settings, ledger, NOW + LOST_AFTER)

    run = ledger.run("r0001")
    assert run is not None
    assert run.state is RunState.FAILED
    assert "'train'" in run.error


def test_failures_in_a_row_are_counted_until_the_last_success(
    settings: Settings, ledger: Ledger
) -> None:
    label(ledger, 1, 2, 3)
    consider_training(settings, ledger, NOW)
    ledger.update_run("r0001", state=RunState.FAILED, finished_at=NOW, error="out of memory")

    state = loop_state(ledger, NOW + timedelta(seconds=30))

    assert (state.failures, state.since_failure_s) == (1, 30.0)
    assert not consider_training(settings, ledger, NOW + timedelta(seconds=30)).start
    assert consider_training(settings, ledger, NOW + timedelta(seconds=60)).start


def test_an_override_holds_for_the_run_that_was_asked_for_with_it(
    settings: Settings, ledger: Ledger
) -> None:
    label(ledger, 1)
    request_training(settings, ledger, "ada@example.org", override="the remote is being moved")
    finish(ledger, "r0001", "v0001")
    label(ledger, 2)
    request_training(settings, ledger, "bob@example.org")

    first, second = ledger.runs()

    assert override_of(ledger, first) == ("ada@example.org", "the remote is being moved")
    assert override_of(ledger, second) is None
