"""An experiment: a model of one's own, beside the loop, on exactly one dataset version."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from data.domain import Example, Split
from data.errors import InvalidInputError, NotFoundError, TrainingError, VersionError
from tests.unit.trainer.cases import easy_examples
from trainer.fitting.course import EpochReport
from trainer.options import TrainOptions
from workers import evaluating, experiment, starting
from workers.experiment import Plan, Tried, Watcher, options_of, try_out
from workers.settings import Settings

pytestmark = pytest.mark.long

TINY = {"image_size": "32", "crop": "whole", "min_steps": "0"}


@dataclass
class FakeRepository:
    """A dataset repository with two versions; the older one holds fewer examples."""

    every: Sequence[Example]
    hindrance: str = ""
    lacking: str = ""
    asked: list[str] = field(default_factory=list)

    def versions(self) -> list[str]:
        return ["v0001", "v0002"]

    def dirty(self) -> str:
        return self.hindrance

    def unpushed(self, version: str) -> str:
        return self.lacking

    def push(self) -> str:
        return self.lacking

    def examples(self, version: str) -> list[Example]:
        self.asked.append(version)
        return list(self.every[:24] if version == "v0001" else self.every)

    def describe(self, version: str) -> Any:
        return SimpleNamespace(commit=f"commit of {version}")


class FakeRegistry:
    """Keeps what would be recorded in MLflow."""

    def __init__(self) -> None:
        self.written: dict[Path, dict[str, Any]] = {}

    def champion(self) -> None:
        return None

    def record(
        self,
        folder: Path,
        metrics: dict[str, Any],
        tags: dict[str, str],
        report: Path | None,
        logs: Path,
        challenger: bool,
    ) -> Any:
        assert folder.is_dir() and logs.is_dir() and not challenger
        said = {"metrics": metrics, "tags": tags, "report": report}
        self.written.setdefault(folder, said)
        return SimpleNamespace(run_id=f"run{list(self.written).index(folder) + 1}")


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    folder = tmp_path_factory.mktemp("images")
    found = easy_examples(folder, train=24, calibration=12, test=8)
    rank = {Split.TEST: 0, Split.CALIBRATION: 1, Split.TRAIN: 2}
    return sorted(found, key=lambda e: rank[e.split])


@pytest.fixture
def repository(examples: list[Example], monkeypatch: pytest.MonkeyPatch) -> FakeRepository:
    made = FakeRepository(examples)
    for module in (experiment, evaluating):
        monkeypatch.setattr(module, "dataset", lambda *_: made)
    return made


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> dict[Path, dict[str, Any]]:
    registry = FakeRegistry()
    for module in (experiment, starting):
        monkeypatch.setattr(module, "registry", lambda _: registry)
    return registry.written


@pytest.fixture
def tried(
    tmp_workspace: Settings, repository: FakeRepository, runs: dict[Path, dict[str, Any]]
) -> Callable[..., Tried]:
    """Tries something out with the profile `smoke`."""

    def call(watcher: Watcher | None = None, **changes: Any) -> Tried:
        plan = Plan(**{"config": "smoke", "changes": TINY, "name": "first try"} | changes)
        done = try_out(tmp_workspace, plan, watcher)
        assert done is not None
        return done

    return call


def test_an_experiment_is_trained_judged_and_recorded(
    tried: Callable[..., Tried], runs: dict[Path, dict[str, Any]], tmp_path: Path
) -> None:
    epochs: list[EpochReport] = []
    answered: list[tuple[int, int]] = []

    done = tried(
        Watcher(None, epochs.append, lambda *n: answered.append(n)),
        out=tmp_path / "there" / "model",
    )

    assert done.model_version.startswith("v0002-")
    assert done.training["counts"] == {"train": 24, "validation": 0, "calibration": 12}
    assert len(epochs) == len(done.training["history"])
    assert answered[-1] == (8, 8)
    assert done.judgement is not None
    assert done.judgement.evaluation.cases == 8
    assert (tmp_path / "there" / "model" / "model.json").exists()
    (run,) = runs.values()
    assert run["tags"]["experiment"] == "first try"
    assert run["tags"]["version"] == "v0002"
    assert (run["report"] / "report.md").exists()
    assert run["metrics"]["cases"] == 8
    assert "Epoch 1 of" in (done.folder.parent / "log" / "train.log").read_text()
    assert json.loads(json.dumps(done.to_json()))["test"]


def test_a_repeated_experiment_trains_and_records_nothing_again(
    tried: Callable[..., Tried], runs: dict[Path, dict[str, Any]]
) -> None:
    first = tried()
    epochs: list[EpochReport] = []

    second = tried(Watcher(epoch=epochs.append))

    assert epochs == []
    assert (second.model_version, second.run_id) == (first.model_version, first.run_id)
    assert len(runs) == 1


def test_exactly_the_version_that_is_named_is_learnt_from(
    tried: Callable[..., Tried], repository: FakeRepository
) -> None:
    done = tried(version="v1", changes={**TINY, "min_examples": "4"})

    assert set(repository.asked) == {"v0001"}
    assert done.model_version.startswith("v0001-")
    assert done.training["counts"]["train"] == 4


def test_films_over_the_workspaces_limits_are_left_out(
    tmp_workspace: Settings, repository: FakeRepository, runs: dict[Path, dict[str, Any]]
) -> None:
    settings = replace(tmp_workspace, max_image_pixels=100)

    with pytest.raises(TrainingError, match="more than the 100 that are read"):
        try_out(settings, Plan(config="smoke", changes=TINY))


def test_a_version_that_is_not_there_is_named(tried: Callable[..., Tried]) -> None:
    with pytest.raises(NotFoundError, match="v9"):
        tried(version="v9")


@pytest.mark.parametrize("state", ["hindrance", "lacking"])
def test_a_repository_that_is_not_in_order_is_refused(
    tried: Callable[..., Tried], repository: FakeRepository, state: str
) -> None:
    setattr(repository, state, "Somebody changed labels.csv.")

    with pytest.raises(VersionError, match=r"labels\.csv\. No training starts .* --override"):
        tried()


def test_whoever_overrides_that_is_recorded_with_the_reason(
    tried: Callable[..., Tried], repository: FakeRepository, runs: dict[Path, dict[str, Any]]
) -> None:
    repository.hindrance = "Somebody changed labels.csv."

    tried(override="I know")

    assert next(iter(runs.values()))["tags"]["override"] == "I know"


def test_a_reason_that_was_not_needed_is_not_recorded(
    tried: Callable[..., Tried], runs: dict[Path, dict[str, Any]]
) -> None:
    tried(override="just in case")

    assert "override" not in next(iter(runs.values()))["tags"]


def test_the_same_experiment_is_not_at_work_twice(
    tried: Callable[..., Tried], tmp_workspace: Settings
) -> None:
    def again(_report: EpochReport) -> None:
        with pytest.raises(TrainingError, match="at work already"):
            tried()

    tried(Watcher(epoch=again))


def test_without_a_gpu_that_is_said_once(
    tried: Callable[..., Tried],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)

    with caplog.at_level(logging.WARNING):
        tried()

    assert [r.getMessage() for r in caplog.records if "GPU" in r.getMessage()] == [
        "No GPU was found: the model is trained on CPU cores, which takes long."
    ]


def test_a_folder_with_something_else_in_it_is_not_overwritten(
    tried: Callable[..., Tried], tmp_path: Path
) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mother.txt").write_text("Dear mother")
    epochs: list[EpochReport] = []

    with pytest.raises(InvalidInputError, match="something else than a model"):
        tried(Watcher(epoch=epochs.append), out=tmp_path / "letters")

    assert epochs == []  # It is said before anything is trained.
    assert (tmp_path / "letters" / "mother.txt").exists()


@pytest.mark.parametrize("out", [".", ".."])
def test_the_folder_in_which_one_stands_is_not_replaced(
    tried: Callable[..., Tried], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    with pytest.raises(InvalidInputError, match="name a folder of its own"):
        tried(out=Path(out))


def test_options_come_from_profile_settings_and_changes_in_this_order(
    tmp_workspace: Settings,
) -> None:
    plan = Plan(config="smoke", changes={"epochs": "3", "learning_rate": "1e-4"})

    options = options_of(replace(tmp_workspace, device="cpu"), plan)

    assert (options.backbone, options.device) == ("test_byobnet", "cpu")
    assert (options.epochs, options.learning_rate) == (3, 1e-4)


def test_without_a_profile_the_loops_options_hold(tmp_workspace: Settings, tmp_path: Path) -> None:
    file = tmp_path / "loop.yaml"
    file.write_text("epochs: 7\n")
    settings = replace(tmp_workspace, train_config=str(file))

    assert options_of(settings, Plan(changes={"ema": "0.9"})) == TrainOptions(epochs=7, ema=0.9)


@pytest.mark.parametrize(
    ("plan", "name"),
    [
        (Plan(name="sizes", config="cpu"), "sizes"),
        (Plan(config="cpu"), "cpu"),
        (Plan(config="/here/mine.yaml"), "mine"),
        (Plan(), "defaults"),
    ],
)
def test_an_experiment_without_a_name_is_called_like_its_options(plan: Plan, name: str) -> None:
    assert plan.title == name
