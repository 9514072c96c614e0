"""Runs the optimisation under Lightning: resumable, quiet, bounded in time, the best epoch kept.

Where several processes train together, the first one calls `fit` and the others `serve`: they are
told what to train and compute their share of every step.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader

from data.errors import TrainingError
from trainer import torchvision_guard  # noqa: F401  (must come before lightning)
from trainer.cases import Batch, Cases, EpochOrder
from trainer.heads import Head
from trainer.learner import Learner
from trainer.network import Network, NetworkForm
from trainer.options import TrainOptions
from trainer.planning import Plan, planned
from trainer.precision import uses_bf16
from trainer.schedules import make_plateau
from trainer.team import ALONE, Placed, Team

import lightning.pytorch as pl  # isort: skip
from lightning.pytorch.callbacks import Checkpoint  # isort: skip
from lightning.pytorch.strategies import DDPStrategy  # isort: skip
from lightning.fabric.plugins.environments.lightning import LightningEnvironment  # isort: skip

CHECKPOINT = "last.ckpt"

log = logging.getLogger(__name__)


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
class Fitted:
    """What the optimisation made.

    Attributes:
        network: The weights that are kept, on the CPU.
        history: A report of each epoch, those before a resumption included.
    """

    network: Network
    history: tuple[EpochReport, ...]


@dataclass(frozen=True, slots=True)
class Assignment:
    """What all processes of a training have to know of one network's optimisation.

    Attributes:
        form: Form of the network; its weights come from the first process.
        heads: Its heads.
        cases: The training cases.
        options: How to train.
        plan: How long.
        folder: Keeps the checkpoint.
        resumes: There is a checkpoint.
    """

    form: NetworkForm
    heads: tuple[Head, ...]
    cases: Cases
    options: TrainOptions
    plan: Plan
    folder: Path
    resumes: bool


def fit(
    network: Network,
    heads: Sequence[Head],
    cases: Cases,
    options: TrainOptions,
    device: torch.device,
    folder: Path,
    validate: Callable[[Network], float] | None,
    progress: Callable[[EpochReport], None] | None,
    team: Team = ALONE,
) -> Fitted:
    """Trains a network, from the checkpoint in `folder` if there is one.

    What is kept are the weights of the last epoch or, with `validate`, of the epoch with the
    lowest validation error; their moving average where the options ask for one. Where the memory
    of the GPU is too small for a step, its images are computed in more parts.

    Args:
        network: What is trained.
        heads: Its heads.
        cases: The training cases.
        options: How to train.
        device: Where to train.
        folder: Keeps the checkpoint.
        validate: Computes the validation error of a network; lower is better.
        progress: Told of each epoch.
        team: The processes that train together; this is the first of them.

    Raises:
        TrainingError: The loss is no longer finite, or one image is too large for the GPU.
    """
    plan = planned(network, heads, cases, options, device, folder, team.size)
    if plan.batch_size < 2 * team.size:
        raise TrainingError(
            f"A step has {plan.batch_size} images, too few for {team.size} processes: "
            "lower devices, or raise batch_size."
        )
    told = Assignment(network.form, tuple(heads), cases, options, plan, folder, False)
    first = {k: v.detach().clone() for k, v in network.state_dict().items()}
    while True:
        told = team.share(replace(told, resumes=(folder / CHECKPOINT).exists()))
        try:
            return _fit(network, told, device, validate, progress, team)
        except torch.OutOfMemoryError as error:
            told = _in_more_parts(told, device, team, error)
        torch.cuda.empty_cache()
        network.load_state_dict(first)


def serve(device: torch.device, team: Team) -> None:
    """Computes a process's share of all that the first one trains, until that has ended."""
    nothing: Assignment | None = None
    while (told := team.share(nothing)) is not None:
        _fit(Network(told.form), told, device, None, None, team)


def _in_more_parts(
    told: Assignment, device: torch.device, team: Team, error: torch.OutOfMemoryError
) -> Assignment:
    accumulate, images = told.options.accumulate * 2, told.plan.batch_size
    # Of several processes the others are in the middle of a step: they cannot begin again.
    if team.size > 1 or images < 2 * accumulate:
        raise TrainingError(
            f"The memory of {device} is too small for images of {told.options.image_size} pixels: "
            "raise accumulate, lower batch_size or image_size, or take a smaller backbone."
        ) from error
    log.warning(
        "The memory of %s is too small: the %d images of a step are computed in %d parts.",
        device,
        images,
        accumulate,
    )
    return replace(told, options=replace(told.options, accumulate=accumulate))


def _fit(
    network: Network,
    told: Assignment,
    device: torch.device,
    validate: Callable[[Network], float] | None,
    progress: Callable[[EpochReport], None] | None,
    team: Team,
) -> Fitted:
    options, plan, cases = told.options, told.plan, told.cases
    accumulate = max(1, min(options.accumulate, plan.batch_size // (2 * team.size)))
    part = plan.batch_size // accumulate // team.size
    learner = Learner(network, told.heads, options, plan.steps)
    checkpoint = told.folder / CHECKPOINT
    course = Course(learner, plan.epochs, options, checkpoint, validate, progress, team)
    with quiet():
        trainer = make_trainer(plan, accumulate, options, device, told.folder, course, team)
        used = plan.steps_per_epoch * part * accumulate * team.size
        order = EpochOrder(len(cases), used, options.seed, team.rank, team.size)
        loader: DataLoader[Batch] = DataLoader(
            cases,
            batch_size=part,
            sampler=order,
            collate_fn=_as_is,
            drop_last=True,
            pin_memory=device.type == "cuda",
        )
        with _stoppable():
            trainer.fit(
                learner, loader, ckpt_path=checkpoint if told.resumes else None, weights_only=True
            )
    return Fitted(course.best(), tuple(course.history))


class Course(Checkpoint):
    """What happens at the end of each epoch; being a `Checkpoint`, Lightning calls it last.

    Args:
        learner: What is trained.
        epochs: How many there will be.
        options: Limits of time and distance of checkpoints.
        file: The checkpoint.
        validate: See `fit`; only the first process of a team has it.
        progress: See `fit`.
        team: See `fit`.
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
        trainer.save_checkpoint(draft)  # by all processes; the first one writes
        if self._team.leads:
            draft.replace(self._file)


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


@contextmanager
def _stoppable() -> Iterator[None]:
    """Lets Ctrl-C through, which Lightning turns into an exit and then ignores for ever."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if not isinstance(error.__context__, KeyboardInterrupt):  # SIGTERM
            raise
        raise KeyboardInterrupt from error
    finally:
        if main:
            signal.signal(signal.SIGINT, before)


def make_trainer(
    plan: Plan,
    accumulate: int,
    options: TrainOptions,
    device: torch.device,
    folder: Path,
    course: Course,
    team: Team = ALONE,
) -> pl.Trainer:
    """Returns Lightning's trainer for a plan."""
    gpu, alone = device.type == "cuda", team.size == 1
    return pl.Trainer(
        accelerator="gpu" if gpu else "cpu",
        devices=([device.index or 0] if gpu else 1) if alone else team.local_size,
        num_nodes=team.size // team.local_size,
        strategy="auto" if alone else DDPStrategy(),
        precision="bf16-mixed" if uses_bf16(options.precision, device) else "32-true",
        max_epochs=plan.epochs,
        gradient_clip_val=options.clip_norm or None,
        accumulate_grad_batches=accumulate,
        callbacks=[course],
        default_root_dir=folder,
        plugins=[LightningEnvironment() if alone else Placed(team)],
        # A CPU adds up in the same order anyway; some GPU kernels have to be asked.
        deterministic="warn" if gpu and options.deterministic else None,
        benchmark=gpu and not options.deterministic,
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
