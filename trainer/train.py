"""Trains one model: labelled radiographs in, a model folder out."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.domain import Example, TaskSpec
from data.errors import ModelError, TrainingError
from trainer.calibration import Calibration, calibrate
from trainer.cpu_threads import use_cpu_threads
from trainer.fitting import CHECKPOINT, EpochReport, fit
from trainer.inference import choose_device, run
from trainer.learner import Cases
from trainer.model_files import ModelCard, library_versions, load_model, save_model
from trainer.network import Network
from trainer.options import TrainOptions
from trainer.pixels import preparation_id, preparation_of
from trainer.readout import limits
from trainer.targets import counted, encode, fit_norms
from trainer.training_data import TrainingData, gather

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What a training made.

    Attributes:
        folder: The model folder.
        model_version: `<dataset_version>-<8 hexadecimal digits of its content hash>`.
        history: One report per epoch.
        seconds: The whole training, preparation and calibration included.
        counts: Cases that were trained on (`train`), that chose the epoch (`validation`) and that
            the intervals were fitted on (`calibration`).
        started_from: Model version of the first weights; empty: random ones.
        skipped: Radiograph id -> why its image could not be learnt from.
    """

    folder: Path
    model_version: str
    history: tuple[EpochReport, ...]
    seconds: float
    counts: Mapping[str, int]
    started_from: str
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
    start_from: Path | None = None,
    progress: Callable[[EpochReport], None] | None = None,
    cache: Path | None = None,
) -> TrainedModel:
    """Trains, calibrates and saves one model; test examples are not looked at.

    A call that was killed goes on from its last checkpoint when it is repeated with the same
    arguments, and ends with the same model as if it had never stopped.

    Args:
        spec: The task.
        examples: The dataset version's examples, of all splits.
        options: How to train.
        out: The folder that shall be the model; it appears only when the model is whole.
        dataset_version: Name of the dataset version, such as `v0003`.
        provenance: Git commits and whatever else `model.json` shall keep.
        start_from: Folder of the champion, for `options.start == "champion"`.
        progress: Told of each epoch.
        cache: Keeps prepared pixels between trainings; None: they are prepared for this one.

    Raises:
        TrainingError: There are too few labels or they are all the same, the options do not fit,
            or the loss is no longer finite.
        ModelError: `start_from` holds no whole model.
        StorageError: The disk is full.
    """
    began = time.monotonic()
    check_trainable(spec)
    use_cpu_threads(options.threads)
    device = _device(options)
    work = out.with_name(f".{out.name}.work")
    data = gather(spec, examples, options, cache or work)
    card = _new_card(spec, options, data, dataset_version, provenance or {})
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        network, card = _first_weights(card, start_from)
        _keep_only_own_checkpoint(work, card, data)
        history = fit(
            network,
            spec.targets,
            _cases(spec, card, data),
            options,
            device,
            work,
            _validator(spec, card, network, data, device) if data.validation else None,
            progress,
        )
    card = _finished(spec, card, network, data, device, history)
    card = save_model(out, network, card)
    shutil.rmtree(work, ignore_errors=True)
    return TrainedModel(
        folder=out,
        model_version=card.model_version,
        history=history,
        seconds=round(time.monotonic() - began, 3),
        counts=card.counts,
        started_from=card.started_from,
        skipped=data.skipped,
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


def _device(options: TrainOptions) -> torch.device:
    try:
        return choose_device(options.device)
    except ModelError as error:
        raise TrainingError(str(error)) from error


def _new_card(
    spec: TaskSpec,
    options: TrainOptions,
    data: TrainingData,
    dataset_version: str,
    provenance: Mapping[str, str],
) -> ModelCard:
    return ModelCard(
        task=spec.name,
        targets=spec.targets,
        primary=spec.gate.target,
        options=options,
        norms=fit_norms(spec, [e.values for e in data.train]),
        calibration=Calibration(options.coverage),
        preparation=preparation_of(options),
        preparation_code=preparation_id(),
        dataset_version=dataset_version,
        provenance={**provenance, **data.provenance()},
        libraries=library_versions(),
        counts=data.counts(),
        started_from="",
        history=(),
    )


def _cases(spec: TaskSpec, card: ModelCard, data: TrainingData) -> Cases:
    return Cases(
        data.pixels,
        data.row_numbers(data.train),
        encode(spec, [e.values for e in data.train], card.norms),
        np.asarray([e.weight for e in data.train], np.float32),
    )


def _first_weights(card: ModelCard, start_from: Path | None) -> tuple[Network, ModelCard]:
    torch.manual_seed(card.options.seed)
    network = card.network()
    if card.options.start != "champion" or start_from is None:
        return network, card
    before, old = load_model(start_from)
    if old.options.backbone != card.options.backbone or (
        [(t.name, t.choices) for t in old.targets] != [(t.name, t.choices) for t in card.targets]
    ):
        log.warning("%s has another form: this model starts from scratch.", old.model_version)
        return network, card
    network.load_state_dict(before.state_dict())
    return network, replace(card, started_from=old.model_version)


def _keep_only_own_checkpoint(work: Path, card: ModelCard, data: TrainingData) -> None:
    """Deletes the checkpoint of a training that differed in anything that matters."""
    examples = [
        [e.radiograph_id, dict(e.values), e.weight] for e in [*data.train, *data.validation]
    ]
    text = json.dumps([card.to_json(), examples], sort_keys=True)
    own = hashlib.sha256(text.encode()).hexdigest()
    mark = work / "training"
    work.mkdir(parents=True, exist_ok=True)
    if not mark.exists() or mark.read_text() != own:
        (work / CHECKPOINT).unlink(missing_ok=True)
        mark.write_text(own)


def _validator(
    spec: TaskSpec, card: ModelCard, network: Network, data: TrainingData, device: torch.device
) -> Callable[[], float]:
    """Makes the function that measures the primary target on the held-out images."""
    primary = spec.target(spec.gate.target)
    cases = [e for e in data.validation if counted(primary, e.values) is not None]
    if not cases:
        raise TrainingError("No held-out image has a label: set validation_share to 0.")
    squares = data.squares(cases)
    truths = [e.values[primary.name] for e in cases]

    def error() -> float:
        raw = run(network, spec.targets, card.norms, squares, device)
        if primary.kind == "number":
            centre, _ = raw.numbers[primary.name]
            return float(np.abs(centre - np.asarray(truths, np.float64)).mean())
        answers = raw.logits[primary.name].argmax(1)
        return float(
            np.mean([primary.choices[a] != t for a, t in zip(answers, truths, strict=True)])
        )

    return error


def _finished(
    spec: TaskSpec,
    card: ModelCard,
    network: Network,
    data: TrainingData,
    device: torch.device,
    history: Sequence[EpochReport],
) -> ModelCard:
    """Calibrates the trained network and completes its card."""
    network.to(device)  # Lightning leaves it on the CPU
    raw = run(network, spec.targets, card.norms, data.squares(data.calibration), device)
    truths = [e.values for e in data.calibration]
    return replace(
        card,
        calibration=calibrate(spec.targets, raw, truths, card.options.coverage),
        history=tuple(_epoch_json(report) for report in history),
    )


def _epoch_json(report: EpochReport) -> dict[str, float]:
    """What the model keeps of an epoch: no times, so equal trainings give equal models."""
    row: dict[str, float] = {"epoch": report.epoch, "loss": report.loss}
    if report.validation_error is not None:
        row["validation_error"] = report.validation_error
    return row
