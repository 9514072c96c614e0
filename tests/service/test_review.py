"""In review mode a training waits until a person has merged its dataset version."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from data.domain import Radiograph, Reading, Split
from data.ledger.events import EventKind
from data.ledger.ledger import Ledger
from data.runs import Run, RunState
from tests.service.dataset_workspace import shell
from tests.unit.data.dataset_cases import a_film, encoded
from workers.assembly import dataset, pool, task
from workers.overview import overview
from workers.reviewing import REVIEW, follow_reviews
from workers.scheduling import loop_state, recover_runs, request_training
from workers.settings import Settings
from workers.training import run_training

pytestmark = pytest.mark.service

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_workspace: Settings) -> Settings:
    return replace(tmp_workspace, review="branch", retrain_min_new=1, retrain_max_wait_s=0)


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger.open(settings.ledger) as opened:
        yield opened


def label(settings: Settings, ledger: Ledger, *numbers: int) -> None:
    """Puts films into the pool and has a reader label them."""
    for number in numbers:
        image = pool(settings).add(encoded(a_film(12, 10, seed=number)))
        film = Radiograph(image.id, f"{number:016x}", Split.TRAIN, "test", image.path, 10, 12, NOW)
        ledger.add_radiographs([film])
        values = {"age_months": float(number), "sex": "female"}
        at = NOW + timedelta(minutes=number)
        ledger.record_readings([Reading(film.id, "r@x.org", values, at, f"1:{number}")])


def proposed(settings: Settings, ledger: Ledger) -> Run:
    """A run that was asked for and has proposed its dataset version."""
    request_training(settings, ledger, "r@x.org")
    run = ledger.runs()[-1]
    run_training(settings, ledger, run.id)
    return current(ledger, run)


def current(ledger: Ledger, run: Run) -> Run:
    found = ledger.run(run.id)
    assert found is not None
    return found


def git(settings: Settings, *arguments: str) -> str:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    return shell(settings.dataset, "git", *identity, *arguments)


def test_a_training_waits_with_its_proposal(settings: Settings, ledger: Ledger) -> None:
    label(settings, ledger, 1, 2, 3)

    run = proposed(settings, ledger)

    assert (run.state, run.stage, run.version) == (RunState.QUEUED, REVIEW, "v0001")
    assert ledger.versions() == []
    told = [notice.sentence for notice in overview(settings, ledger).attention]
    assert any("proposals/v0001" in sentence for sentence in told)
    assert follow_reviews(settings, ledger) == []
    assert recover_runs(settings, ledger) == []


def test_a_merged_proposal_is_the_version_that_is_trained_on(
    settings: Settings, ledger: Ledger
) -> None:
    label(settings, ledger, 1, 2, 3)
    run = proposed(settings, ledger)

    git(settings, "merge", "--quiet", "--no-ff", "-m", "Looks right", "proposals/v0001")
    told = follow_reviews(settings, ledger)

    assert told == [f"v0001 was merged: training {run.id} goes on."]
    assert [version.name for version in ledger.versions()] == ["v0001"]
    after = current(ledger, run)
    assert (after.state, after.stage, after.version) == (RunState.QUEUED, "commit", "v0001")


def test_a_rejected_proposal_ends_its_training_and_its_labels_are_no_news(
    settings: Settings, ledger: Ledger
) -> None:
    label(settings, ledger, 1, 2, 3)
    run = proposed(settings, ledger)

    git(settings, "branch", "-D", "proposals/v0001")
    follow_reviews(settings, ledger)

    after = current(ledger, run)
    assert after.state is RunState.FAILED
    assert "rejected" in after.error
    state = loop_state(ledger, datetime.now(UTC))
    assert (state.new_labels, state.failures) == (0, 0)
    label(settings, ledger, 4)
    assert proposed(settings, ledger).version == "v0001"


def test_switching_reviews_off_lets_a_waiting_training_go_on(
    settings: Settings, ledger: Ledger
) -> None:
    label(settings, ledger, 1, 2, 3)
    run = proposed(settings, ledger)

    follow_reviews(replace(settings, review="off"), ledger)

    after = current(ledger, run)
    assert (after.state, after.stage, after.version) == (RunState.QUEUED, "commit", "")


def failed_for(settings: Settings, ledger: Ledger, **wish: str) -> str:
    """Asks for a training, runs it and returns why it failed."""
    request_training(settings, ledger, "r@x.org", **wish)
    run = ledger.runs()[-1]
    run_training(settings, ledger, run.id)
    return current(ledger, run).error


def test_no_training_starts_from_a_dirty_repository_unless_somebody_answers_for_it(
    settings: Settings, ledger: Ledger
) -> None:
    settings = replace(settings, review="off")
    label(settings, ledger, 1, 2, 3)
    failed_for(settings, ledger)  # too few images to train, but v0001 is committed
    (settings.dataset / "labels.csv").write_text("changed by hand\n")
    label(settings, ledger, 4)

    refused = failed_for(settings, ledger)
    allowed = failed_for(settings, ledger, override="I know what I changed")

    assert "labels.csv" in refused
    assert "carpal train --override" in refused
    assert "At least" in allowed or "at least" in allowed  # it got as far as training
    (event,) = ledger.events(kinds=[EventKind.OVERRIDE])
    assert (event.payload["by"], event.payload["why"]) == ("r@x.org", "I know what I changed")
    assert current(ledger, ledger.runs()[-1]).version == "v0001"


def test_no_training_starts_from_a_version_that_the_remote_lacks(
    settings: Settings, ledger: Ledger, tmp_path: Path
) -> None:
    remote = tmp_path / "remote.git"
    shell(tmp_path, "git", "init", "--quiet", "--bare", str(remote))
    settings = replace(settings, review="off", git_remote=str(remote))
    label(settings, ledger, 1, 2, 3)
    failed_for(settings, ledger)
    assert dataset(settings, task(settings)).unpushed("v0001") == ""
    shutil.rmtree(remote)
    label(settings, ledger, 4)

    refused = failed_for(settings, ledger)

    assert "carpal train --override" in refused
    assert [version.name for version in ledger.versions()] == ["v0001", "v0002"]
