"""`carpal train`: what is asked of the loop, and what is tried out aside from it."""

from __future__ import annotations

import json
from dataclasses import fields
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress
from typer.testing import CliRunner

from carpal.cli import app
from carpal.training_page import Board
from data.errors import InvalidInputError
from trainer.fitting.course import EpochReport
from trainer.options import PROFILES, TrainOptions
from workers.experiment import Plan


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CARPAL_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def plans(home: Path, monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """What was asked to be tried out; nothing is trained."""
    asked: list[Plan] = []

    def try_out(_settings: Any, plan: Plan, _watcher: Any) -> None:
        asked.append(plan)

    monkeypatch.setattr("workers.experiment.try_out", try_out)
    return asked


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["train", *arguments])


def test_without_options_the_loop_is_asked(
    home: Path, plans: list[Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Answer:
        reason = "Training v0003 starts."

    asked: list[str] = []

    def request(_settings: Any, _ledger: Any, _who: str, *, override: str) -> Answer:
        asked.append(override)
        return Answer()

    monkeypatch.setattr("workers.scheduling.request_training", request)

    assert run().output == "Training v0003 starts.\n"
    assert json.loads(run("--override", "I know", "--json").output) == {"said": Answer.reason}
    assert asked == ["", "I know"]
    assert plans == []


def test_every_option_reaches_the_experiment(plans: list[Plan]) -> None:
    line = "--version v7 --config cpu --set epochs=3 --set hidden=8,4 --name sizes --out there"
    result = run(*line.split(), "--members", "#0, #1", "--log-level", "debug", "--override", "why")

    assert result.exit_code == 0
    changes = {"members": "#0, #1", "epochs": "3", "hidden": "8,4"}
    assert plans == [Plan("v7", "cpu", changes, "sizes", Path("there"), "why", "debug")]


def test_weights_of_a_file_are_the_start(plans: list[Plan]) -> None:
    run("--weights", "w.safetensors")

    assert plans[0].changes == {"weights": "w.safetensors", "start": "file"}
    assert plans[0].version == "latest"


@pytest.mark.parametrize("text", ["epochs", "=3", " =3"])
def test_a_change_that_is_no_assignment_is_refused(plans: list[Plan], text: str) -> None:
    result = run("--set", text)

    assert isinstance(result.exception, InvalidInputError)
    assert "must be written name=value" in str(result.exception)
    assert plans == []


def test_an_unknown_option_is_answered_with_one_sentence(home: Path) -> None:
    result = run("--config", "smoke", "--set", "lr=3")

    assert isinstance(result.exception, InvalidInputError)
    assert str(result.exception) == (
        "There is no training option lr (perhaps learning_rate). "
        "'carpal train --list-options' prints them all."
    )


def test_ctrl_c_is_one_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("workers.experiment.try_out", stopped)

    result = run("--config", "smoke")

    assert result.exit_code == 130
    assert result.stderr == (
        "carpal: stopped; the same command goes on from the last checkpoint.\n"
    )


def test_every_option_is_listed_with_its_default() -> None:
    rows = json.loads(run("--list-options", "--json").output)

    assert [row["option"] for row in rows] == [item.name for item in fields(TrainOptions)]
    assert rows[0] == {
        "option": "image_size",
        "default": 96,
        "what_it_does": "side of the square that the model sees, pixels",
    }
    assert "image_size" in run("--list-options").output


def test_every_profile_is_listed_with_what_it_is_for() -> None:
    rows = json.loads(run("--profiles", "--json").output)

    assert [row["profile"] for row in rows] == sorted(f.stem for f in PROFILES.glob("*.yaml"))
    assert all(row["what_it_is_for"].endswith(".") for row in rows)


def test_elsewhere_than_on_a_terminal_each_epoch_is_a_line() -> None:
    console = Console(file=StringIO(), width=200)
    board = Board(Progress(console=console, disable=True), console)

    board.epoch(EpochReport(1, 4, 0.5, 2.0, 12.345))
    board.epoch(EpochReport(1, 2, 0.25, 3.0))

    assert isinstance(console.file, StringIO)
    assert console.file.getvalue().splitlines() == [
        "Training: epoch 1 of 4, loss 0.5000, validation error 12.35, 6 s left",
        "Training network 2: epoch 1 of 2, loss 0.2500, 3 s left",
    ]
