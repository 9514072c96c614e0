"""`carpal import`: take radiographs into the pool."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carpal.cli_output import AsJson, print_json, settings_with_secrets
from carpal.import_options import AgesIn, ColumnOf, Force, Refused, ValueOf, columns_of

if TYPE_CHECKING:
    from carpal.filling import Source
    from workers.settings import Settings

app = typer.Typer(
    help="Take radiographs into the pool. Every import can be repeated, and goes on where it was "
    "stopped; what cannot be imported is listed in a CSV file with the reason.",
    no_args_is_help=True,
)

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it: 128 + SIGINT."""


@app.command("rsna")
def import_rsna(
    source: Annotated[
        Path, typer.Argument(help="Folder with the challenge's tables and images, at any depth.")
    ],
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many, at random.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides which ones --limit draws.")] = 0,
    force: Force = False,
    refused: Refused = None,
    as_json: AsJson = False,
) -> None:
    """Import the RSNA Pediatric Bone Age data: training, validation and test."""
    from carpal.filling import rsna

    run_import(
        rsna(source, limit, seed),
        settings_with_secrets(),
        as_json=as_json,
        force=force,
        refused_file=refused,
    )


@app.command("dha")
def import_dha(
    source: Annotated[
        Path, typer.Argument(help="Folder with the atlas's folders (ASIF00 ... HISM18).")
    ],
    table: Annotated[
        Path | None,
        typer.Option(
            help="CSV with the radiologists' readings; else one in the folder.", show_default=False
        ),
    ] = None,
    file_column: Annotated[
        str, typer.Option(metavar="COLUMN", help="Column with the image's number or path.")
    ] = "",
    reading_column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN", help="Column of a reading; give it for both.", show_default=False
        ),
    ] = None,
    unit: Annotated[
        AgesIn | None,
        typer.Option(help="Of the readings; the atlas has years.", show_default=False),
    ] = None,
    force: Force = False,
    refused: Refused = None,
    as_json: AsJson = False,
) -> None:
    """Import the Digital Hand Atlas; the bone age is the mean of its two radiologists."""
    from carpal.filling import dha
    from data.sources.dha import AtlasTable

    how = AtlasTable(table, file_column, reading_column or (), unit)
    run_import(
        dha(source, how),
        settings_with_secrets(),
        as_json=as_json,
        force=force,
        refused_file=refused,
    )


@app.command("chest")
def import_chest(
    source: Annotated[Path, typer.Argument(help="Folder with NORMAL and PNEUMONIA, at any depth.")],
    force: Force = False,
    refused: Refused = None,
    as_json: AsJson = False,
) -> None:
    """Import the chest radiographs of Kermany et al.: normal, bacterial, viral."""
    from carpal.filling import chest

    run_import(
        chest(source),
        settings_with_secrets(),
        as_json=as_json,
        force=force,
        refused_file=refused,
    )


@app.command("folder")
def import_folder(
    source: Annotated[Path, typer.Argument(help="Folder with images at any depth.")],
    table: Annotated[
        Path | None,
        typer.Option(
            help="CSV with file, patient and the task's targets; else labels.csv in the folder.",
            show_default=False,
        ),
    ] = None,
    file_column: Annotated[
        str, typer.Option(metavar="COLUMN", help="Column with the image's path or name.")
    ] = "",
    patient_column: Annotated[
        str, typer.Option(metavar="COLUMN", help="Column with the patient.")
    ] = "",
    column: ColumnOf = None,
    value: ValueOf = None,
    unit: Annotated[AgesIn, typer.Option(help="Of the ages in the table.")] = "months",
    force: Force = False,
    refused: Refused = None,
    as_json: AsJson = False,
) -> None:
    """Import every image below a folder, with what a table says of them."""
    from carpal.filling import folder
    from data.sources.folder import FolderTable
    from workers.assembly import task

    settings = settings_with_secrets()
    how = FolderTable(table, file_column, patient_column, columns_of(column, value, unit))
    run_import(
        folder(source, how, task(settings).targets),
        settings,
        as_json=as_json,
        force=force,
        refused_file=refused,
    )


@app.command("table")
def import_table(
    source: Annotated[
        Path, typer.Argument(help="CSV with image_ID, dir, patient_ID, sex, bone_age (months).")
    ],
    images: Annotated[
        Path | None,
        typer.Option(help="Folder that holds the dirs; else the table's.", show_default=False),
    ] = None,
    splits: Annotated[
        Path | None,
        typer.Option(
            help="CSV with patient_ID, dir and train, val or test, for patients who are new.",
            show_default=False,
        ),
    ] = None,
    split_column: Annotated[
        str, typer.Option(metavar="COLUMN", help="Column with the split, if there are several.")
    ] = "",
    separate_dirs: Annotated[
        bool,
        typer.Option("--separate-dirs", help="A patient_ID in two dirs is not the same person."),
    ] = False,
    column: ColumnOf = None,
    value: ValueOf = None,
    unit: Annotated[AgesIn, typer.Option(help="Of the ages in the table.")] = "months",
    force: Force = False,
    refused: Refused = None,
    as_json: AsJson = False,
) -> None:
    """Import an annotation table of bone-age research code, with its splits."""
    from carpal.filling import annotation_table
    from data.sources.annotation_table import AnnotationFiles
    from workers.assembly import task

    settings = settings_with_secrets()
    how = AnnotationFiles(
        images or source.parent,
        splits,
        split_column,
        separate_dirs,
        columns_of(column, value, unit),
    )
    run_import(
        annotation_table(source, how, task(settings).targets),
        settings,
        as_json=as_json,
        force=force,
        refused_file=refused,
    )


@app.command("phantoms")
def import_phantoms(
    count: Annotated[int, typer.Argument(min=1, help="How many.")],
    seed: Annotated[int, typer.Option(min=0, help="Decides which hands are drawn.")] = 0,
    force: Force = False,
    refused: Refused = None,
    as_json: AsJson = False,
) -> None:
    """Import drawn hands of known age and sex."""
    from carpal.filling import phantoms

    run_import(
        phantoms(count, seed),
        settings_with_secrets(),
        as_json=as_json,
        force=force,
        refused_file=refused,
    )


def run_import(
    source: Source,
    settings: Settings,
    *,
    as_json: bool,
    force: bool = False,
    refused_file: Path | None = None,
) -> None:
    """Imports a source, says what became of it, and puts what is new before the experts.

    Args:
        source: What is imported.
        settings: Of the workspace.
        as_json: Print the report as JSON; what is said to people goes to standard error then.
        force: Read also what an earlier import has seen unchanged.
        refused_file: Takes names and reasons of what is refused; None: a file in the workspace.

    Raises:
        CarpalError: The source cannot be read at all, or the disk is full.
        typer.Exit: With status 1 if something was refused, 130 after Ctrl-C.
    """
    from rich.console import Console

    from carpal.filling import fill_pool, show_to_experts

    console = Console(stderr=as_json)
    try:
        report = fill_pool(settings, source, console, force=force, refused_file=refused_file)
        if as_json:
            print_json(asdict(report))
        show_to_experts(settings, console)
    except KeyboardInterrupt as error:
        raise typer.Exit(INTERRUPTED) from error
    if report.refused:
        raise typer.Exit(1)
