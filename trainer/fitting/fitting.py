"""Runs the optimisation under Lightning: resumable, quiet, bounded in time, the best epoch kept.

Where several processes train together, the first one calls `fit` and the others `serve`: they are
told what to train and compute their share of every step.
"""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from data.errors import TrainingError
from trainer import torchvision_guard  # noqa: F401  (must come before lightning)
from trainer.fitting.cases import Batch, Cases, EpochOrder
from trainer.fitting.course import Course, EpochReport
from trainer.fitting.learner import Learner
from trainer.fitting.planning import Plan, planned
from trainer.fitting.team import ALONE, Placed, Team
from trainer.network.heads import Head
from trainer.network.network import Network, NetworkForm
from trainer.network.precision import uses_bf16
from trainer.options import TrainOptions

import lightning.pytorch as pl  # isort: skip
from lightning.pytorch.strategies import DDPStrategy  # isort: skip
from lightning.fabric.plugins.environments.lightning import LightningEnvironment  # isort: skip

CHECKPOINT = "last.ckpt"

log = logging.getLogger(__name__)


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
    network.freeze(options.frozen)
    options, plan = _planned(network, heads, cases, options, device, folder, team)
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
            options = _in_more_parts(told.options, plan.batch_size, device, team, error)
            told = replace(told, options=options)
        torch.cuda.empty_cache()
        network.load_state_dict(first)


def serve(device: torch.device, team: Team) -> None:
    """Computes a process's share of all that the first one trains, until that has ended."""
    nothing: Assignment | None = None
    while (told := team.share(nothing)) is not None:
        network = Network(told.form)
        network.freeze(told.options.frozen)
        _fit(network, told, device, None, None, team)


def _planned(
    network: Network,
    heads: Sequence[Head],
    cases: Cases,
    options: TrainOptions,
    device: torch.device,
    folder: Path,
    team: Team,
) -> tuple[TrainOptions, Plan]:
    """Returns the plan, and the options with as many parts as the steps took that it measured."""
    while True:
        try:
            return options, planned(network, heads, cases, options, device, folder, team.size)
        except torch.OutOfMemoryError as error:
            images = min(options.batch_size, len(cases))
            options = _in_more_parts(options, images, device, team, error)
        torch.cuda.empty_cache()


def _in_more_parts(
    options: TrainOptions,
    images: int,
    device: torch.device,
    team: Team,
    error: torch.OutOfMemoryError,
) -> TrainOptions:
    """Returns the options with twice as many parts of a step of so many images."""
    accumulate = options.accumulate * 2
    # Of several processes the others are in the middle of a step: they cannot begin again.
    if team.size > 1 or images < 2 * accumulate:
        raise TrainingError(
            f"The memory of {device} is too small for images of {options.image_size} pixels: "
            "raise accumulate, lower batch_size or image_size, or take a smaller backbone."
        ) from error
    log.warning(
        "The memory of %s is too small: the %d images of a step are computed in %d parts.",
        device,
        images,
        accumulate,
    )
    return replace(options, accumulate=accumulate)


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
