"""`carpal import xnat`: take radiographs out of a project of an XNAT server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from carpal.cli_imports import app, run_import
from carpal.cli_output import AsJson, settings_with_secrets
from carpal.import_files import imports_file
from carpal.import_options import AgesIn, Force, Refused, ValueOf, columns_of, names_in

Several = Literal["error", "keepfirst", "keeplast"]
"""As in `data.sources.xnat_scans`, which takes too long to import for a page of help."""

if TYPE_CHECKING:
    from data.sources.xnat_access import XnatAccess
    from data.sources.xnat_project import XnatQuery
    from workers.settings import Settings


@app.command("xnat")
def import_xnat(
    url: Annotated[str, typer.Argument(help="Address, such as https://xnat.example.org.")],
    project: Annotated[str, typer.Argument(help="Id of the project.")],
    subjects: Annotated[
        Path | None, typer.Option(help="Text file: only these subjects, one label or id per line.")
    ] = None,
    scan_type: Annotated[
        str,
        typer.Option(metavar="REGEX", help="Only scans whose type matches.", show_default=False),
    ] = "",
    series: Annotated[
        str,
        typer.Option(
            metavar="REGEX",
            help="Only scans whose series description matches.",
            show_default=False,
        ),
    ] = "",
    exact: Annotated[
        bool, typer.Option("--exact", help="--scan-type and --series are whole texts, no REGEX.")
    ] = False,
    several: Annotated[
        Several, typer.Option(help="What to do if several scans of a session match.")
    ] = "error",
    resource: Annotated[
        str, typer.Option(metavar="LABEL", help="Resource of the scan; else DICOM, else images.")
    ] = "",
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TARGET=FIELD",
            help="Custom variable or demographic field that tells a target; repeatable.",
            show_default=False,
        ),
    ] = None,
    value: ValueOf = None,
    unit: Annotated[AgesIn, typer.Option(help="Of the ages in the columns.")] = "months",
    retries: Annotated[
        int, typer.Option(min=0, max=10, help="Repetitions of a request that failed.")
    ] = 3,
    force: Force = False,
    refused: Refused = None,
    as_json: AsJson = False,
) -> None:
    """Import scans of an XNAT project; CARPAL_XNAT_USER and CARPAL_XNAT_PASSWORD sign in."""
    from data.sources.xnat_access import XnatAccess
    from data.sources.xnat_project import XnatQuery
    from data.sources.xnat_scans import ScanRule
    from workers.assembly import image_limits, task

    settings = settings_with_secrets()
    query = XnatQuery(
        project,
        ScanRule(scan_type, series, exact, several, resource),
        subjects=None if subjects is None else names_in(subjects, "subject"),
        targets=task(settings).targets,
        columns=columns_of(column, value, unit),
        salt=settings.salt,
        limits=image_limits(settings),
    )
    access = XnatAccess(url, settings.xnat_user, settings.xnat_password, retries)
    _run(access, query, settings, as_json, force, refused)


def _run(
    access: XnatAccess,
    query: XnatQuery,
    settings: Settings,
    as_json: bool,
    force: bool,
    chosen: Path | None,
) -> None:
    from carpal.filling import Source
    from carpal.missing_log import MissingLog
    from data.sources.xnat_project import read_xnat

    refused = chosen or imports_file(settings.home, "xnat", "refused")
    if chosen is None:
        refused.parent.mkdir(parents=True, exist_ok=True)
    stem = refused.stem.removesuffix("-refused")
    with MissingLog(refused.with_name(f"{stem}-missing.csv")) as log:
        log.replace_earlier()
        source = Source("xnat", read_xnat(access, query, log.add))
        try:
            run_import(source, settings, as_json=as_json, force=force, refused_file=refused)
        finally:
            log.add_failed_downloads(refused)
            if log.counts:
                typer.echo(log.summary(), err=as_json)
