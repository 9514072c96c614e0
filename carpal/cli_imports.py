"""`carpal import`: take radiographs into the pool."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carpal.cli_output import AsJson, print_json, settings_with_secrets

if TYPE_CHECKING:
    from carpal.filling import Source
    from workers.settings import Settings

app = typer.Typer(help="Take radiographs into the pool.", no_args_is_help=True)


@app.command("rsna")
def import_rsna(
    source: Annotated[Path, typer.Argument(help="Folder with the challenge's CSV and images.")],
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many, at random.")] = None,
    seed: Annotated[int, typer.Option(help="Decides which ones --limit draws.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Import the RSNA Pediatric Bone Age data."""
    from carpal.filling import rsna

    _import(rsna(source, limit, seed), settings_with_secrets(), as_json)


@app.command("folder")
def import_folder(
    source: Annotated[Path, typer.Argument(help="Folder with images at any depth.")],
    table: Annotated[
        Path | None, typer.Option(help="CSV with columns file, patient and the task's targets.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Import every image below a folder."""
    from carpal.filling import folder
    from workers.assembly import task

    settings = settings_with_secrets()
    _import(folder(source, table, task(settings).targets), settings, as_json)


@app.command("phantoms")
def import_phantoms(
    count: Annotated[int, typer.Argument(min=1, help="How many.")],
    seed: Annotated[int, typer.Option(help="Decides which hands are drawn.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Import drawn hands of known age and sex."""
    from carpal.filling import phantoms

    _import(phantoms(count, seed), settings_with_secrets(), as_json)


def _import(source: Source, settings: Settings, as_json: bool) -> None:
    from rich.console import Console

    from carpal.filling import fill_pool, show_to_experts

    console = Console(stderr=as_json)
    report = fill_pool(settings, source, console)
    show_to_experts(settings, console)
    if as_json:
        print_json(asdict(report))
