"""`carpal train` as a user calls it, on a real dataset repository, into a real MLflow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.service.dataset_workspace import commit, open_repository, some_labels
from tests.support import eventually
from trainer.registry.registry import Registry
from trainer.registry.runs import RunLog
from workers.settings import Settings

pytestmark = pytest.mark.service

TINY = ("--config", "smoke", "--set", "image_size=32", "--set", "min_steps=0")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one version of 36 films, a third of them for each split."""
    folder = tmp_path_factory.mktemp("workspace")
    labels = [
        replace(label, values={"age_months": 5.0 * i, "sex": ("female", "male")[i % 2]})
        for i, label in enumerate(some_labels(folder, 36))
    ]
    commit(open_repository(folder), labels)
    return folder


def start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "carpal", "train", *arguments]
    environment = {**os.environ, "CARPAL_HOME": str(home), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    with start(home, *arguments) as process:
        out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def test_an_experiment_is_a_run_and_neither_champion_nor_challenger(home: Path) -> None:
    done = run(home, *TINY, "--name", "mine", "--json")

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    settings = Settings.load({"CARPAL_HOME": str(home)})
    with RunLog(settings.mlflow, settings.task).client() as client:
        found = client.get_run(told["run_id"])
        kept = {item.path for item in client.list_artifacts(told["run_id"])}
    assert found.data.tags["experiment"] == "mine"
    assert found.data.tags["model_version"] == told["model_version"]
    assert found.data.params["backbone"] == "test_byobnet"
    assert {"model", "log", "report"} <= kept
    registry = Registry(settings.mlflow, settings.task)
    assert (registry.champion(), registry.challenger()) == (None, None)
    assert "epoch 1 of" in done.stderr


def test_a_dirty_repository_is_refused_in_one_line(home: Path) -> None:
    table = home / "dataset" / "labels.csv"
    before = table.read_bytes()
    table.write_bytes(before + b"\n")
    try:
        done = run(home, *TINY)
    finally:
        table.write_bytes(before)

    assert done.returncode == 1
    assert "--override REASON" in done.stderr.splitlines()[-1]


def test_ctrl_c_is_one_line_and_the_same_command_goes_on(home: Path) -> None:
    line = (*TINY, "--set", "epochs=2000", "--set", "checkpoint_s=0", "--set", "max_seconds=0")
    with start(home, *line) as process:
        assert eventually(lambda: bool(list((home / "experiments").rglob("last.ckpt"))), 120)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)

    assert process.returncode == 130
    said = [text for text in err.splitlines() if not text.startswith(("Training:", "warning:"))]
    assert said == ["carpal: stopped; the same command goes on from the last checkpoint."]
    assert list((home / "experiments").rglob("last.ckpt"))
