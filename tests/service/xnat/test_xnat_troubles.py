"""An XNAT that fails costs no more than what failed, and each failure is one sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from carpal.free_ports import free_port
from data.errors import (
    AccessError,
    ImageError,
    InvalidInputError,
    NotFoundError,
    ServiceUnavailableError,
)
from data.images.decoding import DEFAULT_LIMITS
from data.sources.xnat_access import XnatAccess
from data.sources.xnat_project import XnatQuery, read_xnat
from data.sources.xnat_server import XnatServer
from tests.service.xnat.fake_xnat import ALIAS, PASSWORD, USER, FakeXnat, serving
from tests.service.xnat.xnat_cases import Reader, account, film, one_scan, read_all

pytestmark = pytest.mark.service


@pytest.mark.parametrize("trouble", [503, 500, -1], ids=["busy", "failed", "cut off"])
@pytest.mark.parametrize("part", ["/scans", "/files/film1.png"], ids=["list", "file"])
def test_a_request_that_fails_twice_is_repeated(read: Reader, trouble: int, part: str) -> None:
    failures = iter([trouble, trouble])
    xnat = FakeXnat({"HANDS": [one_scan(1)]})
    xnat.disturb = lambda path: next(failures, 0) if path.endswith(part) else 0

    items, _ = read(xnat, retries=2)

    assert read_all(items) == [film(1)]
    assert list(failures) == []


def test_a_server_that_stays_busy_ends_the_import_in_one_sentence(read: Reader) -> None:
    xnat = FakeXnat({"HANDS": [one_scan(1), one_scan(2)]})
    xnat.disturb = lambda path: 503 if "HANDS_S1/experiments" in path else 0

    with pytest.raises(ServiceUnavailableError, match=r"does not answer .*: status 503\."):
        read(xnat)


def test_a_server_that_dies_in_the_middle_is_said(read: Reader) -> None:
    xnat = FakeXnat({"HANDS": [one_scan(1), one_scan(2)]})

    with serving(xnat):
        items = read_xnat(account(xnat), XnatQuery("HANDS"), lambda missing: None)
        first = next(items)
        xnat.stop()
        with pytest.raises(ServiceUnavailableError, match="connection refused"):
            next(items)

    with pytest.raises(ServiceUnavailableError, match="connection refused"):
        first.read()


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, "has no /data"),
        (403, "does not let"),
        (500, "status 500"),
        (503, "status 503"),
        (-1, "does not answer .*film1.png: .*bytes"),
    ],
    ids=["gone", "not allowed", "failed", "busy", "cut off"],
)
def test_a_file_that_cannot_be_fetched_costs_itself_alone(
    read: Reader, status: int, message: str
) -> None:
    xnat = FakeXnat({"HANDS": [one_scan(1), one_scan(2)]})
    xnat.disturb = lambda path: status if path.endswith("film1.png") else 0

    (bad, good), _ = read(xnat)

    with pytest.raises(InvalidInputError, match=f"The download failed: .*{message}"):
        bad.read()
    assert good.read().payload == film(2)


def test_a_subject_that_cannot_be_listed_costs_itself_alone(read: Reader) -> None:
    xnat = FakeXnat({"HANDS": [one_scan(1), one_scan(2)]})
    xnat.disturb = lambda path: 403 if "HANDS_S0/experiments" in path else 0

    (bad, good), missing = read(xnat)

    assert bad.name == "HANDS/sub-1"
    assert "does not let this account read" in bad.problem
    assert good.read().payload == film(2)
    assert [m.what for m in missing] == ["not readable"]


def test_a_file_that_is_not_the_listed_one_is_refused(read: Reader) -> None:
    xnat = FakeXnat({"HANDS": [one_scan(1)]})
    (item,), _ = read(xnat)
    xnat.projects["HANDS"][0].sessions[0].scans[0].resources[0].files["film1.png"] = film(9)

    with pytest.raises(InvalidInputError, match=r"delivers another .* than its list says"):
        item.read()


def test_a_large_file_is_refused_before_it_is_fetched(read: Reader) -> None:
    limits = replace(DEFAULT_LIMITS, max_bytes=10)
    xnat = FakeXnat({"HANDS": [one_scan(1)]})

    (item,), _ = read(xnat, limits=limits)

    assert item.problem == "The file is larger than 10 bytes."
    assert not xnat.asked_for("film1.png")


def test_a_file_that_turns_out_large_is_given_up() -> None:
    xnat = FakeXnat({"HANDS": [one_scan(1)]})

    with serving(xnat), XnatServer(account(xnat)) as server, pytest.raises(ImageError):
        server.download("/data/experiments/HANDS_S0_E0/scans/1/resources/1/files/film1.png", 10)


def test_an_ended_session_is_begun_again(read: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.sources.xnat_server.STALE_AFTER_S", -1.0)
    xnat = FakeXnat({"HANDS": [one_scan(1)]})
    ended = iter([401])
    xnat.disturb = lambda path: next(ended, 0) if path.endswith("/scans") else 0

    items, _ = read(xnat)

    assert read_all(items) == [film(1)]
    assert xnat.asked_for("/data/services/auth") >= 2


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://xnat.example.org", "is not the address"),
        ("xnat.example.org", "is not the address"),
        ("https://", "is not the address"),
        ("https://me:secret@xnat.example.org", "must not hold a user or password"),
        ("https://xnat.example.org/?a=b", "is not the address"),
    ],
)
def test_an_address_that_is_none_is_refused(url: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        XnatAccess(url, USER, PASSWORD)

    assert "secret" not in str(caught.value)


def test_an_account_is_needed() -> None:
    with pytest.raises(AccessError, match="CARPAL_XNAT_USER"):
        XnatAccess("https://xnat.example.org", "", "")


def test_a_wrong_password_is_said_without_it(
    read: Reader, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    xnat = FakeXnat({"HANDS": [one_scan(1)]})

    with serving(xnat), pytest.raises(AccessError, match="does not accept") as caught:
        wrong = account(xnat, retries=3, password="open barley")
        list(read_xnat(wrong, XnatQuery("HANDS"), lambda missing: None))

    assert xnat.asked_for("/data/services/auth") == 1, "an account is soon locked"
    told = str(caught.value) + caplog.text + "".join(capfd.readouterr())
    assert "barley" not in told
    assert USER not in told


def test_an_alias_token_signs_in(read: Reader) -> None:
    xnat = FakeXnat({"HANDS": [one_scan(1)]})

    with serving(xnat):
        access = account(xnat, user=ALIAS, password="token secret")
        items = list(read_xnat(access, XnatQuery("HANDS"), lambda missing: None))

    assert [item.problem for item in items] == [""]


@pytest.mark.parametrize(
    ("xnat", "error", "message"),
    [
        (FakeXnat({"FEET": []}), NotFoundError, "has no project 'HANDS'"),
        (FakeXnat({"HANDS": []}, hidden={"HANDS"}), AccessError, "does not let this account read"),
    ],
    ids=["unknown", "not allowed"],
)
def test_a_project_that_cannot_be_read_is_named(
    read: Reader, xnat: FakeXnat, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        read(xnat)


def test_a_server_that_is_not_there_is_said() -> None:
    access = XnatAccess(f"http://127.0.0.1:{free_port()}", USER, PASSWORD, retries=0)

    with pytest.raises(ServiceUnavailableError, match="connection refused"):
        list(read_xnat(access, XnatQuery("HANDS"), lambda missing: None))


def test_a_server_that_is_no_xnat_is_said(read: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    xnat = FakeXnat({"HANDS": []})
    monkeypatch.setattr(xnat, "subjects", None)
    monkeypatch.setattr(FakeXnat, "answer", lambda self, path: {"hello": 1})

    with pytest.raises(InvalidInputError, match=r"is it an XNAT\?"):
        read(xnat)
