"""Trains one model: labelled radiographs in, a model folder out."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from data.domain import Example, TaskSpec
from data.errors import ModelError, TrainingError
from data.images.decoding import DEFAULT_LIMITS, ImageLimits
from trainer.answers.inference import choose_device
from trainer.fitting.course import EpochReport
from trainer.fitting.cpu_threads import use_cpu_threads
from trainer.fitting.fitting import Assignment, serve
from trainer.fitting.spawning import run_together
from trainer.fitting.team import ALONE, Team, processes_wanted, team_launched
from trainer.model.files import save_model
from trainer.network.heads import limits
from trainer.options import TrainOptions
from trainer.training import Start, Training


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What a training made.

    Attributes:
        folder: The model folder.
        model_version: `<dataset_version>-<8 hexadecimal digits of its content hash>`.
        history: One report per epoch, of all members one after the other.
        seconds: The whole training, preparation and calibration included.
        counts: Cases that were trained on (`train`), that chose the epoch (`validation`) and that
            the intervals were fitted on (`calibration`).
        started_from: Where the first weights came from, per member; empty: random ones.
        skipped: Radiograph id -> why its image could not be learnt from.
    """

    folder: Path
    model_version: str
    history: tuple[EpochReport, ...]
    seconds: float
    counts: Mapping[str, int]
    started_from: tuple[str, ...]
    skipped: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Returns it for JSON."""
        return {**asdict(self), "folder": str(self.folder)}


def train(
    spec: TaskSpec,
    examples: Sequence[Example],
    options: TrainOptions,
    out: Path,
    *,
    dataset_version: str,
    provenance: Mapping[str, str] | None = None,
    start: Start | None = None,
    progress: Callable[[EpochReport], None] | None = None,
    cache: Path | None = None,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> TrainedModel:
    """Trains, calibrates and saves one model; test examples are not looked at.

    A call that was killed goes on from its last checkpoint when it is repeated with the same
    arguments, and ends with the same model as if it had never stopped.

    With `devices` other than 1, several processes train together: those that torchrun or srun has
    started, all of which call this and get the same answer, or those that this starts itself.

    Args:
        spec: The task.
        examples: The dataset version's examples, of all splits.
        options: How to train.
        out: The folder that shall be the model; it appears only when the model is whole.
        dataset_version: Name of the dataset version, such as `v0003`.
        provenance: Git commits and whatever else `model.json` shall keep.
        start: What the first weights may come from; None: nothing beside the options.
        progress: Told of each epoch.
        cache: Keeps prepared pixels between trainings; None: they are prepared for this one.
        limits: Largest image that is decoded.

    Raises:
        TrainingError: There are too few labels or they are all the same, the options do not fit,
            or the loss is no longer finite.
        ModelError: The champion's folder holds no whole model.
        StorageError: The disk is full.
    """
    work = partial(
        _train,
        spec,
        examples,
        options,
        out,
        dataset_version,
        provenance or {},
        start or Start(),
        cache,
        limits,
    )
    team = team_launched(options)
    if team is None and (size := processes_wanted(options)) > 1:
        return run_together(work, size, progress)
    return work(team or ALONE, progress)


def assist(options: TrainOptions) -> bool:
    """Trains as one of the processes that torchrun or srun has started, unless it is the first.

    The first process calls `train`, all others this; they need nothing but the options. Those
    that call `train` as well are as good.

    Returns:
        Whether this process was one of the others; its work is then done.

    Raises:
        TrainingError: See `train`.
    """
    team = team_launched(options)
    if team is None or team.leads:
        return False
    _assist(team, options)
    return True


def _assist(team: Team, options: TrainOptions) -> TrainedModel:
    """Returns what the first process has made."""
    use_cpu_threads(_threads(options, team))
    nothing: TrainedModel | None = None
    with team.together():
        serve(team.device(options.device), team)
        made = team.share(nothing)
    if made is None:
        raise TrainingError("The first process of this training has made no model.")
    return made


def _train(
    spec: TaskSpec,
    examples: Sequence[Example],
    options: TrainOptions,
    out: Path,
    dataset_version: str,
    provenance: Mapping[str, str],
    start: Start,
    cache: Path | None,
    limits: ImageLimits,
    team: Team,
    progress: Callable[[EpochReport], None] | None,
) -> TrainedModel:
    """Does what one process of a training has to do; see `train`."""
    if not team.leads:
        return _assist(team, options)
    began = time.monotonic()
    check_trainable(spec)
    use_cpu_threads(_threads(options, team))
    device = _device(options) if team.size == 1 else team.device(options.device)
    training = Training(spec, examples, options, out, cache, start, device, progress, team, limits)
    with team.together():
        made = _made(training, dataset_version, provenance)
        made = replace(made, seconds=round(time.monotonic() - began, 3))
        nothing_more_to_fit: Assignment | None = None
        team.share(nothing_more_to_fit)
        return team.share(made)


def _made(training: Training, dataset_version: str, provenance: Mapping[str, str]) -> TrainedModel:
    """Trains, calibrates and saves; how long that took is filled in by the caller."""
    out = training.out
    card = training.new_card(dataset_version, provenance)
    with torch.random.fork_rng([training.device] if training.device.type == "cuda" else []):
        trained = [training.member(card, number) for number in range(len(card.members))]
    card = replace(card, members=tuple(t.member for t in trained))
    card = training.calibrated(card, trained)
    card = save_model(out, [t.part for t in trained], card)
    shutil.rmtree(training.work, ignore_errors=True)
    return TrainedModel(
        folder=out,
        model_version=card.model_version,
        history=tuple(report for t in trained for report in t.history),
        seconds=0.0,
        counts=card.counts,
        started_from=tuple(member.started_from for member in card.members),
        skipped={k: v for t in trained for k, v in t.data.skipped.items()},
    )


def check_trainable(spec: TaskSpec) -> None:
    """Makes sure that every head of a task can learn something.

    Raises:
        TrainingError: A loss weight is 0, a choice has one class, a number has no range.
    """
    for target in spec.targets:
        if not target.loss_weight > 0:
            raise TrainingError(f"{target.name} has loss weight 0: its head would never train.")
        if target.kind == "choice" and len(target.choices) < 2:
            raise TrainingError(f"{target.name} has fewer than two choices: nothing to learn.")
        if target.kind == "number":
            try:
                limits(target)
            except ValueError as error:
                raise TrainingError(f"{error}, which intervals need.") from error


def _threads(options: TrainOptions, team: Team) -> int:
    """Returns the threads of one process; 0: as many as a process takes that is alone."""
    if options.threads or team.size == 1:
        return options.threads
    return max(1, len(os.sched_getaffinity(0)) // team.local_size)


def _device(options: TrainOptions) -> torch.device:
    try:
        return choose_device(options.device)
    except ModelError as error:
        raise TrainingError(str(error)) from error
