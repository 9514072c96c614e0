"""Addresses of DICOMweb services, and files taken out of their answers."""

from __future__ import annotations

import pytest

from data.errors import FailedRequestError, InvalidInputError
from data.sources.dicomweb_connection import DicomWebServer, only_part


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("ftp://pacs", "looks like https"),
        ("pacs.example.org", "looks like https"),
        ("http://[pacs/dicom-web", "looks like https"),
        ("http://pacs:port/dicom-web", "looks like https"),
        ("http://me:secret@pacs/dicom-web", "do not belong into the address"),
    ],
)
def test_an_address_that_is_none_is_refused(url: str, sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=sentence) as caught:
        DicomWebServer(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (
            'multipart/related; type="application/dicom"; boundary=b',
            b"--b\r\nA: 1\r\n\r\nxy\r\n--b--",
        ),
        ('multipart/related; boundary="b"', b"\r\n--b\r\n\r\nxy\r\n--b--\r\n"),
        ("application/dicom", b"xy"),
    ],
    ids=["one part", "quoted boundary, no header", "no parts"],
)
def test_the_file_is_taken_out_of_the_answer(content_type: str, body: bytes) -> None:
    assert only_part(content_type, body) in (b"xy",)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/related; boundary=b", b"--b\r\n\r\nxy"),
        ("multipart/related; boundary=b", b""),
        ("text/html", b"xy"),
        ("", b"xy"),
    ],
    ids=["cut off", "empty", "page", "unnamed"],
)
def test_an_answer_without_a_file_is_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(FailedRequestError):
        only_part(content_type, body)
