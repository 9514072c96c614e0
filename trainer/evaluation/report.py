"""The report of an evaluation: a folder with a page, its pictures, every case and every figure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from data.atomic import storage_error
from data.domain import Prediction, TaskSpec
from trainer.evaluation.case_table import Case, as_csv, cases_of, worst
from trainer.evaluation.evaluation import Comparison, Evaluation
from trainer.evaluation.judging import Truths
from trainer.evaluation.report_page import page
from trainer.evaluation.stress import StressReport
from trainer.inputs.targets import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from trainer.evaluation.worst_cases import FindFilm

PAGE = "report.md"
CASES = "cases.csv"
FIGURES = "evaluation.json"


@dataclass(frozen=True, slots=True)
class Subject:
    """What was judged, and on what.

    Attributes:
        spec: The task.
        model_version: The model.
        dataset_version: Version that the cases and their truth are of.
        split: Name of the split that was judged.
        predictions: What the model said, by radiograph id.
        truths: The cases.
        known_input: The choice target that the model was told of each case; empty: of none.
        history: Per epoch of the training, see `choice_plots.training_curves`.
        facts: Whatever else says where the model comes from, such as commits: name -> text.
        against: The model of the comparison; empty: there is none.
        comparison: The judged model against that one, over the same cases.
        stress: How the answers change where the films are altered; None: it was not tried.
    """

    spec: TaskSpec
    model_version: str
    dataset_version: str
    split: str
    predictions: Mapping[str, Prediction] = field(repr=False)
    truths: Truths = field(repr=False)
    known_input: str = ""
    history: Sequence[Mapping[str, float]] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    against: str = ""
    comparison: Comparison | None = None
    stress: StressReport | None = None


def write_report(
    folder: Path, evaluation: Evaluation, subject: Subject, film: FindFilm | None = None
) -> Path:
    """Writes `report.md` with pictures, `cases.csv` and `evaluation.json`.

    Args:
        folder: Made if it is not there; files of these names are replaced.
        evaluation: Of the subject.
        subject: What was judged.
        film: Where the films for the largest errors are; None: that picture is left out.

    Returns:
        The page.

    Raises:
        StorageError: The folder cannot be written.
    """
    cases = cases_of(subject.spec, subject.predictions, subject.truths, subject.split)
    pictures = pictures_of(evaluation, subject, cases, film)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, picture in pictures.items():
            picture.savefig(folder / name)
        text = json.dumps(figures_of(evaluation, subject), indent=1, allow_nan=False)
        (folder / FIGURES).write_text(text + "\n", encoding="utf-8")
        (folder / CASES).write_text(as_csv(subject.spec, cases), encoding="utf-8")
        (folder / PAGE).write_text(page(evaluation, subject, list(pictures)), encoding="utf-8")
    except OSError as error:
        raise storage_error(error, folder) from error
    return folder / PAGE


def figures_of(evaluation: Evaluation, subject: Subject) -> dict[str, object]:
    """Returns every figure for a program to read: plain JSON."""
    about = {
        "model": subject.model_version,
        "dataset_version": subject.dataset_version,
        "split": subject.split,
        "known_input": subject.known_input,
        "facts": dict(subject.facts),
    }
    comparison = subject.comparison
    against = {"model": subject.against, **comparison.to_json()} if comparison else None
    stress = subject.stress.to_json() if subject.stress else None
    return {**about, **evaluation.to_json(), "against": against, "stress": stress}


def pictures_of(
    evaluation: Evaluation, subject: Subject, cases: Sequence[Case], film: FindFilm | None
) -> dict[str, Figure]:
    """Returns file name -> picture, of whatever there are cases enough to draw."""
    from trainer.evaluation import band_plots, choice_plots, plots
    from trainer.evaluation.worst_cases import worst_cases

    spec = subject.spec
    found: dict[str, Figure] = {}
    score = evaluation.numbers.get(evaluation.primary)
    if score is not None and len(cases) > 1:
        found["agreement.png"] = plots.agreement(spec, cases, score)
        found["bland-altman.png"] = plots.bland_altman(spec, cases)
        found["error.png"] = band_plots.error_by_band(spec, cases, score)
        found["coverage.png"] = band_plots.coverage_by_band(spec, score)
    for name, choice in evaluation.choices.items():
        target = spec.target(name)
        judged = [
            (str(truth), subject.predictions[key].probabilities.get(name, {}))
            for key, row in subject.truths.items()
            if key in subject.predictions and (truth := counted(target, row)) is not None
        ]
        if any(chances for _, chances in judged):
            truths, chances = zip(*judged, strict=True)
            found[f"calibration-{name}.png"] = choice_plots.calibration(
                name, truths, chances, choice
            )
    if any(len(row) > 1 for row in subject.history):
        found["training.png"] = choice_plots.training_curves(
            subject.history, spec.target(spec.gate.target).unit
        )
    if film is not None and worst(cases, 1):
        found["worst.png"] = worst_cases(spec, cases, film)
    return found
