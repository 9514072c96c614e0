"""Trains a model aside from the loop: on one dataset version, with options of one's own.

The model is judged, recorded and registered like any other, but it waits for nobody's place: the
loop goes on with its champion and challenger as if nothing had happened.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.atomic import write_file
from data.domain import Example, Split, TaskSpec
from data.errors import CarpalError, InvalidInputError, TrainingError, VersionError
from data.versions.names import LATEST, resolve_version
from workers.assembly import (
    dataset,
    image_limits,
    mask_store,
    open_ledger,
    registry,
    task,
    train_options,
)
from workers.model_copy import copy_model, require_room
from workers.model_folders import CARD
from workers.settings import Settings
from workers.starting import start_of

if TYPE_CHECKING:
    from data.versions.repository import DatasetRepository
    from trainer.fitting.course import EpochReport
    from trainer.options import TrainOptions
    from trainer.train import TrainedModel
    from workers.evaluating import Judgement

EXPERIMENTS = "experiments"
"""Folder of the workspace that holds the models of experiments."""

MODEL = "model"
TRAINED = "trained.json"
LOG = "log"
LEVELS = ("debug", "info", "warning", "error")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What shall be tried.

    Attributes:
        version: Dataset version; see `names.resolve_version`.
        config: Options: a YAML file or the name of one of the trainer's profiles; empty: those
            that the loop trains with.
        changes: Option -> value that differs from `config`, as text.
        name: Of the experiment; empty: that of `config`.
        out: Folder that shall hold a copy of the model; None: none.
        override: Why a dirty or unpushed dataset repository is no obstacle; empty: it is one.
        level: The lowest level that the log file keeps, one of `LEVELS`.
    """

    version: str = LATEST
    config: str = ""
    changes: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    out: Path | None = None
    override: str = ""
    level: str = "info"

    @property
    def title(self) -> str:
        """Name of the experiment."""
        return self.name or Path(self.config).stem or "defaults"


@dataclass(frozen=True, slots=True)
class Tried:
    """What an experiment brought.

    Attributes:
        name: Of the experiment.
        folder: The model folder in the workspace.
        model_version: Of the model.
        training: What `TrainedModel.to_json` says.
        judgement: What the model is worth on the test split; None: that is empty.
        run_id: MLflow's run.
    """

    name: str
    folder: Path
    model_version: str
    training: Mapping[str, Any]
    judgement: Judgement | None
    run_id: str

    def to_json(self) -> dict[str, Any]:
        """Returns it for JSON."""
        from trainer.evaluation.report import figures_of

        told = {k: str(v) for k, v in asdict(replace(self, judgement=None)).items()}
        del told["judgement"]
        found = self.judgement
        figures = {} if found is None else figures_of(found.evaluation, found.subject)
        report = None if found is None else str(found.report)
        return {**told, "training": dict(self.training), "test": figures, "report": report}


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who is told how an experiment goes.

    Attributes:
        begin: Told that the work begins; not told in a process that only helps another.
        epoch: Told of each epoch.
        predicting: Told (done, all) as the model answers the test cases.
    """

    begin: Callable[[], None] | None = None
    epoch: Callable[[EpochReport], None] | None = None
    predicting: Callable[[int, int], None] | None = None


def try_out(settings: Settings, plan: Plan, watcher: Watcher | None = None) -> Tried | None:
    """Trains, judges and records; a call that was stopped goes on when it is repeated.

    Args:
        settings: Where everything is.
        plan: What shall be tried.
        watcher: Who is told how it goes.

    Returns:
        What it brought; None in a process that has only helped the first one to train.

    Raises:
        InvalidInputError: There is no such option or level, a value is out of range, or `plan.out`
            holds something else than a model.
        NotFoundError: There is no such dataset version.
        VersionError: The dataset repository is dirty or not pushed.
        TrainingError: See `trainer.train`; or the same experiment is at work already.
    """
    from trainer.train import assist

    options, watcher = options_of(settings, plan), watcher or Watcher()
    if plan.level not in LEVELS:
        raise InvalidInputError(f"The log level must be one of {', '.join(LEVELS)}.")
    if plan.out is not None:
        require_room(plan.out)
    if assist(options):
        return None
    if watcher.begin is not None:
        watcher.begin()
    spec = task(settings)
    repository = dataset(settings, spec)
    version = resolve_version(plan.version, repository.versions())
    excused = _excused(repository, version, plan.override)
    folder = folder_of(settings, version, options)
    with _alone(folder), _logged(folder / LOG / "train.log", plan.level):
        _warn_without_gpu(options)
        examples = examples_of(settings, repository, version)
        training = _trained(settings, spec, examples, options, folder, version, watcher.epoch)
        if plan.out is not None:
            copy_model(folder / MODEL, plan.out)
        judgement = _judged(settings, folder, version, examples, watcher.predicting)
        tags = {"experiment": plan.title, "version": version, "override": excused}
        run_id = _recorded(settings, folder, judgement, {k: v for k, v in tags.items() if v})
    return Tried(
        plan.title, folder / MODEL, str(training["model_version"]), training, judgement, run_id
    )


def options_of(settings: Settings, plan: Plan) -> TrainOptions:
    """Returns the options that an experiment trains with.

    Raises:
        InvalidInputError: There is no such file or option, or a value is out of range.
    """
    from trainer.options import TrainOptions

    if not plan.config:
        return train_options(settings).with_settings(plan.changes)
    options = TrainOptions.from_yaml(plan.config)
    if settings.device != "auto":
        options = replace(options, device=settings.device)
    return options.with_settings(plan.changes)


def folder_of(settings: Settings, version: str, options: TrainOptions) -> Path:
    """Returns the folder of an experiment: the same one for the same options and version."""
    text = json.dumps(options.to_json(), sort_keys=True)
    key = hashlib.sha256(f"{settings.task} {text}".encode()).hexdigest()[:12]
    return settings.home / EXPERIMENTS / f"{version}-{key}"


def examples_of(settings: Settings, repository: DatasetRepository, version: str) -> list[Example]:
    """Returns the examples of a version, with their hand masks."""
    masks = mask_store(settings)
    return [replace(e, mask=masks.find(e.radiograph_id)) for e in repository.examples(version)]


def _excused(repository: DatasetRepository, version: str, override: str) -> str:
    """Returns why a repository that is not in order was trained from; empty: it is in order."""
    reason = repository.dirty()
    if not reason and repository.unpushed(version):
        reason = repository.push()
    if reason and not override:
        raise VersionError(
            f"{reason} No training starts from such a repository, unless you take the "
            "responsibility with 'carpal train --override REASON'."
        )
    return override if reason else ""


def _trained(
    settings: Settings,
    spec: TaskSpec,
    examples: list[Example],
    options: TrainOptions,
    folder: Path,
    version: str,
    progress: Callable[[EpochReport], None] | None,
) -> dict[str, Any]:
    """Trains, unless that was done before, and returns what was said of it."""
    from trainer.train import train

    said, out = folder / TRAINED, folder / MODEL
    if said.exists() and (out / CARD).exists():
        log.info("%s has been trained before.", folder.name)
        known: dict[str, Any] = json.loads(said.read_text())
        return known
    with open_ledger(settings) as ledger:
        start = start_of(settings, ledger, options)
    commit = dataset(settings, spec).describe(version).commit
    trained: TrainedModel = train(
        spec,
        examples,
        options,
        out,
        dataset_version=version,
        provenance={"dataset_commit": commit, "run": folder.name},
        start=start,
        progress=_noting(progress),
        cache=settings.cache / "pixels",
        limits=image_limits(settings),
    )
    log.info("%s was trained in %.0f s.", trained.model_version, trained.seconds)
    write_file(said, json.dumps(trained.to_json()).encode())
    return trained.to_json()


def _noting(
    progress: Callable[[EpochReport], None] | None,
) -> Callable[[EpochReport], None]:
    """Returns what keeps each epoch in the log and passes it on."""

    def note(report: EpochReport) -> None:
        error = report.validation_error
        judged = "" if error is None else f", validation error {error:.3f}"
        log.info("Epoch %d of %d: loss %.4f%s", report.epoch, report.epochs, report.loss, judged)
        if progress is not None:
            progress(report)

    return note


def _judged(
    settings: Settings,
    folder: Path,
    version: str,
    examples: list[Example],
    progress: Callable[[int, int], None] | None,
) -> Judgement | None:
    from workers.evaluating import Question, judge_model

    if not any(e.split is Split.TEST for e in examples):
        log.warning("%s has no test case: nothing says how good the model is.", version)
        return None
    question = Question(str(folder / MODEL), version, Split.TEST, out=folder / "report")
    return judge_model(settings, question, progress)


def _recorded(
    settings: Settings, folder: Path, judgement: Judgement | None, tags: Mapping[str, str]
) -> str:
    """Keeps the experiment as a run of MLflow, once, and returns the run's id.

    Its model is registered, so that it can be promoted by hand, and waits for nobody's place.
    """
    ref = registry(settings).record(
        folder / MODEL,
        {} if judgement is None else judgement.evaluation.to_json(),
        tags,
        None if judgement is None else judgement.report.parent,
        folder / LOG,
        challenger=False,
    )
    return ref.run_id


def _warn_without_gpu(options: TrainOptions) -> None:
    from trainer.answers.inference import choose_device

    if options.device == "auto" and choose_device("auto").type == "cpu":
        log.warning("No GPU was found: the model is trained on CPU cores, which takes long.")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Makes sure that no other process works on the same experiment."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainingError(f"The same experiment is at work already in {folder}.") from error
        yield


@contextmanager
def _logged(file: Path, level: str) -> Iterator[None]:
    """Keeps what is logged meanwhile in a file; a repeated call appends to it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.setLevel(level.upper())
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(min(before, handler.level))
    try:
        yield
    except CarpalError as error:
        handler.handle(log.makeRecord(log.name, logging.ERROR, "", 0, str(error), (), None))
        raise
    finally:
        root.setLevel(before)
        root.removeHandler(handler)
        handler.close()
