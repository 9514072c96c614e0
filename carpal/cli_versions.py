"""`carpal versions`: the dataset versions, and what changed from one to another."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carpal.cli_output import AsJson, print_json, print_rows, settings_of_workspace

if TYPE_CHECKING:
    from data.versions.history import VersionHistory
    from workers.settings import Settings

app = typer.Typer(help="Dataset versions.", no_args_is_help=True)

Version = Annotated[str, typer.Argument(help="v0007, v7, or latest.")]


@app.command("list")
def list_versions(as_json: AsJson = False) -> None:
    """List the dataset versions, oldest first."""
    from workers.assembly import open_ledger

    with open_ledger(settings_of_workspace()) as ledger:
        found = ledger.versions()
    rows = [
        {
            "name": v.name,
            "labels": v.labels,
            "expert_labels": v.expert_labels,
            "committed_at": v.committed_at.isoformat(timespec="seconds")
            if as_json
            else f"{v.committed_at:%Y-%m-%d %H:%M} UTC",
            "commit": v.commit if as_json else v.commit[:12],
        }
        for v in found
    ]
    print_rows(rows, as_json, "There is no dataset version yet.")


@app.command()
def show(version: Version = "latest", as_json: AsJson = False) -> None:
    """Say what a version holds: counts, readers, sources, dates, sizes, proof of the splits."""
    from data.versions.inventory import inventory
    from data.versions.names import resolve_version

    history = _history(settings_of_workspace())
    found = inventory(history, resolve_version(version, history.versions()))
    if as_json:
        print_json({**asdict(found), "committed_at": found.committed_at.isoformat()})
    else:
        from carpal import version_pages

        version_pages.show_inventory(found)


@app.command("diff")
def diff_versions(
    old: Annotated[
        str,
        typer.Argument(
            help="The older version. One alone, or else the latest, is held against the one before."
        ),
    ] = "",
    new: Annotated[
        str, typer.Argument(help="The newer version; `proposal`: what waits for a person.")
    ] = "",
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw it too: values before and after, corrected films."),
    ] = None,
    rows: Annotated[int, typer.Option(min=0, help="Rows of each kind that are printed.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Say what changed from one version to another, and whose readings made it."""
    from data.versions.diff import diff
    from data.versions.names import LATEST
    from data.versions.pair import pick_versions

    history = _history(settings_of_workspace())
    older, newer = (old, new) if new else ("", old or LATEST)
    pair = pick_versions(history, older, newer)
    changed = diff(pair.before, pair.after, history.spec)
    if picture:
        from carpal.version_pages import save_picture
        from data.pool import Pool
        from data.versions.diff_picture import diff_picture

        find = Pool(history.pool).find
        save_picture(diff_picture(history.spec, pair, changed, find), picture)
    if as_json:
        print_json({"old": pair.old, "new": pair.new, "summary": str(changed), **asdict(changed)})
    else:
        from carpal import version_pages

        version_pages.show_diff(pair, changed, history.spec, rows)
        if picture:
            typer.echo(f"The picture is {picture}.")


@app.command()
def checkout(
    version: Version,
    to: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="By default versions/NAME in the workspace."),
    ] = None,
    images: Annotated[bool, typer.Option("--images/--no-images", help="The tables alone?")] = True,
    as_json: AsJson = False,
) -> None:
    """Put a version into a folder: its tables, DATASET.md and images."""
    from data.versions.checkout import checkout as check_out
    from data.versions.names import resolve_version

    settings = settings_of_workspace()
    history = _history(settings)
    name = resolve_version(version, history.versions())
    folder = check_out(history, name, to or settings.home / "versions" / name, images=images)
    if as_json:
        print_json({"version": name, "folder": str(folder)})
    else:
        typer.echo(f"{name} is in {folder}.")


@app.command()
def verify(
    version: Annotated[str, typer.Argument(help="v0007, v7, or latest; by default all.")] = "",
    quick: Annotated[
        bool, typer.Option("--quick", help="Images must be there; their content is not read.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check hashes, splits, images and the ledger: are the versions what they say?"""
    from carpal import version_pages
    from data.versions.names import resolve_version
    from data.versions.verify import verify as check
    from workers.adjudication import adjudicators
    from workers.assembly import open_ledger

    settings = settings_of_workspace()
    history = _history(settings)
    known = history.versions()
    names = [resolve_version(version, known)] if version or not known else known
    with open_ledger(settings) as ledger, version_pages.counting_images(as_json) as tick:
        found = check(
            history, names, ledger, quick=quick, adjudicators=adjudicators(settings), tick=tick
        )
    if as_json:
        print_json({"versions": names, "findings": [asdict(finding) for finding in found]})
    else:
        version_pages.show_findings(names, found, quick)
    if any(finding.broken for finding in found):
        raise typer.Exit(1)


def _history(settings: Settings) -> VersionHistory:
    """Opens the versions for reading, without loading what only writers need."""
    from data.versions.history import VersionHistory
    from labeling_config.tasks import load_task

    task = load_task(settings.task)
    return VersionHistory(settings.dataset, settings.pool, task, settings.git_author)
