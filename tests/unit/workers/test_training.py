"""A training run goes on where it was killed; what was decided once stays decided."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from carpal.free_ports import free_port
from data.domain import DatasetVersion, Example
from data.errors import LedgerError
from data.ledger.events import EventKind
from data.ledger.ledger import Ledger
from data.runs import Run, RunState
from tests.unit.trainer.small_models import save_random_model
from tests.unit.workers.judged_workspace import JudgedWorkspace, judged_workspace
from workers import judging, training
from workers.gate import GateDecision
from workers.settings import Settings
from workers.training import run_training

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class FakeRepository:
    """A dataset repository in good order."""

    labelled: list[Example]

    def unpushed(self, version: str) -> str:
        return ""

    def examples(self, version: str) -> list[Example]:
        return self.labelled


@dataclass
class FakeRegistry:
    """Knows the folder of every model, and which one is champion."""

    folders: dict[str, Path] = field(default_factory=dict)
    serving: str = ""

    def champion(self) -> Any:
        return SimpleNamespace(model_version=self.serving) if self.serving else None

    def fetch(self, model_version: str, cache: Path) -> Path:
        return self.folders[model_version]

    def record(self, folder: Path, *facts: Any) -> None:
        pass

    def promote(self, model_version: str) -> None:
        self.serving = model_version


@dataclass
class Given:
    """A run whose version is committed and whose model is trained.

    Attributes:
        settings: Of the workspace; no Redis runs there.
        ledger: Its ledger.
        registry: Its registry, whose champion is another model.
        champion: Version of that one.
        run: The run.
    """

    settings: Settings
    ledger: Ledger
    registry: FakeRegistry
    champion: str
    run: Run

    def now(self) -> Run:
        found = self.ledger.run(self.run.id)
        assert found is not None
        return found


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Given]:
    place: JudgedWorkspace = judged_workspace(tmp_path / "workspace", monkeypatch)
    settings = replace(place.settings, redis_port=free_port())
    new = save_random_model(settings.home / "runs" / "r0001" / "model", seed=0)
    old = save_random_model(place.other, seed=1)
    folders = {
        new.model_version: settings.home / "runs" / "r0001" / "model",
        old.model_version: place.other,
    }
    registry = FakeRegistry(folders, old.model_version)
    monkeypatch.setattr(judging, "registry", lambda settings: registry)
    monkeypatch.setattr(training, "dataset", lambda *_: FakeRepository(place.examples))
    with Ledger.open(settings.ledger) as ledger:
        ledger.add_version(DatasetVersion("v0001", "c" * 40, 12, 12, 0, NOW))
        run = ledger.begin_run("labels", NOW, "A test.")
        assert run is not None
        ledger.update_run(run.id, version="v0001")
        yield Given(settings, ledger, registry, old.model_version, run)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The comparisons that the gate was asked about; it lets every model pass."""
    asked: list[Any] = []

    def judge(rule: Any, evaluation: Any, against: Any) -> GateDecision:
        asked.append(against)
        return GateDecision(True, "Better than the champion.")

    monkeypatch.setattr(judging, "judge", judge)
    return asked


@pytest.mark.long
def test_a_new_model_is_held_against_the_champion_and_takes_its_place(
    given: Given, judged: list[Any]
) -> None:
    run_training(given.settings, given.ledger, given.run.id)

    run = given.now()
    assert (run.state, run.promoted) == (RunState.SUCCEEDED, True)
    assert given.registry.serving == run.model_version != given.champion
    assert judged[0].cases == 8
    assert judged[0].mean_difference != 0


@pytest.mark.long
def test_a_model_that_became_champion_before_a_kill_is_not_held_against_itself(
    given: Given, judged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("workers.promotion.request_rescore", killed)
        with pytest.raises(KeyboardInterrupt):
            run_training(given.settings, given.ledger, given.run.id)

    run_training(given.settings, given.ledger, given.run.id)

    assert given.now().state is RunState.SUCCEEDED
    assert given.now().reason == "Better than the champion."
    assert len(judged) == 1
    assert len(list(given.ledger.events(kinds=[EventKind.GATE]))) == 1


def test_films_over_the_workspaces_limits_are_left_out(given: Given) -> None:
    shutil.rmtree(given.settings.home / "runs" / given.run.id)
    settings = replace(given.settings, max_image_pixels=100)

    run_training(settings, given.ledger, given.run.id)

    assert "more than the 100 that are read" in given.now().error


def test_a_heartbeat_outlives_a_ledger_that_fails_for_a_moment(
    tmp_workspace: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[str] = []
    again = threading.Event()

    class Busy:
        def update_run(self, run_id: str, **changes: Any) -> None:
            beats.append(run_id)
            if len(beats) == 1:
                raise LedgerError("Another process holds it for too long.")
            again.set()

    @contextmanager
    def opened(settings: Settings) -> Iterator[Busy]:
        yield Busy()

    monkeypatch.setattr(training, "open_ledger", opened)
    monkeypatch.setattr(training, "HEARTBEAT_S", 0.001)

    with training._heartbeat(tmp_workspace, "r0001"):
        assert again.wait(20)
