"""Import from DICOMweb, against a real Orthanc."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from pydicom.uid import BasicTextSRStorage

from carpal import cli, cli_import_dicom
from data.dicom.choice import DicomChoice
from data.errors import (
    AccessError,
    FailedRequestError,
    ImageError,
    InvalidInputError,
    ServiceUnavailableError,
)
from data.images.decoding import DEFAULT_LIMITS, ImageLimits, decode
from data.ledger.ledger import Ledger
from data.sources.dicom_files import read_dicom
from data.sources.dicomweb import read_dicomweb
from data.sources.dicomweb_connection import DicomWebConnection, DicomWebServer, only_part
from data.sources.dicomweb_search import PAGE, Search
from data.sources.item import SourceItem
from tests.service.orthanc import (
    PASSWORD,
    USER,
    Answer,
    Orthanc,
    Proxy,
    proxy_before,
    running_orthanc,
)
from tests.support import eventually
from tests.unit.data.dicom_cases import SALT, a_file

pytestmark = pytest.mark.service

assert cli_import_dicom, "imported for the commands that it registers"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as orthanc:
        yield orthanc


@pytest.fixture
def orthanc(server: Orthanc) -> Orthanc:
    server.clear()
    return server


@pytest.fixture
def proxy(orthanc: Orthanc) -> Iterator[Proxy]:
    with proxy_before(orthanc) as proxy:
        yield proxy


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


@pytest.mark.parametrize("kind", ["studies", "series", "metadata", "instance"])
@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
def test_an_error_that_passes_is_waited_for(
    orthanc: Orthanc, proxy: Proxy, kind: str, status: int
) -> None:
    fill(orthanc, 1)

    def fail_twice(which: str, count: int, answer: Answer) -> None:
        if which == kind and count <= 2:
            answer.status, answer.body = status, b""

    proxy.change = fail_twice

    (item,) = found(proxy)

    assert decode(item.read().payload).shape == (12, 10)
    assert proxy.seen[kind] == 3


def test_a_connection_that_breaks_off_is_made_again(orthanc: Orthanc, proxy: Proxy) -> None:
    fill(orthanc, 1)

    def break_off(kind: str, count: int, answer: Answer) -> None:
        if kind == "instance" and count <= 2:
            answer.cut_off_at = 500

    proxy.change = break_off
    (item,) = found(proxy)

    assert decode(item.read().payload).shape == (12, 10)
    assert proxy.seen["instance"] == 3


def test_a_server_that_always_fails_for_one_image_does_not_stop_the_rest(
    orthanc: Orthanc, proxy: Proxy
) -> None:
    fill(orthanc, 2)
    first, second = found(proxy)

    def fail(kind: str, count: int, answer: Answer) -> None:
        if kind == "instance" and count <= 5:
            answer.status = 500

    proxy.change = fail

    with pytest.raises(FailedRequestError, match="answers 500"):
        first.read()
    assert decode(second.read().payload).shape == (12, 10)


def test_a_series_that_cannot_be_described_is_refused_and_the_rest_goes_on(
    orthanc: Orthanc, proxy: Proxy
) -> None:
    fill(orthanc, 2)

    def fail(kind: str, count: int, answer: Answer) -> None:
        if kind == "metadata" and count == 1:
            answer.status = 404

    proxy.change = fail

    first, second = found(proxy)

    assert "(404)" in first.problem
    assert second.problem == ""


def test_an_image_that_is_gone_is_refused_in_one_sentence(orthanc: Orthanc) -> None:
    fill(orthanc, 1)
    (item,) = found(orthanc)
    orthanc.clear()

    with pytest.raises(FailedRequestError, match="does not have what was asked for"):
        item.read()


def test_a_wrong_password_is_said_once_and_not_tried_again(orthanc: Orthanc, proxy: Proxy) -> None:
    with pytest.raises(AccessError, match=r"401.*CARPAL_DICOMWEB_USER"):
        found(replace(let_in(proxy.url), password="wrong"))

    assert proxy.seen["studies"] == 1


def test_no_credentials_of_the_user_are_sent_that_nobody_gave(
    orthanc: Orthanc, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))

    with pytest.raises(AccessError):
        found(DicomWebServer(proxy.url))


def test_a_token_is_sent_as_bearer() -> None:
    connection = DicomWebConnection(DicomWebServer("https://pacs/dicom-web", token="abc"))

    request = connection.session.prepare_request(requests.Request("GET", "https://pacs/"))

    assert request.headers["Authorization"] == "Bearer abc"


def test_a_redirect_to_another_host_is_not_followed(orthanc: Orthanc, proxy: Proxy) -> None:
    def send_away(_kind: str, _count: int, answer: Answer) -> None:
        answer.status, answer.body = 302, b""
        answer.headers["Location"] = "http://localhost:9/elsewhere"

    proxy.change = send_away

    with pytest.raises(AccessError, match="another address, which is not followed"):
        found(proxy)


def test_an_answer_that_is_too_large_is_not_read(orthanc: Orthanc, proxy: Proxy) -> None:
    fill(orthanc, 1)

    def swell(kind: str, _count: int, answer: Answer) -> None:
        if kind == "instance":
            answer.body += b"\0" * 3 * 2**20

    proxy.change = swell
    (item,) = found(let_in(proxy.url, max_bytes=2**20))

    with pytest.raises(FailedRequestError, match="more than the 2097152 bytes"):
        item.read()


def test_a_server_that_does_not_know_every_transfer_syntax_is_asked_again(
    orthanc: Orthanc, proxy: Proxy
) -> None:
    fill(orthanc, 1)

    def refuse_once(kind: str, count: int, answer: Answer) -> None:
        if kind == "instance" and count == 1:
            answer.status = 406

    proxy.change = refuse_once
    (item,) = found(proxy)

    assert decode(item.read().payload).shape == (12, 10)


def test_another_patients_image_in_the_answer_is_refused(orthanc: Orthanc, proxy: Proxy) -> None:
    fill(orthanc, 2)
    one, other = found(proxy)
    mixed_up = [path.removesuffix("/metadata") for path in proxy.paths if "metadata" in path]
    proxy.ask = lambda path: path.replace(mixed_up[0], mixed_up[1]).replace(
        path.rsplit("/", 1)[1], _instances(orthanc, mixed_up[1])
    )

    with pytest.raises(ImageError, match="another image than it described"):
        one.read()
    assert decode(other.read().payload).shape == (12, 10)


def _instances(orthanc: Orthanc, series: str) -> str:
    (instance,) = json.loads(orthanc.call("GET", f"{series}/instances"))
    return str(instance["00080018"]["Value"][0])


def test_what_is_no_dicomweb_service_is_named() -> None:
    with pytest.raises(ServiceUnavailableError, match="does not answer"):
        found(let_in("http://127.0.0.1:1/dicom-web"))


def test_pages_for_people_are_not_taken_for_dicomweb(orthanc: Orthanc, proxy: Proxy) -> None:
    def page(_kind: str, _count: int, answer: Answer) -> None:
        answer.status, answer.body = 200, b"<html>Sign in</html>"

    proxy.change = page

    with pytest.raises(ServiceUnavailableError, match="does not speak DICOMweb"):
        found(proxy)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("ftp://pacs", "looks like https"),
        ("pacs.example.org", "looks like https"),
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


def a_run(home: Path, url: str, *options: str) -> subprocess.Popen[str]:
    """`carpal import dicomweb` in a process of its own."""
    environment = {
        **os.environ,
        "CARPAL_HOME": str(home),
        "CARPAL_DICOMWEB_USER": USER,
        "CARPAL_DICOMWEB_PASSWORD": PASSWORD,
        "CARPAL_LABEL_STUDIO_URL": "http://127.0.0.1:1",
    }
    code = "from carpal import cli_import_dicom, cli; cli.main()"
    command = [sys.executable, "-c", code, "import", "dicomweb", url, "--json", *options]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finished(run: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
    """What it printed: the report, and what it says to people."""
    printed, said = run.communicate(timeout=120)
    assert run.returncode == 0, said
    return json.loads(printed), said


def test_an_import_that_was_killed_goes_on(orthanc: Orthanc, proxy: Proxy, tmp_path: Path) -> None:
    fill(orthanc, 20)
    killed = a_run(tmp_path, proxy.url)
    assert eventually(lambda: proxy.seen["instance"] >= 5, limit_s=60)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()

    report, _ = finished(a_run(tmp_path, proxy.url))

    assert report["refused"] == []
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        assert len({one.patient for one in ledger.radiographs()}) == 20


def test_a_repeated_import_fetches_only_what_is_new(
    orthanc: Orthanc, proxy: Proxy, tmp_path: Path
) -> None:
    fill(orthanc, 3)
    finished(a_run(tmp_path, proxy.url))
    fill(orthanc, 5)
    proxy.seen.clear()

    report, _ = finished(a_run(tmp_path, proxy.url))

    assert (report["new"], report["known"]) == (2, 3)
    assert proxy.seen["instance"] == 2


def test_the_command_says_what_it_left_out(orthanc: Orthanc, tmp_path: Path) -> None:
    two_hands_and_a_knee(orthanc)

    report, said = finished(a_run(tmp_path, orthanc.url, "--laterality", "left"))

    assert report["new"] == 1
    assert "Left out, not wanted: 1 (another laterality), 1 (laterality unknown)." in said


@pytest.mark.real_data
def test_real_films_come_through_a_server(orthanc: Orthanc, real_data: Path) -> None:
    for path in sorted((real_data / "dicom").glob("*.dcm")):
        orthanc.store(path.read_bytes())

    images = [decode(item.read().payload) for item in found(orthanc)]

    # The one that no plug-in decodes here is unpacked by the server.
    assert len(images) == 7
    assert sorted({image.shape for image in images}) == [(1024, 1024), (1760, 1760), (2140, 1760)]


def test_the_command_is_registered() -> None:
    assert {"dicom", "dicomweb"} <= {
        command.name for command in cli.cli_imports.app.registered_commands
    }
