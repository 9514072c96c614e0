"""What a DICOMweb server answers is taken for nothing that it is not."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
import requests

from data.errors import ServiceUnavailableError
from data.sources.dicomweb_connection import DicomWebConnection, DicomWebServer
from data.sources.dicomweb_search import STUDY, described, first


@pytest.fixture
def connection() -> DicomWebConnection:
    return DicomWebConnection(DicomWebServer("http://127.0.0.1:1/dicom-web", pause_s=0))


@pytest.mark.parametrize("library", ["urllib3.connection", "urllib3.connectionpool"])
@pytest.mark.usefixtures("connection")
def test_what_libraries_log_goes_nowhere(library: str) -> None:
    everything = io.StringIO()
    handler = logging.StreamHandler(everything)
    logging.getLogger().addHandler(handler)

    logging.getLogger(library).warning("Failed to parse headers (url=%s)", "?PatientID=4711")

    logging.getLogger().removeHandler(handler)
    assert everything.getvalue() == ""


@pytest.mark.parametrize("answer", ["text", None, [1], [[{}]], {"a": 1}], ids=str)
def test_json_of_another_form_is_no_dicomweb(connection: DicomWebConnection, answer: Any) -> None:
    with pytest.raises(ServiceUnavailableError, match="does not speak DICOMweb"):
        described(connection, lambda: answer)


@pytest.mark.parametrize(
    ("element", "value"),
    [
        ({STUDY: {"vr": "UI", "Value": ["1.2", "3"]}}, "1.2"),
        ({}, ""),
        ({STUDY: {"vr": "UI"}}, ""),
        ({STUDY: {"Value": []}}, ""),
        ({STUDY: None}, ""),
        ({STUDY: "1.2"}, ""),
        ({STUDY: {"Value": 5}}, ""),
        ({STUDY: {"Value": {"0": 1}}}, ""),
    ],
    ids=str,
)
def test_the_first_value_is_found_or_empty(element: dict[str, Any], value: str) -> None:
    assert first(element, STUDY) == value


@pytest.mark.parametrize("pause", ["0", "²", "Wed, 21 Oct 2026 07:28:00 GMT", "-1"])
def test_a_pause_that_cannot_be_read_is_no_hindrance(
    connection: DicomWebConnection, pause: str
) -> None:
    busy = requests.Response()
    busy.status_code = 503
    busy.headers["Retry-After"] = pause
    answers: list[list[dict[str, Any]] | None] = [None, [{}]]

    def request() -> list[dict[str, Any]]:
        answer = answers.pop(0)
        if answer is None:
            raise requests.HTTPError(response=busy)
        return answer

    assert described(connection, request) == [{}]
