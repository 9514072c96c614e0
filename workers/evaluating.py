"""Holds a model against the labels of a dataset version, and writes the report."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data.domain import Example, Prediction, Split, TaskSpec, Value
from data.errors import ImageError, InvalidInputError
from data.images.decoding import DEFAULT_LIMITS, ImageLimits, read_grey
from data.versions.names import resolve_version
from trainer.evaluation.evaluation import Evaluation, compare, evaluate
from trainer.evaluation.report import Subject, write_report
from workers.assembly import dataset, image_limits, mask_store, task
from workers.model_folders import model_folder
from workers.settings import Settings

if TYPE_CHECKING:
    from trainer.evaluation.stress import StressReport
    from trainer.evaluation.worst_cases import FindFilm
    from trainer.model.card import ModelCard
    from trainer.predictor import Predictor

BATCH = 64
STRESS_FILMS = 100
"""Films that are altered, at most: they are held in memory as they were decoded."""

THUMBNAIL = 224
"""Pixels of the side of a film in the report, at least."""

REPORTS = "reports"
"""Folder of the workspace that holds the reports unless another is named."""

Progress = Callable[[int, int], None]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Question:
    """What shall be judged.

    Attributes:
        model: See `model_folders.model_folder`.
        version: Dataset version; see `names.resolve_version`.
        split: Part of it: the test or the calibration split.
        against: Model that it is compared with; empty: none.
        withhold: The model is not told what the task's input is, although the labels know it.
        stress: Altered films, too.
        out: Folder for the report; None: `reports/` in the workspace.
    """

    model: str = "champion"
    version: str = "latest"
    split: Split = Split.TEST
    against: str = ""
    withhold: bool = False
    stress: bool = False
    out: Path | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """The answer.

    Attributes:
        evaluation: How good the model is.
        subject: What was judged, with comparison and stress where they were asked for.
        report: The report's page.
    """

    evaluation: Evaluation
    subject: Subject
    report: Path


def judge_model(
    settings: Settings, question: Question, progress: Progress | None = None
) -> Judgement:
    """Predicts the labelled cases of a split and holds the answers against the labels.

    Args:
        settings: Where everything is.
        question: What shall be judged.
        progress: Told (done, all) as the model answers.

    Raises:
        InvalidInputError: The split is one that models learn from, or holds no labelled case.
        NotFoundError: There is no such model or version.
        ModelError: The model is of another task, or damaged.
        StorageError: The report cannot be written.
    """
    spec = task(settings)
    version, examples, learnt = _cases(settings, spec, question)
    known = {} if question.withhold else known_of(spec, examples)
    model, limits = _load(settings, spec, question.model), image_limits(settings)
    predictions = predict(model, examples, known, progress, limits)
    subject = subject_of(spec, model.card, version, predictions, examples, bool(known))
    if question.against:
        other = _load(settings, spec, question.against)
        before = predict(other, examples, known, progress, limits)
        comparison = compare(spec, predictions, before, subject.truths)
        subject = replace(subject, against=other.model_version, comparison=comparison)
    if question.stress:
        subject = replace(subject, stress=stress(spec, model, examples, known, limits))
    evaluation = evaluate(spec, predictions, subject.truths, learnt)
    folder = question.out or settings.home / REPORTS / _name(subject, question)
    film = film_finder(model.card, examples, limits)
    return Judgement(evaluation, subject, write_report(folder, evaluation, subject, film))


def known_of(spec: TaskSpec, examples: Sequence[Example]) -> dict[str, Mapping[str, str]]:
    """Returns radiograph id -> what may be told the model beforehand; empty without an input."""
    name = spec.input
    if name is None:
        return {}
    return {e.radiograph_id: {name: str(e.values[name])} for e in examples if name in e.values}


def predict(
    model: Predictor,
    examples: Sequence[Example],
    known: Mapping[str, Mapping[str, str]],
    progress: Progress | None = None,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> dict[str, Prediction]:
    """Returns radiograph id -> prediction; what cannot be predicted is left out and logged."""
    files = [(e.radiograph_id, e.path) for e in examples]
    answers, errors = model.predict_files(files, BATCH, progress, limits, known or None)
    for name, error in errors.items():
        log.warning("Radiograph %s is left out: %s", name[:12], error)
    return {answer.radiograph_id: answer for answer in answers}


def stress(
    spec: TaskSpec,
    model: Predictor,
    examples: Sequence[Example],
    known: Mapping[str, Mapping[str, str]],
    limits: ImageLimits = DEFAULT_LIMITS,
) -> StressReport:
    """Alters up to `STRESS_FILMS` films, the same ones every time, and asks the model again."""
    from trainer.evaluation.stress import stress_report

    films, cases = [], []
    for example in sorted(examples, key=lambda e: e.radiograph_id)[:STRESS_FILMS]:
        try:
            films.append(read_grey(example.path, limits))
            cases.append(example)
        except ImageError as error:
            log.warning("Radiograph %s is left out: %s", example.radiograph_id[:12], error)
    ids = [case.radiograph_id for case in cases]
    return stress_report(
        spec,
        model,
        films,
        ids,
        {case.radiograph_id: case.values for case in cases},
        [known.get(key, {}) for key in ids] if known else None,
        uses_masks=model.card.needs_mask,
    )


def subject_of(
    spec: TaskSpec,
    card: ModelCard,
    version: str,
    predictions: Mapping[str, Prediction],
    examples: Sequence[Example],
    input_known: bool,
) -> Subject:
    """Returns what a report is about, less comparison and stress.

    Args:
        spec: The task.
        card: Of the model.
        version: Dataset version of the examples.
        predictions: What the model said.
        examples: The cases, all of one split.
        input_known: The model was told its input, if it has one.
    """
    counts = ", ".join(f"{count} {use}" for use, count in card.counts.items())
    backbones = [f"{m.options.backbone} at {m.preparation.size} px" for m in card.members]
    return Subject(
        spec=spec,
        model_version=card.model_version,
        dataset_version=version,
        split=str(examples[0].split) if examples else "",
        predictions=predictions,
        truths={e.radiograph_id: e.values for e in examples},
        known_input=card.input or "" if input_known else "",
        history=[
            {**row, **({"member": float(i)} if len(card.members) > 1 else {})}
            for i, member in enumerate(card.members, start=1)
            for row in member.history
        ],
        facts={
            "learnt from": f"{card.dataset_version}: {counts}",
            "network": ", ".join(backbones),
            "content hash": card.content_hash,
            **{name.replace("_", " "): text for name, text in card.provenance.items()},
            **{f"{name} at training": found for name, found in card.libraries.items()},
        },
    )


def film_finder(
    card: ModelCard, examples: Sequence[Example], limits: ImageLimits = DEFAULT_LIMITS
) -> FindFilm:
    """Returns what finds a case's film as the model saw it, but never smaller than `THUMBNAIL`."""
    from trainer.inputs.pixels import Film, prepare_image

    by_id = {e.radiograph_id: e for e in examples}
    seen = card.members[0].preparation
    shown = replace(seen, size=max(seen.size, THUMBNAIL))

    def film(key: str) -> NDArray[np.uint8] | None:
        example = by_id[key]
        found = prepare_image(Film(key, example.path, example.mask), [shown], limits)
        return None if isinstance(found, ImageError) else found[shown]

    return film


def _cases(
    settings: Settings, spec: TaskSpec, question: Question
) -> tuple[str, list[Example], list[Mapping[str, Value]]]:
    """Returns the version's name, the cases to judge, and the labels that models learn from."""
    if question.split is Split.TRAIN:
        raise InvalidInputError("Models learn from the training split: it cannot judge them.")
    repository, masks = dataset(settings, spec), mask_store(settings)
    version = resolve_version(question.version, repository.versions())
    every = [replace(e, mask=masks.find(e.radiograph_id)) for e in repository.examples(version)]
    examples = [e for e in every if e.split is question.split]
    if not examples:
        raise InvalidInputError(f"{version} has no labelled case in the {question.split} split.")
    return version, examples, [e.values for e in every if e.split is Split.TRAIN]


def _load(settings: Settings, spec: TaskSpec, name: str) -> Predictor:
    from trainer.predictor import Predictor

    folder = model_folder(settings, name)
    return Predictor.load(folder, settings.device, spec, mask_store(settings).find)


def _name(subject: Subject, question: Question) -> str:
    parts = [subject.model_version, subject.dataset_version, subject.split]
    return "-".join([*parts, *(["withheld"] if question.withhold else [])])
