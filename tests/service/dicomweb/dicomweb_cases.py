"""Films that tests put on a DICOMweb server, and what is found there."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from data.images.decoding import DEFAULT_LIMITS, ImageLimits
from data.sources.dicomweb import read_dicomweb
from data.sources.dicomweb_connection import DicomWebServer
from data.sources.dicomweb_search import Search
from data.sources.item import SourceItem
from tests.service.dicomweb.orthanc import PASSWORD, USER, Orthanc, Proxy
from tests.unit.data.dicom_cases import SALT, a_file


def film(number: int) -> np.ndarray[Any, np.dtype[np.uint16]]:
    return np.random.default_rng(number).integers(0, 4096, (12, 10), dtype=np.uint16)


def fill(orthanc: Orthanc, count: int, **elements: Any) -> None:
    """Puts so many films in, each of a patient of its own, or with these elements."""
    for number in range(1, count + 1):
        orthanc.store(a_file(film(number), number=number, **elements))


def let_in(url: str, **other: Any) -> DicomWebServer:
    return DicomWebServer(url, USER, PASSWORD, **{"pause_s": 0.01, **other})


def found(
    server: Orthanc | Proxy | DicomWebServer,
    search: Search | None = None,
    left_out: Counter[str] | None = None,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> list[SourceItem]:
    asked = server if isinstance(server, DicomWebServer) else let_in(server.url)
    counts = Counter[str]() if left_out is None else left_out
    return list(read_dicomweb(asked, search or Search(), SALT, counts, limits))


def two_hands_and_a_knee(orthanc: Orthanc) -> None:
    for number, elements in enumerate(
        [
            {"BodyPartExamined": "HAND", "Laterality": "L", "StudyDate": "20200101"},
            {"BodyPartExamined": "HAND", "ImageLaterality": "R", "StudyDate": "20210101"},
            {"BodyPartExamined": "KNEE", "Modality": "DX", "StudyDate": "20220101"},
        ],
        start=1,
    ):
        orthanc.store(a_file(film(number), number=number, **elements))
