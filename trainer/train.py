"""Trains one model: labelled radiographs in, a model folder out."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.domain import Example, TaskSpec, Value
from data.errors import ModelError, TrainingError
from trainer.answering import answer, views_of_card
from trainer.bands import bands_of
from trainer.calibration import Calibration, calibrate
from trainer.cases import Cases
from trainer.cpu_threads import use_cpu_threads
from trainer.ensemble import members_of
from trainer.first_weights import Sources, first_weights
from trainer.fitting import CHECKPOINT, Assignment, EpochReport, fit, serve
from trainer.heads import limits
from trainer.inference import choose_device, run
from trainer.model_card import Member, ModelCard, library_versions
from trainer.model_files import Part, save_model
from trainer.network import Network
from trainer.novelty import FIT_CASES, fit_familiar, usual_distance
from trainer.options import TrainOptions
from trainer.pixels import Film, preparation_id, preparation_of
from trainer.planning import PLAN
from trainer.spawning import run_together
from trainer.targets import counted, encode, encode_known, fit_norms, trained_targets
from trainer.team import ALONE, Team, processes_wanted, team_launched
from trainer.training_data import TrainingData, gather

log = logging.getLogger(__name__)


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


@dataclass(frozen=True, slots=True)
class Start:
    """What a training may start from, beside its examples.

    Attributes:
        champion: Folder of the model that serves, for `start: champion`; None: there is none.
        pool: Radiographs without labels, for `start: self_supervised`; none of the test split.
    """

    champion: Path | None = None
    pool: Sequence[Film] = ()


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
    training = _Training(spec, examples, options, out, cache, start, device, progress, team)
    with team.together():
        made = _made(training, dataset_version, provenance)
        made = replace(made, seconds=round(time.monotonic() - began, 3))
        nothing_more_to_fit: Assignment | None = None
        team.share(nothing_more_to_fit)
        return team.share(made)


def _made(training: _Training, dataset_version: str, provenance: Mapping[str, str]) -> TrainedModel:
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


@dataclass(frozen=True, slots=True)
class _Trained:
    """A member that has been trained."""

    member: Member
    part: Part
    data: TrainingData
    history: tuple[EpochReport, ...]


@dataclass(slots=True)
class _Training:
    """One call of `train`."""

    spec: TaskSpec
    examples: Sequence[Example]
    options: TrainOptions
    out: Path
    cache: Path | None
    start: Start
    device: torch.device
    progress: Callable[[EpochReport], None] | None
    team: Team = ALONE

    @property
    def work(self) -> Path:
        """Folder of what is lost only when the model is whole."""
        return self.out.with_name(f".{self.out.name}.work")

    def data(self, options: TrainOptions) -> TrainingData:
        """Returns the examples, with their pixels as a member sees them."""
        return gather(self.spec, self.examples, options, self.cache or self.work)

    def new_card(self, dataset_version: str, provenance: Mapping[str, str]) -> ModelCard:
        """Returns the card of the model as far as it is known before the training."""
        targets = trained_targets(self.spec, self.options)
        every = members_of(self.options)
        data = self.data(every[0])
        norms = fit_norms(targets, [e.values for e in data.train])
        names = [target.name for target in targets]
        primary = self.spec.gate.target if self.spec.gate.target in names else names[0]
        fed = self.options.input_mode in ("input", "explicit") and self.spec.input in names
        bands = tuple(bands_of(self.spec)) if primary == self.spec.gate.target else ()
        return ModelCard(
            task=self.spec.name,
            targets=targets,
            primary=primary,
            input=self.spec.input if fed else None,
            options=self.options,
            members=tuple(Member(o, norms, preparation_of(o)) for o in every),
            bands=tuple(b for b in bands if b.by is None or b.by[0] in names),
            calibration=Calibration(self.options.coverage),
            preparation_code=preparation_id(),
            dataset_version=dataset_version,
            provenance={**provenance, **data.provenance()},
            libraries=library_versions(),
            counts=data.counts(),
        )

    def member(self, card: ModelCard, number: int) -> _Trained:
        """Trains one member."""
        member = card.members[number]
        data, work = self.data(member.options), self.work / f"member{number}"
        _keep_only_own_checkpoint(work, card, number, data)
        sources = Sources(
            self.start.champion, self.start.pool, self.cache or work, self.device, log.info
        )
        network, started_from = first_weights(card, number, data, sources)
        fitted = fit(
            network,
            card.heads(member),
            _cases(card, member, data),
            member.options,
            self.device,
            work,
            self._validator(card, member, data) if data.validation else None,
            self.progress,
            self.team,
        )
        history = tuple(_epoch_json(report) for report in fitted.history)
        member = replace(member, started_from=started_from, history=history)
        part = self._familiarised(card, member, fitted.network.to(self.device), data)
        return _Trained(member, part, data, fitted.history)

    def calibrated(self, card: ModelCard, trained: Sequence[_Trained]) -> ModelCard:
        """Completes a card by what the calibration split says of the whole model."""
        cases = trained[0].data.calibration
        answers = answer(
            [t.part for t in trained],
            card,
            [t.data.squares(cases) for t in trained],
            self.device,
            _known(card, cases),
            views_of_card(card),
        )
        truths = [e.values for e in cases]
        made = calibrate(card.targets, answers.raw, truths, self.options, answers.grouping)
        usual = tuple(usual_distance(column) for column in answers.distances.T)
        return replace(card, calibration=replace(made, usual_distance=usual))

    def _familiarised(
        self, card: ModelCard, member: Member, network: Network, data: TrainingData
    ) -> Part:
        """Fits what the model finds familiar to the films that it has learnt from."""
        step = -(-len(data.train) // FIT_CASES)
        squares = data.squares(data.train[::step])
        raw = run(network, card.heads(member), squares, self.device)
        return Part(network, fit_familiar(raw.features, squares, member.options.flip))

    def _validator(
        self, card: ModelCard, member: Member, data: TrainingData
    ) -> Callable[[Network], float]:
        """Makes the function that measures the primary target on the held-out images."""
        primary = next(target for target in card.targets if target.name == card.primary)
        cases = [e for e in data.validation if counted(primary, e.values) is not None]
        if not cases:
            raise TrainingError("No held-out image has a label: set validation_share to 0.")
        squares, heads = data.squares(cases), card.heads(member)
        fed = encode_known(card.input_target, _known(card, cases))
        truths = [e.values[primary.name] for e in cases]

        def error(network: Network) -> float:
            raw = run(network.to(self.device), heads, squares, self.device, fed)
            if primary.kind == "number":
                centre, _ = raw.numbers[primary.name]
                return float(np.abs(centre - np.asarray(truths, np.float64)).mean())
            answers = raw.logits[primary.name].argmax(1)
            return float(
                np.mean([primary.choices[a] != t for a, t in zip(answers, truths, strict=True)])
            )

        return error


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


def _cases(card: ModelCard, member: Member, data: TrainingData) -> Cases:
    values = [e.values for e in data.train]
    agreed = member.options.label_weights == "agreement"
    return Cases(
        data.pixels,
        data.row_numbers(data.train),
        encode(card.targets, values, member.norms),
        np.asarray([e.weight if agreed else 1.0 for e in data.train], np.float32),
        encode_known(card.input_target, _known(card, data.train)),
    )


def _known(card: ModelCard, cases: Sequence[Example]) -> list[dict[str, str]]:
    """Returns the known input of each case, as its label says it."""
    return [
        {name: str(value) for name, value in e.values.items() if name == card.input} for e in cases
    ]


def _keep_only_own_checkpoint(work: Path, card: ModelCard, number: int, data: TrainingData) -> None:
    """Deletes the checkpoint of a training that differed in anything that matters."""
    examples: list[tuple[str, dict[str, Value], float]] = [
        (e.radiograph_id, dict(e.values), e.weight) for e in [*data.train, *data.validation]
    ]
    text = json.dumps([card.to_json(), number, examples], sort_keys=True)
    own = hashlib.sha256(text.encode()).hexdigest()
    mark = work / "training"
    work.mkdir(parents=True, exist_ok=True)
    if not mark.exists() or mark.read_text() != own:
        for name in (CHECKPOINT, PLAN):
            (work / name).unlink(missing_ok=True)
        mark.write_text(own)


def _epoch_json(report: EpochReport) -> dict[str, float]:
    """What the model keeps of an epoch: no times, so equal trainings give equal models."""
    row: dict[str, float] = {"epoch": report.epoch, "loss": report.loss}
    if report.validation_error is not None:
        row["validation_error"] = report.validation_error
    return row
