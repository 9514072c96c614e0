"""`carpal import dicom` and `carpal import dicomweb`: radiographs as hospitals keep them."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carpal.cli_imports import app, run_import
from carpal.cli_output import AsJson, settings_with_secrets
from carpal.import_options import Force, Refused, names_in

if TYPE_CHECKING:
    from carpal.filling import Source
    from workers.settings import Settings

DATES = ["%Y-%m-%d", "%Y%m%d"]
Laterality = Annotated[str, typer.Option(help="Only left or right ones.", show_default=False)]
BodyPart = Annotated[
    str, typer.Option(help="Only these DICOM terms, as in HAND,WRIST.", show_default=False)
]


@app.command("dicom")
def import_dicom(
    paths: Annotated[list[Path], typer.Argument(help="DICOM files, or folders at any depth.")],
    laterality: Laterality = "",
    body_part: BodyPart = "",
    modality: Annotated[
        str, typer.Option(help="Only these DICOM terms, as in CR,DX.", show_default=False)
    ] = "",
    force: Force = False,
    refused: Refused = None,
    as_json: AsJson = False,
) -> None:
    """Import DICOM files."""
    from carpal.filling import Source
    from data.dicom.choice import DicomChoice
    from data.sources.dicom_files import read_dicom
    from workers.assembly import image_limits

    choice = DicomChoice.read(laterality, body_part, modality)
    settings, left_out = settings_with_secrets(), Counter[str]()
    items = read_dicom(paths, settings.salt, choice, left_out, image_limits(settings))
    _run(Source("dicom", items), settings, left_out, as_json, force, refused)


@app.command("dicomweb")
def import_dicomweb(
    url: Annotated[str, typer.Argument(help="As in https://pacs.example.org/dicom-web.")],
    since: Annotated[
        datetime | None,
        typer.Option("--from", formats=DATES, help="First study date.", show_default=False),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option("--to", formats=DATES, help="Last study date.", show_default=False),
    ] = None,
    patients: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Only these patients: one number a line."),
    ] = None,
    laterality: Laterality = "",
    body_part: BodyPart = "",
    modality: Annotated[
        str, typer.Option(help="Only these DICOM terms; an empty text asks for all.")
    ] = "CR,DX",
    match: Annotated[
        list[str] | None,
        typer.Option(metavar="TAG=VALUE", help="As in StudyDescription=*hand*; may be repeated."),
    ] = None,
    force: Force = False,
    refused: Refused = None,
    as_json: AsJson = False,
) -> None:
    """Import from a DICOMweb server (CARPAL_DICOMWEB_USER, _PASSWORD, _TOKEN)."""
    from carpal.filling import Source
    from data.dicom.choice import DicomChoice
    from data.sources.dicomweb import read_dicomweb
    from data.sources.dicomweb_connection import DicomWebServer
    from data.sources.dicomweb_search import Search
    from workers.assembly import image_limits

    settings, left_out = settings_with_secrets(), Counter[str]()
    search = Search(
        DicomChoice.read(laterality, body_part, modality),
        _dates(since, until),
        () if patients is None else names_in(patients, "patient"),
        tuple(_pair(text) for text in match or ()),
    )
    server = DicomWebServer(
        url,
        settings.dicomweb_user,
        settings.dicomweb_password,
        settings.dicomweb_token,
        settings.max_image_bytes,
    )
    items = read_dicomweb(server, search, settings.salt, left_out, image_limits(settings))
    _run(Source("dicomweb", items), settings, left_out, as_json, force, refused)


def _run(
    source: Source,
    settings: Settings,
    left_out: Counter[str],
    as_json: bool,
    force: bool,
    refused_file: Path | None,
) -> None:
    """Imports, and says in the end what was not wanted, whatever else came of it."""
    from data.dicom.choice import left_out_sentence

    try:
        run_import(source, settings, as_json=as_json, force=force, refused_file=refused_file)
    finally:
        if sentence := left_out_sentence(left_out):
            typer.echo(sentence, err=as_json)


def _dates(since: datetime | None, until: datetime | None) -> str:
    """Returns a range of dates as DICOM writes it (PS3.4 C.2.2.2.5); empty: any date."""
    if since is None and until is None:
        return ""
    if since and until and since > until:
        raise typer.BadParameter("--from is a later day than --to.")
    return "-".join("" if day is None else f"{day:%Y%m%d}" for day in (since, until))


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise typer.BadParameter(f"--match wants TAG=VALUE, not {text!r}.")
    return name.strip(), value.strip()
