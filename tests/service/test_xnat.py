"""Import from XNAT, against a stand-in that answers as XNAT's documentation says."""

from __future__ import annotations

import csv
import io
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset

from carpal import cli, cli_import_xnat
from carpal.free_ports import free_port
from data.domain import Split
from data.errors import (
    AccessError,
    ImageError,
    InvalidInputError,
    NotFoundError,
    ServiceUnavailableError,
)
from data.images.decoding import DEFAULT_LIMITS, decode, encode_png
from data.ledger.ledger import Ledger
from data.sources.cells import Columns
from data.sources.item import SourceItem
from data.sources.known_targets import AGE, SEX
from data.sources.xnat_access import XnatAccess
from data.sources.xnat_project import Missing, XnatQuery, read_xnat
from data.sources.xnat_scans import ScanRule, Several
from data.sources.xnat_server import XnatServer
from tests.service.fake_xnat import (
    ALIAS,
    PASSWORD,
    USER,
    FakeXnat,
    Resource,
    Scan,
    Session,
    Subject,
    serving,
)

pytestmark = pytest.mark.service

assert cli_import_xnat, "imported for the command that it registers"


@cache
def film(number: int) -> bytes:
    """A PNG, another one for each number."""
    pixels = np.random.default_rng(number).integers(0, 255, (16, 12), dtype=np.uint8)
    return encode_png(pixels)


def png(*numbers: int) -> Resource:
    return Resource("PNG", {f"film{number}.png": film(number) for number in numbers})


def dicom(pixels: np.ndarray[Any, Any]) -> bytes:
    """A small computed radiograph, uncompressed."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    image = FileDataset(io.BytesIO(), {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID, image.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3.4"
    image.PatientID, image.Modality, image.ImageLaterality = "SECRET-7", "CR", "L"
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit, image.PixelRepresentation = 7, 0
    image.PixelData = pixels.tobytes()
    file = io.BytesIO()
    pydicom.dcmwrite(file, image, enforce_file_format=True)
    return file.getvalue()


def one_scan(number: int, **changes: Any) -> Subject:
    """A subject with one session and one scan that holds one film."""
    scan = Scan("1", resources=[png(number)])
    return replace(Subject(f"sub-{number}", [Session(f"ses-{number}", [scan])]), **changes)


def with_scans(*scans: Scan) -> FakeXnat:
    return FakeXnat({"HANDS": [Subject("sub-1", [Session("ses-1", list(scans))])]})


Reader = Callable[..., tuple[list[SourceItem], list[Missing]]]


@pytest.fixture
def read() -> Iterator[Reader]:
    """Reads a project of a server that runs as long as the test."""
    opened: list[Any] = []

    def run(
        xnat: FakeXnat, rule: ScanRule | None = None, retries: int = 0, **query: Any
    ) -> tuple[list[SourceItem], list[Missing]]:
        if not xnat.url:
            opened.append(serving(xnat))
            opened[-1].__enter__()
        missing: list[Missing] = []
        wanted = XnatQuery("HANDS", rule or ScanRule(), salt="salt", **query)
        items = list(read_xnat(account(xnat, retries), wanted, missing.append))
        return items, missing

    yield run
    for server in opened:
        server.__exit__(None, None, None)


def account(xnat: FakeXnat, retries: int = 0, **changes: Any) -> XnatAccess:
    return replace(XnatAccess(xnat.url, USER, PASSWORD, retries, first_wait_s=0.0), **changes)


def read_all(items: Sequence[SourceItem]) -> list[bytes]:
    return [item.read().payload for item in items]


# ---- what is found


def test_every_image_of_every_subject_is_found(read: Reader) -> None:
    xnat = FakeXnat({"HANDS": [one_scan(2), one_scan(10), one_scan(1)]})

    items, missing = read(xnat)

    assert [item.name for item in items] == [
        f"HANDS/sub-{n}/ses-{n}/1/film{n}.png" for n in (1, 2, 10)
    ]
    assert read_all(items) == [film(1), film(2), film(10)]
    assert missing == []


def test_a_patient_is_a_subject_of_the_project_that_owns_it(read: Reader) -> None:
    twice = Subject("sub-1", [Session(f"ses-{n}", [Scan("1", resources=[png(n)])]) for n in (1, 2)])
    xnat = FakeXnat({"HANDS": [twice, one_scan(3, owner="WRISTS")]})

    items, _ = read(xnat)

    assert [item.patient for item in items] == [
        "xnat HANDS/sub-1",
        "xnat HANDS/sub-1",
        "xnat WRISTS/sub-3",
    ]


def test_an_item_can_be_sent_to_another_process_and_its_text_holds_no_password(
    read: Reader,
) -> None:
    (item,), _ = read(FakeXnat({"HANDS": [one_scan(1)]}))

    there = pickle.loads(pickle.dumps(item))

    assert there.read().payload == film(1)
    assert PASSWORD not in repr(item)


def test_dicom_becomes_an_image_with_its_allowed_facts(read: Reader) -> None:
    pixels = np.arange(192, dtype=np.uint8).reshape(16, 12)
    files = {"1.dcm": dicom(pixels), "scan_1_catalog.xml": b"<xml/>"}
    xnat = with_scans(
        Scan("1", resources=[Resource("SNAPSHOTS", {"x.gif": b""}), Resource("DICOM", files)])
    )

    (item,), _ = read(xnat)
    delivered = item.read()

    assert decode(delivered.payload).shape == (16, 12)
    assert delivered.metadata["laterality"]
    assert "SECRET-7" not in str(delivered.metadata)


def test_dicom_is_taken_before_images_and_a_named_resource_before_both(read: Reader) -> None:
    kinds = [png(1), Resource("DICOM", {"1.dcm": b"?"}), Resource("derived", {"d.png": film(3)})]
    xnat = with_scans(Scan("1", resources=kinds))

    (by_itself,), _ = read(xnat)
    (named,), _ = read(xnat, ScanRule(resource="Derived"))

    assert by_itself.name.endswith("/1.dcm")
    assert named.name.endswith("/d.png")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (ScanRule(scan_type="hand"), ["1", "3"]),
        (ScanRule(scan_type="^HAND AP$"), ["1"]),
        (ScanRule(series="left"), ["1", "2"]),
        (ScanRule(scan_type="hand", series="right"), ["3"]),
        (ScanRule(scan_type="hand ap", exact=True), ["1"]),
        (ScanRule(scan_type="hand", exact=True), []),
        (ScanRule(), ["1", "2", "3"]),
    ],
    ids=["type", "whole type", "series", "both", "exact", "exact is no part", "any"],
)
def test_the_rule_picks_scans(rule: ScanRule, expected: list[str]) -> None:
    scans = [
        {"ID": "1", "type": "HAND AP", "series_description": "Left hand"},
        {"ID": "2", "type": "CHEST", "series_description": "left side"},
        {"ID": "3", "type": "Hand PA", "series_description": "RIGHT"},
    ]

    assert [scan["ID"] for scan in rule.matching(scans)] == expected


def test_a_rule_that_is_no_expression_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="'\\(' is no regular expression"):
        ScanRule(series="(")


@pytest.mark.parametrize(
    ("several", "expected"),
    [("keepfirst", "film2.png"), ("keeplast", "film10.png")],
    ids=["first", "last"],
)
def test_of_several_scans_one_is_kept_by_number(
    read: Reader, several: Several, expected: str
) -> None:
    xnat = with_scans(*(Scan(str(n), resources=[png(n)]) for n in (10, 2, 9)))

    (item,), missing = read(xnat, ScanRule(several=several))

    assert item.name.endswith(expected)
    assert missing == []


def test_several_scans_are_an_error_unless_said_otherwise(read: Reader) -> None:
    xnat = with_scans(*(Scan(str(n), resources=[png(n)]) for n in (10, 2)))
    xnat.projects["HANDS"].append(one_scan(3))

    items, missing = read(xnat)

    assert items[0].problem == (
        "2 scans match the rule: 2: HAND AP (Left hand); 10: HAND AP (Left hand)."
    )
    assert read_all(items[1:]) == [film(3)]
    assert [(m.subject, m.session, m.what) for m in missing] == [
        ("sub-1", "ses-1", "several scans")
    ]


def test_only_the_subjects_of_a_list_are_read(read: Reader) -> None:
    xnat = FakeXnat({"HANDS": [one_scan(n) for n in (1, 2, 3)]})

    items, missing = read(xnat, subjects=["sub-3", "HANDS_S0", "sub-9"])

    assert read_all(items) == [film(1), film(3)]
    assert missing == [Missing("sub-9", what="no subject")]
    assert not xnat.asked_for("HANDS_S1")


def test_what_is_missing_is_told_and_the_rest_is_read(read: Reader) -> None:
    empty = Scan("1", resources=[Resource("PNG", {"notes.txt": b"?"})])
    xnat = FakeXnat(
        {
            "HANDS": [
                Subject("a"),
                Subject("b", [Session("b1", type="xnat:qcAssessmentData")]),
                Subject("c", [Session("c1", [Scan("4", type="CHEST")])]),
                Subject("d", [Session("d1", [Scan("1", resources=[Resource("SNAPSHOTS", {})])])]),
                Subject("e", [Session("e1", [empty])]),
                one_scan(1),
            ]
        }
    )

    items, missing = read(xnat, ScanRule(scan_type="hand"))

    assert read_all(items) == [film(1)]
    assert missing == [
        Missing("a", what="no session"),
        Missing("b", what="no session"),
        Missing("c", "c1", what="no matching scan", detail="4: CHEST (Left hand)"),
        Missing("d", "d1", "1", "no image resource", "SNAPSHOTS"),
        Missing("e", "e1", "1", "no image file", "PNG"),
    ]


# ---- values


TOLD: Mapping[str, Any] = {
    "targets": (AGE, SEX),
    "columns": Columns({"age_months": "Bone_Age", "sex": "gender"}),
}


@pytest.mark.parametrize(
    ("demographics", "variables", "session", "expected"),
    [
        ({"gender": "F"}, {"bone_age": "120"}, {}, {"age_months": 120.0, "sex": "female"}),
        ({"gender": "M"}, {"bone_age": "1"}, {"bone_age": "9"}, {"age_months": 9, "sex": "male"}),
        ({"gender": "unknown"}, {}, {}, {}),
        ({}, {}, {}, {}),
    ],
    ids=["subject", "the session comes first", "unknown", "nothing told"],
)  # fmt: skip
def test_values_come_from_custom_variables_and_demographics(
    read: Reader,
    demographics: dict[str, str],
    variables: dict[str, str],
    session: dict[str, str],
    expected: dict[str, Any],
) -> None:
    subject = one_scan(1, demographics=demographics, variables=variables)
    subject.sessions[0].variables = session

    (item,), _ = read(FakeXnat({"HANDS": [subject]}), **TOLD)

    assert dict(item.values) == expected


def test_a_value_that_is_none_is_refused_and_the_rest_is_read(read: Reader) -> None:
    xnat = FakeXnat({"HANDS": [one_scan(1, variables={"bone_age": "12 y"}), one_scan(2)]})

    (bad, good), _ = read(xnat, **TOLD)

    assert "'12 y'" in bad.problem
    assert good.read().payload == film(2)


# ---- what goes wrong


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


# ---- the command


@pytest.fixture
def carpal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs `carpal import xnat` in this process; returns status and all that was said."""
    monkeypatch.setenv("CARPAL_HOME", str(tmp_path / "workspace"))
    monkeypatch.setenv("CARPAL_LABEL_STUDIO_PORT", str(free_port()))
    monkeypatch.setenv("CARPAL_XNAT_USER", USER)
    monkeypatch.setenv("CARPAL_XNAT_PASSWORD", PASSWORD)

    def run(xnat: FakeXnat, *arguments: str) -> tuple[int, str]:
        argv = ["carpal", "import", "xnat", xnat.url, "HANDS", "--retries", "0", *arguments]
        monkeypatch.setattr(sys, "argv", argv)
        status = 0
        try:
            cli.main()
        except SystemExit as end:
            status = int(end.code or 0)
        return status, "".join(capfd.readouterr())

    return run


def radiographs(tmp_path: Path) -> int:
    with Ledger.open(f"sqlite:///{tmp_path / 'workspace' / 'ledger.db'}") as ledger:
        return ledger.count_radiographs()


def test_the_command_imports_and_lists_what_is_missing(
    carpal: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    xnat = FakeXnat({"HANDS": [Subject("empty"), *(one_scan(n) for n in (1, 2, 3))]})
    xnat.disturb = lambda path: 404 if path.endswith("film2.png") else 0

    with serving(xnat):
        status, said = carpal(xnat)

    assert status == 1
    assert "2 new radiographs" in said
    assert "Missing in XNAT: 1 x download failed, 1 x no session." in said
    (log,) = (tmp_path / "workspace" / "imports").glob("xnat-*-missing.csv")
    rows = list(csv.DictReader(log.read_text().splitlines()))
    assert [(row["subject"], row["what"]) for row in rows] == [
        ("empty", "no session"),
        ("sub-2", "download failed"),
    ]
    assert radiographs(tmp_path) == 2


def test_an_import_during_which_the_server_died_goes_on(
    carpal: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    xnat = FakeXnat({"HANDS": [one_scan(n) for n in range(1, 13)]})
    dead = ("film12.png", "/data/JSESSION")
    xnat.disturb = lambda path: 503 if path.endswith(dead) and xnat.asked_for("film12.png") else 0
    with serving(xnat):
        status, said = carpal(xnat)
        kept = radiographs(tmp_path)
        assert status == 1
        assert "status 503" in said
        assert 0 < kept < 12
        xnat.disturb = lambda path: 0
        xnat.asked.clear()

        status, said = carpal(xnat)

    assert status == 0
    assert f"{12 - kept} new radiographs, {kept} known" in said
    assert xnat.asked_for(".png") == 12 - kept, "what is there already is not fetched again"
    assert radiographs(tmp_path) == 12


def test_an_import_that_could_not_list_everything_goes_on(
    carpal: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    xnat = FakeXnat({"HANDS": [one_scan(n) for n in (1, 2, 3)]})
    xnat.disturb = lambda path: 503 if "HANDS_S2/experiments" in path else 0
    with serving(xnat):
        status, said = carpal(xnat)
        assert status == 1
        assert "does not answer /data/projects/HANDS/subjects/HANDS_S2" in said
        xnat.disturb = lambda path: 0

        status, _ = carpal(xnat)

    assert status == 0
    assert radiographs(tmp_path) == 3


def test_values_of_the_test_split_become_references(
    carpal: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    subjects = [one_scan(n, variables={"bone_age": str(n)}) for n in range(1, 25)]

    with serving(FakeXnat({"HANDS": subjects})) as xnat:
        carpal(xnat, "--column", "age_months=bone_age")

    with Ledger.open(f"sqlite:///{tmp_path / 'workspace' / 'ledger.db'}") as ledger:
        held_out = {r.id for r in ledger.radiographs() if r.split is not Split.TRAIN}
        assert {r.radiograph_id for r in ledger.readings()} == held_out
        assert len(ledger.source_values()) == 24


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--series", "["], "is no regular expression"),
        (["--column", "height=x"], "The task has no target 'height'"),
        (["--subjects", "/nowhere.txt"], "cannot be read"),
    ],
)
def test_wrong_options_are_one_sentence(
    carpal: Callable[..., tuple[int, str]], arguments: list[str], message: str
) -> None:
    status, said = carpal(FakeXnat(url="http://127.0.0.1:9"), *arguments)

    assert status == 1
    assert message in said
    assert "\n" not in said.strip()
