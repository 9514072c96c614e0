"""`carpal evaluate`: how good a model is on cases that it never saw."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from carpal.cli_output import AsJson, print_json, settings_of_workspace, watching


class JudgedSplit(StrEnum):
    """The splits that no model learns from."""

    TEST = "test"
    CALIBRATION = "calibration"


def evaluate(
    model: Annotated[
        str, typer.Argument(help="champion, challenger, v0003-1a2b3c4d, or a model folder.")
    ] = "champion",
    version: Annotated[
        str, typer.Option(help="Dataset version whose labels are the truth: v0007, or latest.")
    ] = "latest",
    split: Annotated[JudgedSplit, typer.Option(help="Which cases.")] = JudgedSplit.TEST,
    against: Annotated[
        str, typer.Option(metavar="MODEL", help="Compare with this model, case by case.")
    ] = "",
    withhold: Annotated[
        bool, typer.Option("--withhold", help="Do not tell the model what is known (the sex).")
    ] = False,
    stress: Annotated[
        bool, typer.Option("--stress", help="Altered films, too: turned, dark, inverted, ...")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="For the report; by default in the workspace."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge a model by the labels of a dataset version, and write a report with pictures."""
    from carpal import evaluation_page
    from data.domain import Split
    from trainer.evaluation.report import figures_of
    from workers.evaluating import Question, judge_model

    question = Question(model, version, Split(split), against, withhold, stress, out)
    with watching("Predicting") as progress:
        found = judge_model(settings_of_workspace(), question, progress)
    if as_json:
        figures = figures_of(found.evaluation, found.subject)
        print_json({**figures, "report": str(found.report)})
    else:
        evaluation_page.show(found)
