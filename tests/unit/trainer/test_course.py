"""What a training keeps at the end of an epoch, and what it does where it cannot."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from data.errors import StorageError, TrainingError
from tests.unit.trainer.cases import QUICK
from tests.unit.trainer.test_planning import HEADS, cases, network
from trainer.fitting import fitting
from trainer.fitting.course import Course, EpochReport
from trainer.fitting.fitting import CHECKPOINT, Fitted, fit
from trainer.fitting.learner import Learner

CPU = torch.device("cpu")


class FullDisk:
    """A trainer that cannot write its checkpoint."""

    def save_checkpoint(self, path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_checkpoint_that_does_not_fit_on_the_disk_is_an_error_in_one_sentence(
    tmp_path: Path,
) -> None:
    learner = Learner(network(), HEADS, QUICK, 1)
    course = Course(learner, 1, QUICK, tmp_path / CHECKPOINT, None, None)
    trainer: Any = FullDisk()

    with pytest.raises(StorageError, match="full"):
        course._save(trainer)


def test_the_clock_of_a_resumed_training_goes_on_where_it_stood(tmp_path: Path) -> None:
    learner = Learner(network(), HEADS, QUICK, 1)
    killed, resumed = (
        Course(learner, 9, QUICK, tmp_path / CHECKPOINT, None, None) for _ in range(2)
    )
    killed.history = [EpochReport(1, 9, 0.5, 1000.0)]

    resumed.load_state_dict(killed.state_dict())
    resumed._learner = SimpleNamespace(epoch_loss=lambda: 0.5)  # type: ignore[assignment]
    trainer: Any = SimpleNamespace()
    resumed.on_train_epoch_end(trainer, resumed._learner)

    assert 1000.0 <= resumed.history[-1].seconds < 1050.0


class Memory:
    """A GPU that takes steps of so many parts, and notes in how many they were tried."""

    def __init__(self, least_parts: int) -> None:
        self.least_parts = least_parts
        self.tried: list[int] = []

    def take(self, parts: int) -> None:
        self.tried.append(parts)
        if parts < self.least_parts:
            raise torch.OutOfMemoryError("CUDA out of memory.")


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """Steps need four parts, when they are measured as when they are taken."""
    memory = Memory(4)

    def measured(*arguments: Any) -> float:
        memory.take(arguments[3].accumulate)
        return 1.0

    def fitted(network: Any, told: Any, *_: Any) -> Fitted:
        memory.take(told.options.accumulate)
        return Fitted(network, ())

    monkeypatch.setattr("trainer.fitting.planning.seconds_of_step", measured)
    monkeypatch.setattr(fitting, "_fit", fitted)
    return memory


@pytest.mark.parametrize(
    ("budget_s", "tried"),
    [
        pytest.param(0.0, [1, 2, 4], id="while it trains"),
        pytest.param(9.0, [1, 2, 4, 4], id="while it plans"),
    ],
)
def test_a_step_that_is_too_large_for_the_gpu_is_computed_in_more_parts(
    memory: Memory, tmp_path: Path, budget_s: float, tried: list[int]
) -> None:
    options = QUICK.with_settings({"budget_s": budget_s})

    fit(network(), HEADS, cases(16), options, CPU, tmp_path, None, None)

    assert memory.tried == tried


@pytest.mark.parametrize("budget_s", [0.0, 9.0], ids=["while it trains", "while it plans"])
def test_images_too_large_for_the_gpu_end_the_training_in_a_sentence(
    memory: Memory, tmp_path: Path, budget_s: float
) -> None:
    memory.least_parts = 100
    options = QUICK.with_settings({"budget_s": budget_s})

    with pytest.raises(TrainingError, match="too small for images of 32 pixels"):
        fit(network(), HEADS, cases(16), options, CPU, tmp_path, None, None)
