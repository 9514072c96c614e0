"""One image of a DICOMweb server is fetched, unpacked by the server where that is needed."""

from __future__ import annotations

import os

import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless

from data.errors import ImageError
from data.images.decoding import DEFAULT_LIMITS, decode
from data.sources import dicomweb
from data.sources.dicomweb_connection import DicomWebServer
from data.sources.item import Delivered
from tests.unit.data.dicom_cases import RAMP, SALT, a_dataset, a_file, written

SERVER = DicomWebServer("http://127.0.0.1:1/dicom-web")


class FakeConnection:
    """Has one image: as it is stored, and unpacked."""

    server = SERVER

    def __init__(self, stored: bytes, unpacked: bytes) -> None:
        self._answers = {dicomweb.AS_STORED[0]: stored, dicomweb.UNCOMPRESSED: unpacked}

    def fetch(self, path: str, accept: str) -> bytes:
        return self._answers[accept]


def undecodable(number: int) -> bytes:
    """A file whose pixels are not what its transfer syntax promises."""
    dataset = a_dataset(RAMP, number=number)
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.PixelData = encapsulate([b"no stream"])
    dataset["PixelData"].is_undefined_length = True
    return written(dataset)


def loaded(monkeypatch: pytest.MonkeyPatch, stored: bytes, unpacked: bytes) -> Delivered:
    monkeypatch.setitem(dicomweb._held, os.getpid(), FakeConnection(stored, unpacked))  # type: ignore[arg-type]
    wanted = a_dataset(RAMP, number=1)
    uids = (wanted.StudyInstanceUID, wanted.SeriesInstanceUID, wanted.SOPInstanceUID)
    patient = f"\n{wanted.PatientID}"
    return dicomweb.load(SERVER, uids, patient, SALT, DEFAULT_LIMITS)


def test_an_image_that_cannot_be_decoded_here_is_unpacked_by_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    delivered = loaded(monkeypatch, undecodable(1), a_file(RAMP, number=1))

    assert decode(delivered.payload).tolist() == [[0, 85, 170, 255]]


def test_another_image_that_is_unpacked_in_its_place_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ImageError, match="pixel data"):
        loaded(monkeypatch, undecodable(1), a_file(RAMP, number=2))
