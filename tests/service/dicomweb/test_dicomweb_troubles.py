"""A DICOMweb server that fails, lies or is none costs no more than what failed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from data.errors import AccessError, FailedRequestError, ImageError, ServiceUnavailableError
from data.images.decoding import decode
from data.sources.dicomweb_connection import DicomWebConnection, DicomWebServer
from tests.service.dicomweb.dicomweb_cases import fill, found, let_in
from tests.service.dicomweb.orthanc import PASSWORD, USER, Answer, Orthanc, Proxy

pytestmark = pytest.mark.service


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
