"""Runs the optimisation under Lightning: resumable, quiet, bounded in time, the best epoch kept."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from data.domain import Target
from trainer import torchvision_guard  # noqa: F401  (must come before lightning)
from trainer.learner import Batch, Cases, EpochOrder, Learner
from trainer.network import Network
from trainer.options import TrainOptions

import lightning.pytorch as pl  # isort: skip
from lightning.pytorch.callbacks import Checkpoint  # isort: skip
from lightning.fabric.plugins.environments.lightning import LightningEnvironment  # isort: skip

CLIP_NORM = 5.0
"""Longest gradient: a single odd film must not throw the weights off."""

CHECKPOINT = "last.ckpt"


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What one pass over the training images brought.

    Attributes:
        epoch: 1 for the first.
        epochs: How many there will be.
        loss: Mean training loss; lower is better, may be negative.
        seconds: Since the training (or its resumption) began.
        validation_error: Mean absolute error of the primary number, in its unit, or share of
            wrong answers for a primary choice; None without `validation_share`.
    """

    epoch: int
    epochs: int
    loss: float
    seconds: float
    validation_error: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to train.

    Attributes:
        batch_size: Images in a step; fewer than asked for where there are fewer images.
        epochs: Passes over the training images.
        steps: Optimiser steps in all.
    """

    batch_size: int
    epochs: int
    steps: int


def plan(cases: int, options: TrainOptions) -> Plan:
    """Says how long `cases` training images are trained on."""
    batch_size = min(options.batch_size, cases)
    # Whole batches only: a rest of one image would have no variance to normalise by.
    per_epoch = cases // batch_size
    epochs = max(options.epochs, math.ceil(options.min_steps / per_epoch))
    return Plan(batch_size, epochs, epochs * per_epoch)


def fit(
    network: Network,
    targets: Sequence[Target],
    cases: Cases,
    options: TrainOptions,
    device: torch.device,
    folder: Path,
    validate: Callable[[], float] | None,
    progress: Callable[[EpochReport], None] | None,
) -> tuple[EpochReport, ...]:
    """Trains a network in place, from the checkpoint in `folder` if there is one.

    Args:
        network: What is trained; ends with the weights of the last epoch or, with `validate`, of
            the epoch with the lowest validation error.
        targets: The task's targets.
        cases: The training cases.
        options: How to train.
        device: Where to train.
        folder: Keeps the checkpoint.
        validate: Computes the validation error of the network as it is; lower is better.
        progress: Told of each epoch.

    Returns:
        A report of each epoch, those before a resumption included.

    Raises:
        TrainingError: The loss is no longer finite.
    """
    length = plan(len(cases), options)
    loader: DataLoader[Batch] = DataLoader(
        cases,
        batch_size=length.batch_size,
        sampler=EpochOrder(len(cases), options.seed),
        collate_fn=_as_is,
        drop_last=True,
    )
    learner = Learner(network, targets, options, length.steps)
    checkpoint = folder / CHECKPOINT
    course = Course(learner, length.epochs, options, checkpoint, validate, progress)
    with quiet():
        trainer = _trainer(length, options, device, folder, course)
        trainer.fit(
            learner,
            loader,
            ckpt_path=checkpoint if checkpoint.exists() else None,
            weights_only=True,
        )
    course.restore_best()
    return tuple(course.history)


class Course(Checkpoint):
    """What happens at the end of each epoch; being a `Checkpoint`, Lightning calls it last.

    Args:
        learner: What is trained.
        epochs: How many there will be.
        options: Limits of time and distance of checkpoints.
        file: The checkpoint.
        validate: See `fit`.
        progress: See `fit`.
    """

    def __init__(
        self,
        learner: Learner,
        epochs: int,
        options: TrainOptions,
        file: Path,
        validate: Callable[[], float] | None,
        progress: Callable[[EpochReport], None] | None,
    ) -> None:
        self.history: list[EpochReport] = []
        self._learner, self._epochs, self._options, self._file = learner, epochs, options, file
        self._validate, self._progress = validate, progress
        self._began = self._saved = time.monotonic()
        self._best: tuple[float, dict[str, torch.Tensor]] | None = None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Reports, keeps the best weights, ends at the time limit, writes the checkpoint."""
        loss = self._learner.epoch_loss()
        error = self._validated()
        now = time.monotonic()
        report = EpochReport(
            len(self.history) + 1, self._epochs, loss, round(now - self._began, 3), error
        )
        self.history.append(report)
        if self._progress is not None:
            self._progress(report)
        if self._options.max_seconds and now - self._began >= self._options.max_seconds:
            trainer.should_stop = True
        elif now - self._saved >= self._options.checkpoint_s and report.epoch < self._epochs:
            self._save(trainer)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training has to know of the epochs before."""
        rows = [[r.epoch, r.epochs, r.loss, r.seconds, r.validation_error] for r in self.history]
        return {"history": rows, "best": list(self._best) if self._best else None}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` returned."""
        self.history = [EpochReport(*row) for row in state_dict["history"]]
        if state_dict["best"] is not None:
            error, weights = state_dict["best"]
            self._best = (error, weights)

    def restore_best(self) -> None:
        """Puts back the weights of the epoch with the lowest validation error, if there was any."""
        if self._best is not None:
            self._learner.network.load_state_dict(self._best[1])

    def _validated(self) -> float | None:
        network = self._learner.network
        if self._validate is None:
            return None
        error = self._validate()
        network.train()
        if self._best is None or error < self._best[0]:
            weights = {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}
            self._best = (error, weights)
        return error

    def _save(self, trainer: pl.Trainer) -> None:
        draft = self._file.with_suffix(".part")
        trainer.save_checkpoint(draft)
        draft.replace(self._file)
        self._saved = time.monotonic()


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps Lightning's advice and banners out of logs; its errors come through as exceptions."""
    loggers = [logging.getLogger(n) for n in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _trainer(
    length: Plan, options: TrainOptions, device: torch.device, folder: Path, course: Course
) -> pl.Trainer:
    gpu = device.type == "cuda"
    bf16 = options.precision == "bf16" or (
        options.precision == "auto" and gpu and torch.cuda.is_bf16_supported()
    )
    return pl.Trainer(
        accelerator="gpu" if gpu else "cpu",
        devices=[device.index or 0] if gpu else 1,
        precision="bf16-mixed" if bf16 else "32-true",
        max_epochs=length.epochs,
        gradient_clip_val=CLIP_NORM,
        callbacks=[course],
        default_root_dir=folder,
        plugins=[LightningEnvironment()],
        # A CPU adds up in the same order anyway; some GPU kernels have to be asked.
        deterministic="warn" if gpu else None,
        logger=False,
        enable_checkpointing=True,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )


def _as_is(batch: Any) -> Any:
    """`Cases` gives whole batches already."""
    return batch
