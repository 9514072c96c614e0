"""`carpal predict`: what a model says of films that lie anywhere."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carpal.cli_output import AsJson, print_json, settings_of_workspace, watching
from data.errors import InvalidInputError
from workers.settings import Settings

if TYPE_CHECKING:
    from trainer.answers.prediction_table import Row
    from trainer.predictor import Predictor
    from workers.prediction_inputs import Wanted

CARD = "model.json"


class Sex(StrEnum):
    """What a model may be told of a patient."""

    FEMALE = "female"
    MALE = "male"


def predict(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Images, DICOM files and folders of them.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            metavar="FILE",
            help="Table with the columns path and, if wanted, sex and id, instead of PATHS.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="CSV file; repeated, the command goes on where it was stopped.",
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="champion, challenger, v0003-1a2b3c4d, or a model folder.")
    ] = "champion",
    sex: Annotated[
        Sex | None, typer.Option(help="Of all patients that the table does not tell it of.")
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive/--no-recursive", help="Folders at any depth.")
    ] = True,
    heat_maps: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Draw where the model looked, one PNG per film."),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda or cuda:N; empty: the workspace's.")
    ] = "",
    batch: Annotated[int, typer.Option(min=1, help="Films held in memory at a time.")] = 64,
    as_json: AsJson = False,
) -> None:
    """Predict films without importing them, as CSV; status 1 if one could not be predicted."""
    if bool(paths) == (table is not None):
        raise typer.BadParameter("give paths, or a table with --csv")
    from workers.assembly import image_limits
    from workers.predicting import predict_wanted
    from workers.prediction_model import open_model, table_of

    is_folder = (Path(model) / CARD).is_file()
    settings = Settings.load() if is_folder else settings_of_workspace()
    predictor = open_model(settings, model, device)
    wanted = _wanted(predictor, paths or [], table, sex, recursive)
    columns, limits = table_of(predictor.card), image_limits(settings)
    emit = None if out or as_json else _csv_to_stdout(columns.columns)
    with watching("Predicting") as progress:
        found = predict_wanted(
            predictor,
            wanted,
            out=out,
            emit=emit,
            progress=progress,
            batch=batch,
            limits=limits,
        )
    if heat_maps is not None:
        from workers.heat_maps import write_heat_maps

        with watching("Drawing") as progress:
            write_heat_maps(predictor, wanted, found.rows, heat_maps, progress, limits)
    if as_json:
        print_json([columns.typed(row) for row in found.rows])
    elif out is not None:
        kept = f", {found.kept} of them as before" if found.kept else ""
        typer.echo(f"{len(found.rows)} films{kept}, {found.errors} not predicted: {out}", err=True)
    if found.errors:
        raise typer.Exit(1)


def _wanted(
    predictor: Predictor, paths: list[Path], table: Path | None, sex: Sex | None, recursive: bool
) -> list[Wanted]:
    from workers.prediction_inputs import wanted_paths, wanted_rows
    from workers.prediction_model import check_input

    known = {} if sex is None else {"sex": sex.value}
    try:
        check_input(predictor.card, known)
    except InvalidInputError as error:
        raise typer.BadParameter(str(error)) from error
    if table is not None:
        return wanted_rows(table, predictor.card.input_target, known)
    return wanted_paths(paths, known, recursive)


def _csv_to_stdout(columns: Sequence[str]) -> Callable[[Sequence[Row]], None]:
    """Writes the header; returns what writes rows as they come."""
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()

    def emit(rows: Sequence[Row]) -> None:
        writer.writerows(rows)
        sys.stdout.flush()

    return emit
