"""What happens at the end of each epoch: report, best weights, limits, checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from data.atomic import storage_error
from trainer import torchvision_guard  # noqa: F401  (must come before lightning)
from trainer.fitting.learner import Learner
from trainer.fitting.schedules import make_plateau
from trainer.fitting.team import ALONE, Team
from trainer.network.network import Network
from trainer.options import TrainOptions

import lightning.pytorch as pl  # isort: skip
from lightning.pytorch.callbacks import Checkpoint  # isort: skip


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What one pass over the training images brought.

    Attributes:
        epoch: 1 for the first.
        epochs: How many there will be.
        loss: Mean training loss; lower is better, may be negative.
        seconds: Since the optimisation began, without what was lost where it was killed.
        validation_error: Mean absolute error of the primary number, in its unit, or share of
            wrong answers for a primary choice; None without `validation_share`.
    """

    epoch: int
    epochs: int
    loss: float
    seconds: float
    validation_error: float | None = None


class Course(Checkpoint):
    """What happens at the end of each epoch; being a `Checkpoint`, Lightning calls it last.

    Args:
        learner: What is trained.
        epochs: How many there will be.
        options: Limits of time and distance of checkpoints.
        file: The checkpoint.
        validate: See `fitting.fit`; only the first process of a team has it.
        progress: See `fitting.fit`.
        team: See `fitting.fit`.
    """

    def __init__(
        self,
        learner: Learner,
        epochs: int,
        options: TrainOptions,
        file: Path,
        validate: Callable[[Network], float] | None,
        progress: Callable[[EpochReport], None] | None,
        team: Team = ALONE,
    ) -> None:
        self.history: list[EpochReport] = []
        self._team = team
        self._learner, self._epochs, self._options, self._file = learner, epochs, options, file
        self._validate, self._progress = validate, progress
        self._began = time.monotonic()
        self._saved = 0.0
        self._best: tuple[float, dict[str, torch.Tensor]] | None = None
        self._since_best = 0
        self._plateau: ReduceLROnPlateau | None = None
        self._plateau_state: dict[str, Any] | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes hold of the learning rate, where the validation error decides about it."""
        self._plateau = make_plateau(trainer.optimizers[0], self._options)
        if self._plateau is not None and self._plateau_state is not None:
            self._plateau.load_state_dict(self._plateau_state)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Reports, keeps the best weights, ends at the time limit, writes the checkpoint."""
        loss = self._learner.epoch_loss()
        # Error and clock are those of the first process, so all of them decide alike.
        seconds, error = self._team.share((time.monotonic() - self._began, self._measured()))
        if error is not None:
            self._judge(error)
        report = EpochReport(len(self.history) + 1, self._epochs, loss, round(seconds, 3), error)
        self.history.append(report)
        if self._progress is not None:
            self._progress(report)
        if self._is_enough(seconds):
            trainer.should_stop = True
        elif seconds - self._saved >= self._options.checkpoint_s and report.epoch < self._epochs:
            self._save(trainer)
            self._saved = seconds

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training has to know of the epochs before."""
        rows = [[r.epoch, r.epochs, r.loss, r.seconds, r.validation_error] for r in self.history]
        return {
            "history": rows,
            "best": list(self._best) if self._best else None,
            "since_best": self._since_best,
            "plateau": self._plateau.state_dict() if self._plateau is not None else None,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` returned."""
        self.history = [EpochReport(*row) for row in state_dict["history"]]
        self._since_best = state_dict["since_best"]
        self._plateau_state = state_dict["plateau"]
        if self.history:
            self._saved = self.history[-1].seconds
            self._began -= self._saved
        if state_dict["best"] is not None:
            error, weights = state_dict["best"]
            self._best = (error, weights)

    def best(self) -> Network:
        """Returns the weights to keep: those of the best epoch, or of the last."""
        network = self._learner.kept
        if self._best is not None:
            network.load_state_dict(self._best[1])
        return network.cpu().requires_grad_()

    def _measured(self) -> float | None:
        if self._validate is None:
            return None
        kept = self._learner.kept
        error = self._validate(kept)
        kept.train(kept is self._learner.network)
        return error

    def _judge(self, error: float) -> None:
        """Keeps the weights of the lowest error so far, and tells the schedule."""
        if self._best is None or error < self._best[0]:
            kept = self._learner.kept.state_dict()
            self._best = (error, {k: v.detach().cpu().clone() for k, v in kept.items()})
            self._since_best = 0
        else:
            self._since_best += 1
        if self._plateau is not None:
            self._plateau.step(error)

    def _is_enough(self, seconds: float) -> bool:
        limit, patience = self._options.max_seconds, self._options.patience
        return 0 < limit <= seconds or 0 < patience <= self._since_best

    def _save(self, trainer: pl.Trainer) -> None:
        draft = self._file.with_suffix(".part")
        try:
            trainer.save_checkpoint(draft)  # by all processes; the first one writes
            if self._team.leads:
                draft.replace(self._file)
        except OSError as error:
            raise storage_error(error, self._file) from error
