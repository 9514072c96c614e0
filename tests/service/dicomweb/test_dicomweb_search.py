"""What a DICOMweb server has is found, wholly, and nothing that nobody asked for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from pydicom.uid import BasicTextSRStorage

from data.dicom.choice import DicomChoice
from data.images.decoding import decode
from data.sources.dicom_files import read_dicom
from data.sources.dicomweb_search import PAGE, Search
from tests.service.dicomweb.dicomweb_cases import fill, film, found, two_hands_and_a_knee
from tests.service.dicomweb.orthanc import Orthanc, Proxy
from tests.unit.data.dicom_cases import SALT, a_file

pytestmark = pytest.mark.service


def test_every_image_is_found_and_delivered(orthanc: Orthanc) -> None:
    fill(orthanc, 3, Laterality="L", PatientSex="M")

    items = found(orthanc)

    assert len(items) == 3
    for item in items:
        assert item.problem == ""
        assert item.values == {"sex": "male"}
        assert item.metadata["laterality"] == "left"
        assert decode(item.read().payload).shape == (12, 10)


def test_a_server_delivers_what_its_file_would(orthanc: Orthanc, tmp_path: Path) -> None:
    payload = a_file(film(1), PatientID="4711", IssuerOfPatientID="CLINIC", Laterality="R")
    orthanc.store(payload)
    (tmp_path / "film.dcm").write_bytes(payload)

    (served,) = found(orthanc)
    (filed,) = read_dicom([tmp_path], SALT, DicomChoice(), Counter())

    assert served.patient == filed.patient
    assert served.read() == filed.read()


def test_a_name_tells_nothing_and_is_always_the_same(orthanc: Orthanc) -> None:
    payload = a_file(film(1), PatientID="4711")
    orthanc.store(payload)

    (first,), (second,) = found(orthanc), found(orthanc)

    assert (first.name, first.stamp) == (second.name, second.stamp)
    assert len(first.name) == 16
    assert first.name.encode() not in payload


def test_more_studies_than_fit_on_a_page_are_found(orthanc: Orthanc, proxy: Proxy) -> None:
    fill(orthanc, PAGE + 15)

    items = found(proxy)

    assert len({item.name for item in items}) == PAGE + 15
    assert proxy.seen["studies"] == 3


def test_a_server_that_answers_with_fewer_than_it_is_asked_for_loses_nothing(
    orthanc: Orthanc, proxy: Proxy
) -> None:
    fill(orthanc, 25)
    proxy.ask = lambda path: path.replace(f"limit={PAGE}", "limit=10")

    assert len(found(proxy)) == 25


def test_a_server_that_ignores_paging_is_not_asked_for_ever(orthanc: Orthanc, proxy: Proxy) -> None:
    fill(orthanc, 25)
    proxy.ask = lambda path: path.replace(f"limit={PAGE}", "").replace("offset=", "unknown=")

    assert len(found(proxy)) == 25
    assert proxy.seen["studies"] == 2


@pytest.mark.parametrize(
    ("search", "sides"),
    [
        (Search(DicomChoice.read(body_part="HAND")), ["left", "right"]),
        (Search(DicomChoice.read(body_part="HAND", laterality="right")), ["right"]),
        (Search(DicomChoice.read(modality="DX")), [""]),
        (Search(DicomChoice.read(modality="CR,DX", body_part="KNEE,HAND")), ["", "left", "right"]),
        (Search(dates="20200601-20211231"), ["right"]),
        (Search(dates="20210101-"), ["", "right"]),
        (Search(dates="-20210101"), ["left", "right"]),
        (Search(patients=("patient 1", "patient 3", "nobody")), ["", "left"]),
        (Search(match=(("PatientID", "*2"),)), ["right"]),
        (Search(match=(("00180015", "KNEE"),)), [""]),
        (Search(match=(("BodyPartExamined", "KN*"),)), [""]),
        (Search(patients=("nobody",)), []),
    ],
    ids=[
        "body part",
        "laterality",
        "modality",
        "several of both",
        "dates",
        "since",
        "until",
        "patients",
        "wildcard",
        "tag of a series",
        "keyword of a series",
        "nothing",
    ],
)
def test_a_search_finds_what_it_asks_for(
    orthanc: Orthanc, search: Search, sides: list[str]
) -> None:
    two_hands_and_a_knee(orthanc)

    items = found(orthanc, search)

    assert sorted(item.metadata.get("laterality", "") for item in items) == sides


def test_what_a_server_ignores_of_a_search_is_left_out_here(orthanc: Orthanc, proxy: Proxy) -> None:
    two_hands_and_a_knee(orthanc)
    proxy.ask = lambda path: path.replace("BodyPartExamined", "Unknown")
    left_out = Counter[str]()

    items = found(proxy, Search(DicomChoice.read(body_part="KNEE")), left_out)

    assert len(items) == 1
    assert left_out == {"another body part": 2}


def test_patients_whom_nobody_asked_for_are_left_out_whatever_a_server_finds(
    orthanc: Orthanc, proxy: Proxy
) -> None:
    fill(orthanc, 12)
    proxy.ask = lambda path: path.replace("PatientID=", "Unknown=")
    left_out = Counter[str]()

    items = found(proxy, Search(patients=("patient 1",)), left_out)

    assert len(items) == 1
    assert left_out == {"another patient": 11}


def test_objects_that_are_no_radiographs_are_refused_without_being_fetched(
    orthanc: Orthanc, proxy: Proxy
) -> None:
    fill(orthanc, 1)
    orthanc.store(a_file(film(2), number=2, SOPClassUID=BasicTextSRStorage, Modality="CR"))

    items = found(proxy)

    assert sorted(item.problem[:37] for item in items) == [
        "",
        "This DICOM object is no radiograph: i",
    ]
    assert proxy.seen["instance"] == 0


@pytest.mark.real_data
def test_real_films_come_through_a_server(orthanc: Orthanc, real_data: Path) -> None:
    for path in sorted((real_data / "dicom").glob("*.dcm")):
        orthanc.store(path.read_bytes())

    images = [decode(item.read().payload) for item in found(orthanc)]

    # The one that no plug-in decodes here is unpacked by the server.
    assert len(images) == 7
    assert sorted({image.shape for image in images}) == [(1024, 1024), (1760, 1760), (2140, 1760)]
