"""What a DICOMweb server is asked for, and how all that it has is found (QIDO-RS, PS3.18)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any

from dicomweb_client.web import DICOMwebClient

from data.dicom.choice import DicomChoice
from data.dicom.facts import DicomFacts
from data.errors import InvalidInputError
from data.sources.dicomweb_connection import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, DicomWebConnection

PAGE = 100
"""Studies or series that are asked for at once."""

SURELY_LAST = 10
"""A page that is shorter than this is the last one: no server answers with so few when there are
more, but many answer with fewer than they were asked for."""

SERIES_TAGS = {
    "BodyPartExamined": "00180015",
    "Laterality": "00200060",
    "Manufacturer": "00080070",
    "Modality": "00080060",
    "PerformedProcedureStepDescription": "00400254",
    "PerformedProcedureStepStartDate": "00400244",
    "PerformedProcedureStepStartTime": "00400245",
    "ProtocolName": "00181030",
    "SeriesDate": "00080021",
    "SeriesDescription": "0008103E",
    "SeriesInstanceUID": "0020000E",
    "SeriesNumber": "00200011",
    "StationName": "00081010",
}
"""Attributes that are matched among the series of a study; all others among the studies."""
STUDY, SERIES, INSTANCE = "0020000D", "0020000E", "00080018"
"""Tags of the three identifiers."""

UID_FORM = re.compile(r"[0-9.]{1,64}")
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._-]")
_ATTRIBUTE = re.compile(r"[A-Z][A-Za-z0-9]+|[0-9A-Fa-f]{8}")


@dataclass(frozen=True, slots=True)
class Search:
    """What a server is asked for.

    Attributes:
        choice: Sent to the server, and checked again here: servers ignore what they do not know.
        dates: Study dates as DICOM writes them, `20200101-20201231`, `20200101-`; empty: all.
        patients: Patient numbers; empty: all.
        match: Further attributes (keyword or eight hexadecimal digits) and their values.
    """

    choice: DicomChoice = field(default_factory=DicomChoice)
    dates: str = ""
    patients: tuple[str, ...] = ()
    match: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for name, _ in self.match:
            if not _ATTRIBUTE.fullmatch(name):
                raise InvalidInputError(
                    f"{name} is no DICOM attribute: write a keyword such as StudyDescription, or "
                    "the eight hexadecimal digits of a tag."
                )

    def unwanted(self, facts: DicomFacts) -> str:
        """Says in a few words why a radiograph is not wanted; empty if it is."""
        if self.patients and facts.number not in self.patients:
            return "another patient"
        return self.choice.unwanted(facts)


def client_of(connection: DicomWebConnection) -> DICOMwebClient:
    """Returns a client that sends its requests through the connection and never twice."""
    client = DICOMwebClient(
        connection.server.url.rstrip("/"),
        session=connection.session,
        permissive_uid=True,
        timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
    )
    client.set_http_retry_params(retry=False)  # it would not retry a lost connection
    return client


def wanted_series(connection: DicomWebConnection, search: Search) -> Iterator[tuple[str, str]]:
    """Yields (study, series) by the search; each series once."""
    client, seen = client_of(connection), set()
    for study in _studies(connection, client, search):
        for body_part in sorted(search.choice.body_parts) or [""]:
            filters = {"BodyPartExamined": body_part, **_matching(search, of_series=True)}
            if len(search.choice.modalities) == 1:
                (filters["Modality"],) = search.choice.modalities
            ask = partial(client.search_for_series, study, search_filters=_given(filters))
            for found in _pages(connection, ask, SERIES):
                modality = first(found, "00080060")
                wanted = not search.choice.modalities or modality in search.choice.modalities
                series = first(found, SERIES)
                if wanted and UID_FORM.fullmatch(series) and series not in seen:
                    seen.add(series)
                    yield study, series


def _studies(
    connection: DicomWebConnection, client: DICOMwebClient, search: Search
) -> Iterator[str]:
    seen = set()
    modalities = sorted(search.choice.modalities) or [""]
    for patient, modality in product(search.patients or ("",), modalities):
        filters = {
            # Orthanc cannot be asked for a space: whoever else this finds is left out later.
            "PatientID": _NOT_PLAIN.sub("?", patient),
            "ModalitiesInStudy": modality,
            "StudyDate": search.dates,
            **_matching(search, of_series=False),
        }
        ask = partial(client.search_for_studies, search_filters=_given(filters))
        for found in _pages(connection, ask, STUDY):
            study = first(found, STUDY)
            if UID_FORM.fullmatch(study) and study not in seen:
                seen.add(study)
                yield study


def _matching(search: Search, of_series: bool) -> dict[str, str]:
    keys = {*SERIES_TAGS, *SERIES_TAGS.values()}
    return {n: value for n, value in search.match if (n in keys or n.upper() in keys) == of_series}


def _given(filters: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in filters.items() if value}


def _pages(
    connection: DicomWebConnection, ask: Callable[..., list[dict[str, Any]]], uid: str
) -> Iterator[dict[str, Any]]:
    """Yields all results, also of servers that answer with fewer or more than they are asked for.

    A page without anything new is the last one: some servers ignore `offset`.
    """
    seen: set[str] = set()
    offset = 0
    while True:
        page = described(connection, partial(ask, limit=PAGE, offset=offset))
        new = [found for found in page if first(found, uid) not in seen]
        seen |= {first(found, uid) for found in new}
        yield from new
        offset += len(page)
        if not new or len(page) < SURELY_LAST:
            return


def described(connection: DicomWebConnection, request: Callable[[], Any]) -> list[dict[str, Any]]:
    """Returns the objects of the DICOM JSON model (PS3.18 F) that a server answers with.

    Raises:
        CarpalError: As `DicomWebConnection.ask`, also for JSON of another form.
    """

    def objects() -> list[dict[str, Any]]:
        answer = request()
        if not isinstance(answer, list) or not all(isinstance(one, dict) for one in answer):
            raise ValueError
        return answer

    return connection.ask(objects)


def first(element: Mapping[str, Any], tag: str) -> str:
    """Returns an element's first value in the DICOM JSON model (PS3.18 F.2), empty if absent."""
    found = element.get(tag)
    values = found.get("Value") if isinstance(found, dict) else None
    return str(values[0]) if isinstance(values, list) and values else ""
