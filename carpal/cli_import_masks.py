"""`carpal import masks`: take hand masks into the workspace."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from carpal.cli_imports import INTERRUPTED, app
from carpal.cli_output import AsJson, print_json, settings_of_workspace
from carpal.import_options import Refused

if TYPE_CHECKING:
    from rich.console import Console

    from carpal.import_files import RefusedFile
    from data.importing.masks import MaskReport
    from workers.settings import Settings

SHOWN = 5


@app.command("masks")
def import_masks_command(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR",
            help="Folders of masks, the preferred one first. A mask is white where the hand is, "
            "and has the name of its radiograph.",
        ),
    ],
    source: Annotated[
        str,
        typer.Option(help="Source that the radiographs were imported from, such as rsna."),
    ],
    choose: Annotated[
        Literal["first", "consensus"],
        typer.Option(
            help="Where several folders have a mask of one radiograph: the first folder's, or what "
            "at least half of the masks mark."
        ),
    ] = "first",
    refused: Refused = None,
    as_json: AsJson = False,
) -> None:
    """Import hand masks of radiographs that are in the pool already."""
    from rich.console import Console

    from carpal.import_files import RefusedFile

    settings = settings_of_workspace()
    console = Console(stderr=as_json)
    with RefusedFile.of_import(settings.home, f"masks-{source}", refused) as listed:
        try:
            report = _import(settings, folders, source, choose, console, listed)
        except KeyboardInterrupt as error:
            console.print("Stopped. The masks until here are kept; the same command goes on.")
            raise typer.Exit(INTERRUPTED) from error
        _tell(report, source, listed, console)
    if as_json:
        print_json(asdict(report))
    if report.refused:
        raise typer.Exit(1)


def _import(
    settings: Settings,
    folders: list[Path],
    source: str,
    choose: Literal["first", "consensus"],
    console: Console,
    listed: RefusedFile,
) -> MaskReport:
    from carpal.filling import progress_bar
    from data.importing.masks import import_masks
    from data.sources.masks import read_masks
    from workers.assembly import image_limits, mask_store, open_ledger
    from workers.salt import require_same_salt

    with (
        open_ledger(settings) as ledger,
        progress_bar(console, f"Masks for {source}", 0) as advance_to,
    ):
        require_same_salt(ledger, settings.salt)
        return import_masks(
            read_masks(folders, source),
            ledger=ledger,
            store=mask_store(settings),
            source=source,
            salt=settings.salt,
            choice=choose,
            limits=image_limits(settings),
            on_refused=listed.add,
            progress=advance_to,
        )


def _tell(report: MaskReport, source: str, listed: RefusedFile, console: Console) -> None:
    from carpal.import_report import say

    matched = report.new + report.known + report.replaced
    say(
        f"{matched} radiographs have a mask of these: {report.new} new, {report.known} known "
        f"already, {report.replaced} replaced.",
        console,
    )
    if report.unknown:
        names = ", ".join(report.unknown[:SHOWN])
        say(
            f"{len(report.unknown)} masks belong to no radiograph that was imported from {source}, "
            f"such as {names}.",
            console,
        )
    say(f"{len(report.refused)} masks refused.", console)
    for name, reason in report.refused[:SHOWN]:
        say(f"  {name}: {reason}", console)
    if listed.rows:
        say(f"Refused, each with its reason: {listed.path}", console)
