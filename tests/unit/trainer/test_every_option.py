"""Every training option does what its help says: another value gives another model, or course."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from data.domain import Example
from data.errors import TrainingError
from data.images.decoding import encode_png
from tests.unit.trainer import test_several_processes, test_train
from tests.unit.trainer.cases import BONE_AGE, QUICK, easy_examples
from trainer import train as training
from trainer.fitting import fitting, planning
from trainer.fitting.course import Course
from trainer.fitting.fitting import CHECKPOINT, make_trainer
from trainer.fitting.planning import Plan
from trainer.inputs import pixels
from trainer.inputs.pixels import Film
from trainer.model.card import ModelCard
from trainer.model.files import WEIGHTS, load_model
from trainer.network import network
from trainer.options import TrainOptions
from trainer.train import TrainedModel, train
from trainer.training import Start

pytestmark = pytest.mark.long

TASK = replace(BONE_AGE, input="sex")
CHANGED = replace(QUICK, augment=1.0, **dict.fromkeys(("turn_deg", "zoom", "shift"), 0.0))
STILL = replace(CHANGED, gamma=0.0, contrast=0.0, brightness=0.0, noise=0.0)
"""Augmentation is switched on, but every single change is switched off."""

TOLD = replace(QUICK, input_mode="input")
BINS = replace(QUICK, number_head="distribution", bin_width=20.0, label_spread=20.0)
LONG = replace(QUICK, epochs=3)
JUDGED = replace(QUICK, validation_share=0.3)
ALONE = replace(QUICK, start="self_supervised", ssl_epochs=1, ssl_batch_size=16)
MASKED = replace(QUICK, crop="mask")

LEARNT: list[tuple[TrainOptions, dict[str, Any]]] = [
    (QUICK, {"image_size": 40}),
    (replace(QUICK, image_size=48), {"sizes": "32,48"}),
    (QUICK, {"crop": "mask"}),
    (MASKED, {"mask_crop": 1.6}),
    (QUICK, {"background": "remove"}),
    (replace(MASKED, background="remove"), {"mask_edge": 0.1}),
    (QUICK, {"normalise": "interval"}),
    (QUICK, {"normalise": "equalised"}),
    (QUICK, {"backbone": "test_resnet"}),
    (QUICK, {"hidden": "8,4"}),
    (QUICK, {"dropout": 0.5}),
    (QUICK, {"number_head": "distribution"}),
    (BINS, {"bin_width": 40.0}),
    (BINS, {"label_spread": 60.0}),
    (QUICK, {"input_mode": "input"}),
    (TOLD, {"input_mode": "explicit"}),
    (QUICK, {"input_mode": "only"}),
    (TOLD, {"withhold": 0.9}),
    (replace(QUICK, crop="field"), {"exposure": "levelled"}),
    (QUICK, {"members": "#0, test_resnet#1"}),
    (QUICK, {"only": "sex=female"}),
    (QUICK, {"folds": 3}),
    (replace(QUICK, folds=3), {"fold": 1}),
    (QUICK, {"validation_share": 0.3}),
    (QUICK, {"label_weights": "equal"}),
    (QUICK, {"loss_weights": "learned"}),
    (QUICK, {"epochs": 2}),
    (QUICK, {"min_steps": 6}),
    (QUICK, {"batch_size": 6}),
    (QUICK, {"accumulate": 2}),
    (QUICK, {"learning_rate": 1e-3}),
    (LONG, {"schedule": "cosine"}),
    (LONG, {"schedule": "constant"}),
    (QUICK, {"weight_decay": 0.5}),
    (QUICK, {"clip_norm": 0.01}),
    (QUICK, {"ema": 0.9}),
    (QUICK, {"augment": 0.5}),
    (QUICK, {"flip": True}),
    (STILL, {"turn_deg": 20.0}),
    (STILL, {"zoom": 0.2}),
    (STILL, {"shift": 0.1}),
    (STILL, {"shear_deg": 10.0}),
    (STILL, {"gamma": 0.3}),
    (STILL, {"contrast": 0.2}),
    (STILL, {"brightness": 0.1}),
    (STILL, {"noise": 0.03}),
    (STILL, {"sharpen": 1.0}),
    (STILL, {"clahe": 1.0}),
    (STILL, {"blur": 1.0}),
    (STILL, {"posterise": 1.0}),
    (STILL, {"invert": 1.0}),
    (STILL, {"erase": 1.0}),
    (STILL, {"marker": 1.0}),
    (QUICK, {"seed": 1}),
    (QUICK, {"precision": "bf16"}),
    (ALONE, {"frozen": 2}),
    (ALONE, {"ssl_epochs": 2}),
    (ALONE, {"ssl_batch_size": 24}),
    (ALONE, {"ssl_learning_rate": 1e-2}),
    (replace(ALONE, ssl_epochs=3), {"ssl_max_seconds": 1e-6}),
]
"""(options, the change): it gives other weights."""

CALIBRATED: list[tuple[TrainOptions, dict[str, Any]]] = [
    (QUICK, {"coverage": 0.5}),
    (QUICK, {"bias_correction": True}),
    (QUICK, {"tta": "flip"}),
    (QUICK, {"tta": "rotate"}),
    (replace(QUICK, tta="rotate"), {"tta": "full"}),
    (replace(QUICK, tta="rotate"), {"tta_degrees": 30.0}),
]
"""(options, the change): it gives the same weights, but they are read out differently."""

ELSEWHERE: dict[str, Callable[..., None]] = {
    "start": test_train.test_the_champions_weights_are_the_start_where_that_is_wished,
    "max_seconds": test_train.test_time_that_is_up_ends_the_training_with_the_epoch,
    "devices": test_several_processes.test_two_processes_learn_what_one_does_and_save_it_once,
}
"""Option -> the test in another module that shows what it does."""


@dataclass
class Bench:
    """Trains with options, once for each, on easy films that have masks and unequal weights."""

    folder: Path
    examples: list[Example]
    trained: dict[TrainOptions, TrainedModel] = field(default_factory=dict)

    def train(self, options: TrainOptions) -> TrainedModel:
        if options not in self.trained:
            self.trained[options] = train(
                TASK,
                self.examples,
                options,
                self.folder / str(len(self.trained)),
                dataset_version="v0001",
                start=Start(pool=[Film(e.radiograph_id, e.path) for e in self.examples]),
                cache=self.folder / "cache",
            )
        return self.trained[options]

    def card(self, options: TrainOptions) -> ModelCard:
        return load_model(self.train(options).folder)[1]

    def weights(self, options: TrainOptions) -> bytes:
        return (self.train(options).folder / WEIGHTS).read_bytes()


def hand_mask(path: Path, side: int) -> Path:
    mask = np.zeros((48, 48), np.uint8)
    mask[4 : 4 + side, 8 : 8 + side] = 255
    path.write_bytes(encode_png(mask))
    return path


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("bench")
    examples = easy_examples(folder, train=24, calibration=36)
    return Bench(
        folder,
        [
            replace(
                e,
                mask=hand_mask(folder / f"mask{i}.png", 20 + i % 12),
                weight=(1.0, 0.2)[i % 4 // 2],
            )
            for i, e in enumerate(examples)
        ],
    )


def named(case: Any) -> str:
    return "=".join(str(part) for part in next(iter(case.items()))) if type(case) is dict else ""


@pytest.mark.parametrize(("options", "change"), LEARNT, ids=named)
def test_another_value_gives_other_weights(
    bench: Bench, options: TrainOptions, change: dict[str, Any]
) -> None:
    assert bench.weights(options) != bench.weights(replace(options, **change))


@pytest.mark.parametrize(("options", "change"), CALIBRATED, ids=named)
def test_another_value_reads_the_same_weights_differently(
    bench: Bench, options: TrainOptions, change: dict[str, Any]
) -> None:
    changed = replace(options, **change)

    assert bench.weights(options) == bench.weights(changed)
    assert bench.card(options).calibration != bench.card(changed).calibration


def test_as_many_training_images_as_min_examples_are_asked_for(bench: Bench) -> None:
    with pytest.raises(TrainingError, match="at least 25 are needed"):
        bench.train(replace(QUICK, min_examples=25))


def test_a_budget_is_turned_into_as_many_epochs_as_fit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "seconds_of_step", lambda *_: 2.0)
    # 3 steps of 2 s and 8 % overhead: 6.48 s an epoch.
    assert len(bench.train(replace(QUICK, budget_s=20.0)).history) == 3


@pytest.mark.parametrize(("patience", "epochs"), [(0, 6), (2, 3)])
def test_patience_ends_a_training_that_gets_no_better(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, patience: int, epochs: int
) -> None:
    monkeypatch.setattr(training.Training, "_validator", lambda *_: lambda _network: 10.0)

    model = bench.train(replace(JUDGED, epochs=6, patience=patience))

    assert len(model.history) == epochs


def test_a_plateau_lowers_the_rate_where_the_error_stays(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    judge = Course._judge

    def noted(self: Course, error: float) -> None:
        judge(self, error)
        assert self._plateau is not None
        rates.append(self._plateau.optimizer.param_groups[0]["lr"])

    monkeypatch.setattr(Course, "_judge", noted)
    monkeypatch.setattr(training.Training, "_validator", lambda *_: lambda _network: 10.0)
    bench.train(replace(JUDGED, epochs=5, schedule="plateau"))

    # The first epoch is the best; after three more that are no better the rate falls to 0.3 of it.
    assert rates == pytest.approx([3e-3, 3e-3, 3e-3, 9e-4, 9e-4])


@pytest.mark.parametrize(("seconds", "written"), [(0.0, True), (1000.0, False)])
def test_checkpoints_are_written_as_often_as_asked_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, seconds: float, written: bool
) -> None:
    saved: list[str] = []
    save = Course._save

    def noted(self: Course, trainer: Any) -> None:
        save(self, trainer)
        saved.append(self._file.name)

    monkeypatch.setattr(Course, "_save", noted)
    bench.train(replace(QUICK, epochs=2, checkpoint_s=seconds))

    assert saved == ([CHECKPOINT] if written else [])


def test_weights_from_a_file_are_the_start(bench: Bench, tmp_path: Path) -> None:
    still = replace(QUICK, learning_rate=1e-12, weight_decay=0.0)
    backbone = load_model(bench.train(replace(QUICK, seed=7)).folder)[0][0].network.backbone
    file = tmp_path / "weights.safetensors"
    save_file({k: v.contiguous() for k, v in backbone.state_dict().items()}, file)

    model = bench.train(replace(still, start="file", weights=str(file)))

    told = load_model(model.folder)[0][0].network.backbone.state_dict()
    assert model.started_from[0].startswith("file weights.safetensors ")
    name = next(name for name, value in told.items() if value.ndim == 4)
    assert torch.allclose(told[name], backbone.state_dict()[name])


@pytest.mark.parametrize(("start", "asked"), [("pretrained", True), ("scratch", False)])
def test_pretrained_weights_are_asked_of_timm(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, start: str, asked: bool
) -> None:
    calls: list[tuple[str, bool]] = []
    create = network.timm.create_model

    def noted(name: str, *, pretrained: bool, **rest: Any) -> Any:
        calls.append((name, pretrained))
        return create(name, pretrained=False, **rest)

    monkeypatch.setattr(network.timm, "create_model", noted)
    bench.train(replace(QUICK, start=start, min_steps=1))

    assert calls[0] == ("test_byobnet", asked)


class Compiled(torch.nn.Module):
    """What stands for a compiled network."""

    steps = 0

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *arguments: Any) -> Any:
        Compiled.steps += 1
        return self.inner(*arguments)


def test_the_network_is_compiled_for_training_where_that_is_asked_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", Compiled)

    compiled = bench.train(replace(QUICK, compile=True))

    assert Compiled.steps == 3  # one per optimiser step; calibration uses the plain network
    parts = [load_model(m.folder)[0][0] for m in (compiled, bench.train(QUICK))]
    states = [part.network.state_dict() for part in parts]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What Lightning's trainer is asked for."""
    said: dict[str, Any] = {}
    monkeypatch.setattr(fitting.pl, "Trainer", lambda **arguments: said.update(arguments))
    return said


@pytest.mark.parametrize(
    ("deterministic", "kernels"), [(True, ("warn", False)), (False, (None, True))]
)
def test_deterministic_kernels_are_asked_of_a_gpu(
    asked: dict[str, Any], tmp_path: Path, deterministic: bool, kernels: tuple[Any, bool]
) -> None:
    options = replace(QUICK, deterministic=deterministic)

    make_trainer(Plan(8, 1, 3), 1, options, torch.device("cuda"), tmp_path, None)  # type: ignore[arg-type]

    assert (asked["deterministic"], asked["benchmark"]) == kernels


@pytest.mark.parametrize(
    ("device", "accelerator", "devices"),
    [("cpu", "cpu", 1), ("cuda:3", "gpu", [3])],
)
def test_the_device_that_is_named_is_taken(
    asked: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    device: str,
    accelerator: str,
    devices: Any,
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    chosen = training._device(replace(QUICK, device=device))

    make_trainer(Plan(8, 1, 3), 1, QUICK, chosen, tmp_path, None)  # type: ignore[arg-type]

    assert (asked["accelerator"], asked["devices"]) == (accelerator, devices)


def test_the_number_of_threads_is_set(bench: Bench) -> None:
    before = torch.get_num_threads()
    try:
        bench.train(replace(QUICK, threads=2))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_as_many_threads_decode_as_workers_are_asked_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    pool = pixels.ThreadPoolExecutor

    def noted(count: int) -> Any:
        counts.append(count)
        return pool(count)

    monkeypatch.setattr(pixels, "ThreadPoolExecutor", noted)
    bench.train(replace(QUICK, workers=3, image_size=56))

    assert set(counts) == {3}


SHOWN_HERE = {
    "min_examples",
    "budget_s",
    "patience",
    "checkpoint_s",
    "weights",
    "compile",
    "deterministic",
    "device",
    "threads",
    "workers",
}
"""Options with a test of their own above."""


def test_no_option_is_without_a_case() -> None:
    tabled = {name for _, change in [*LEARNT, *CALIBRATED] for name in change}

    shown = tabled | SHOWN_HERE | set(ELSEWHERE)

    assert shown == {item.name for item in fields(TrainOptions)}
