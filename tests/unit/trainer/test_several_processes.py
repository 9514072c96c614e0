"""Several processes that train one model, on CPUs, through gloo."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.domain import Example
from data.errors import TrainingError
from tests.unit.trainer.cases import BONE_AGE, QUICK, easy_examples
from trainer.fitting.cases import Cases, EpochOrder
from trainer.fitting.course import EpochReport
from trainer.fitting.fitting import fit
from trainer.fitting.team import Team, processes_wanted
from trainer.model.files import load_model
from trainer.network.heads import heads_of
from trainer.network.network import Network, NetworkForm
from trainer.train import train

pytestmark = pytest.mark.long

TWO = replace(QUICK, devices=2, epochs=2, validation_share=0.3, batch_size=8, ema=0.9)

LAUNCHED = """
import json, sys
from pathlib import Path
from tests.unit.trainer.cases import BONE_AGE, QUICK, easy_examples
from tests.unit.trainer.test_several_processes import TWO
from trainer.train import train
folder, rank = Path(sys.argv[1]), sys.argv[2]
data = easy_examples(folder, train=24, calibration=12)
model = train(BONE_AGE, data, TWO, folder / "model", dataset_version="v0001")
(folder / f"said{rank}.json").write_text(json.dumps(model.to_json()))
"""


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    return easy_examples(tmp_path_factory.mktemp("images"), train=24, calibration=12)


def test_two_processes_learn_what_one_does_and_save_it_once(
    tmp_path: Path, examples: list[Example]
) -> None:
    # Without batch norms, which see only the half of a step that their process computes.
    options = replace(TWO, backbone="test_convnext", image_size=64, withhold=0.0)
    reports: list[EpochReport] = []

    two = train(
        BONE_AGE,
        examples,
        options,
        tmp_path / "model",
        dataset_version="v0001",
        progress=reports.append,
    )

    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert two.history == tuple(reports)
    one = train(
        BONE_AGE, examples, replace(options, devices=1), tmp_path / "one", dataset_version="v0001"
    )
    for there, here in zip(two.history, one.history, strict=True):
        assert math.isclose(there.loss, here.loss, rel_tol=1e-3)
        assert math.isclose(there.validation_error or 0, here.validation_error or 0, rel_tol=1e-3)
    networks = [load_model(model.folder)[0][0].network.state_dict() for model in (two, one)]
    assert all(
        torch.allclose(networks[0][name], networks[1][name], atol=1e-3) for name in networks[0]
    )


def test_too_few_images_for_so_many_processes_are_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    heads = heads_of(BONE_AGE.targets[1:], {}, QUICK)
    network = Network(NetworkForm(QUICK.backbone, 32, (2,)))
    labels = np.zeros((8, 1), np.float32)
    cases = Cases(
        np.zeros((8, 32, 32), np.uint8),
        np.arange(8),
        labels,
        np.ones(8, np.float32),
        np.zeros((8, 0), np.float32),
    )

    with pytest.raises(TrainingError, match="8 images, too few for 5 processes"):
        fit(
            network,
            heads,
            cases,
            QUICK,
            torch.device("cpu"),
            tmp_path,
            None,
            None,
            Team(0, 5, 0, 5, "env://"),
        )


def launch(folder: Path, size: int, kind: str) -> list[int]:
    """Starts processes as torchrun or srun would, and returns their exit statuses."""
    port = str(20_000 + os.getpid() % 20_000)
    places: list[dict[str, str]] = []
    for rank in range(size):
        if kind == "torchrun":
            place = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": size}
            named = {k: str(v) for k, v in place.items()}
            named |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "LOCAL_WORLD_SIZE": "2"}
            named |= {"TORCHELASTIC_RUN_ID": "test"}
        else:
            named = {"SLURM_NTASKS": str(size), "SLURM_PROCID": str(rank), "SLURM_NODEID": "0"}
            named |= {"SLURM_LOCALID": str(rank), "SLURM_NODELIST": "127.0.0.1"}
            named |= {"SLURM_JOB_ID": port, "SLURM_JOB_NAME": "train", "SLURM_NNODES": "1"}
            named |= {"SLURM_NTASKS_PER_NODE": "2"}
        places.append(named)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", LAUNCHED, str(folder), str(rank)],
            env={**os.environ, "OMP_NUM_THREADS": "1", **place},
            cwd=Path(__file__).parents[3],
        )
        for rank, place in enumerate(places)
    ]
    return [process.wait(300) for process in processes]


@pytest.mark.parametrize("kind", ["torchrun", "srun"])
def test_processes_that_a_launcher_started_train_one_model(tmp_path: Path, kind: str) -> None:
    assert launch(tmp_path, 2, kind) == [0, 0]

    first, other = (json.loads((tmp_path / f"said{rank}.json").read_text()) for rank in (0, 1))
    assert first == other
    assert len(first["history"]) == 2
    assert first["history"][0]["validation_error"] > 0
    assert (tmp_path / "model" / "model.json").exists()
    assert not list(tmp_path.glob(".*"))


def test_the_processes_of_a_step_see_the_images_that_one_would_see() -> None:
    alone = list(EpochOrder(20, 16, seed=3))
    shares = [list(EpochOrder(20, 16, 3, rank, 2)) for rank in range(2)]

    for step in range(2):
        together = [shares[r][step * 4 : step * 4 + 4] for r in range(2)]
        assert sorted([*together[0], *together[1]]) == sorted(alone[step * 8 : step * 8 + 8])


def test_cases_are_handed_over_by_the_name_of_their_file(tmp_path: Path) -> None:
    import pickle

    squares = np.arange(4 * 8 * 8, dtype=np.uint8).reshape(4, 8, 8)
    (tmp_path / "pixels").write_bytes(squares.tobytes())
    mapped: Any = np.memmap(tmp_path / "pixels", np.uint8, "r", shape=squares.shape)
    none = np.zeros((2, 0), np.float32)
    cases = Cases(mapped, np.asarray([3, 1]), none, np.ones(2, np.float32), none)

    payload = pickle.dumps(cases)
    there = pickle.loads(payload)

    assert len(payload) < 1000
    assert isinstance(there.pixels, np.memmap)
    assert np.array_equal(there.__getitems__([0])[0], squares[[3]])


def test_zero_devices_are_all_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)

    assert processes_wanted(replace(QUICK, devices=0, device="auto")) == 4
    assert processes_wanted(replace(QUICK, devices=0, device="cpu")) == 1
    with pytest.raises(TrainingError, match="has 4 GPUs"):
        processes_wanted(replace(QUICK, devices=5, device="auto"))


@pytest.mark.parametrize(("name", "there"), [("auto", True), ("cpu", True), ("cuda", False)])
def test_a_process_of_several_computes_on_a_gpu_that_is_named_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, name: str, there: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    place = Team(0, 2, 0, 2, "env://")

    if there:
        assert place.device(name) == torch.device("cpu")
    else:
        with pytest.raises(TrainingError, match="has 0 GPUs"):
            place.device(name)
