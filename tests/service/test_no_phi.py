"""What identifies people in DICOM files cannot be found anywhere in a workspace."""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import random
import re
import sqlite3
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.datadict import DicomDictionary
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian
from typer.testing import CliRunner

from carpal import cli, cli_import_dicom
from data.domain import LabelledRadiograph
from data.ledger.ledger import Ledger
from tests.service.dataset_workspace import commit, open_repository
from tests.service.dicomweb.orthanc import PASSWORD, USER, Orthanc, running_orthanc
from tests.unit.data.dataset_cases import NOON
from tests.unit.data.dicom_cases import element, padded, uid_of

pytestmark = pytest.mark.service

assert cli_import_dicom, "imported for the commands that it registers"

TEXT_VRS = frozenset(["AE", "AS", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"])
DIGIT_VRS = frozenset(["DA", "DS", "DT", "IS", "TM", "UI"])
BYTE_VRS = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "UN"])
STRUCTURE = {0x00080005, 0x00080016, 0x00280008, *range(0x00280002, 0x00280005)}
STRUCTURE |= {*range(0x00280010, 0x00280012), *range(0x00280100, 0x00280104)}
"""What makes a file an image; without these, nothing else of it would be looked at."""
TAGS = sorted(
    (tag, vr)
    for tag, (vr, _, _, retired, _) in DicomDictionary.items()
    if tag not in STRUCTURE and 0x0008_0000 < tag < 0x7FE0_0000 and tag & 0xFFFF
    if vr in TEXT_VRS | DIGIT_VRS | BYTE_VRS
)
"""Every element of the standard that can hold text, digits or bytes."""
MODULES = sorted({tag >> 16 for tag, _ in TAGS})
CHARACTER_SETS = {"": "ascii", "ISO_IR 100": "latin-1", "ISO_IR 192": "utf-8"}


class Secrets:
    """Makes words and numbers that occur nowhere else, and remembers them."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.words: list[str] = []

    def word(self, letters: str = "") -> str:
        """Letters that no list of terms knows, the last of them perhaps not ASCII."""
        return self._remember(
            "QX" + "".join(self._random.choices("BCDFGHJKLMNPQRSTVWXZ", k=10)) + letters
        )

    def digits(self) -> str:
        return self._remember("4" + "".join(self._random.choices("0123456789", k=11)))

    def _remember(self, word: str) -> str:
        self.words.append(word)
        return word

    def value(self, vr: str, encoding: str) -> bytes:
        """A secret as a value of this representation; `encoding` says which letters there are."""
        if vr in DIGIT_VRS:
            return padded(self.digits().encode())
        letters = "" if encoding == "ascii" else "ÖÉ"
        if vr in BYTE_VRS:
            return padded(self.word(letters).encode("utf-16-le"))
        return padded(self.word(letters).encode(encoding))


def a_film_full_of_secrets(secrets: Secrets, seed: int, wanted: set[int]) -> bytes:
    """A DICOM file with secrets in the elements of these groups and in every odd corner."""
    chance = random.Random(seed)
    name, encoding = chance.choice(list(CHARACTER_SETS.items()))
    elements: dict[int, bytes] = {}

    def put(tag: int, vr: str, value: bytes) -> None:
        elements[tag] = element((tag >> 16, tag & 0xFFFF), vr.encode(), padded(value))

    put(0x00080005, "CS", name.encode())
    put(0x00080016, "UI", ComputedRadiographyImageStorage.encode())
    put(0x00080018, "UI", secrets.digits().encode())
    put(0x00100010, "PN", secrets.value("PN", encoding))
    put(0x00100020, "LO", secrets.value("LO", encoding))
    put(0x00100021, "LO", secrets.value("LO", encoding))
    put(0x0020000D, "UI", secrets.digits().encode())
    put(0x0020000E, "UI", secrets.digits().encode())
    item = element((0x0010, 0x0010), b"PN", secrets.value("PN", encoding))
    nested = struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item
    put(0x00081140, "SQ", nested)
    put(0x00090010, "LO", secrets.value("LO", encoding))
    put(0x00091001, "LO", secrets.value("LO", encoding))
    put(0x00091002, "UN", secrets.value("UN", encoding))
    put(0x50003000, "OW", secrets.value("OW", encoding))
    put(0x60003000, "OW", secrets.value("OW", encoding))
    put(0x60000022, "LO", secrets.value("LO", encoding))
    for tag, value in ((0x00280002, 1), (0x00280010, 40), (0x00280011, 30), (0x00280100, 16)):
        put(tag, "US", struct.pack("<H", value))
    for tag, value in ((0x00280101, 12), (0x00280102, 11), (0x00280103, 0)):
        put(tag, "US", struct.pack("<H", value))
    put(0x00280004, "CS", b"MONOCHROME2")
    for tag, vr in TAGS:
        if tag >> 16 in wanted and tag not in elements and chance.random() < 0.5:
            put(tag, vr, secrets.value(vr, encoding))
    pixels = np.random.default_rng(seed).integers(0, 4096, (40, 30), dtype=np.uint16)
    put(0x7FE00010, "OW", pixels.tobytes())
    put(0xFFFCFFFC, "OB", secrets.value("OB", encoding))
    body = b"".join(elements[tag] for tag in sorted(elements))
    return a_preamble(secrets) + a_head(secrets, encoding) + body


def a_preamble(secrets: Secrets) -> bytes:
    return secrets.word().encode().ljust(128, b"\0") + b"DICM"


def a_head(secrets: Secrets, encoding: str) -> bytes:
    """File meta information with secrets of its own."""
    rest = b"".join(
        [
            element((2, 0x02), b"UI", padded(ComputedRadiographyImageStorage.encode())),
            element((2, 0x03), b"UI", padded(secrets.digits().encode())),
            element((2, 0x10), b"UI", padded(ExplicitVRLittleEndian.encode())),
            element((2, 0x12), b"UI", padded(uid_of("tests").encode())),
            element((2, 0x13), b"SH", secrets.value("SH", encoding)),
            element((2, 0x16), b"AE", secrets.value("AE", encoding)),
            element((2, 0x0100), b"UI", padded(secrets.digits().encode())),
            element((2, 0x0102), b"OB", secrets.value("OB", encoding)),
        ]
    )
    return element((2, 0), b"UL", struct.pack("<L", len(rest))) + rest


@contextmanager
def everything_that_is_logged() -> Iterator[io.StringIO]:
    """Takes what any logger says, at any level."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield text
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def imported(home: Path, *arguments: str) -> str:
    """Runs `carpal import`; returns all that it prints and logs, whatever its level."""
    variables = {
        "CARPAL_HOME": str(home),
        "CARPAL_LABEL_STUDIO_URL": "http://127.0.0.1:1",
        "CARPAL_DICOMWEB_USER": USER,
        "CARPAL_DICOMWEB_PASSWORD": PASSWORD,
    }
    with everything_that_is_logged() as log:
        result = CliRunner().invoke(cli.app, ["import", *arguments, "--json"], env=variables)
    said = f"{result.output}{result.stderr}{log.getvalue()}{result.exception!r}"
    assert result.exit_code in (0, 1), said
    return said


def a_version(home: Path) -> None:
    """Labels all radiographs of the workspace and commits them."""
    with Ledger.open(f"sqlite:///{home / 'ledger.db'}") as ledger:
        radiographs = ledger.radiographs()
    assert radiographs
    values = {"age_months": 100.0, "sex": "female"}
    labels = [
        LabelledRadiograph(one, values, ("ada@example.org",), 1.0, False, NOON)
        for one in radiographs
    ]
    commit(open_repository(home), labels)


def everything_in(home: Path) -> Iterator[tuple[str, bytes]]:
    """Yields where and what: every file, every cell of the ledger, every object of git."""
    for path in sorted(home.rglob("*")):
        if path.is_file():
            yield str(path), path.read_bytes()
    database = sqlite3.connect(home / "ledger.db")
    for line in database.iterdump():
        yield "a row of the ledger", line.encode("utf-8", "surrogateescape")
    database.close()
    objects = subprocess.run(
        ["git", "cat-file", "--batch-all-objects", "--batch", "--unordered"],
        cwd=home / "dataset",
        capture_output=True,
        check=True,
    )
    yield "an object of git", objects.stdout


def traces(words: list[str], where: bytes) -> list[str]:
    """Returns the secrets that the bytes hold in any encoding, or as a hash without a key."""
    small = where.lower()
    found = []
    for word in words:
        encodings = ("utf-8", "latin-1", "utf-16-le", "utf-16-be")
        writings = [word.encode(name).lower() for name in encodings]
        for name in ("md5", "sha1", "sha256"):
            writings.append(hashlib.new(name, word.encode()).hexdigest()[:16].encode())
        if any(writing in small for writing in writings):
            found.append(word)
    return found


def assert_nothing_is_left(secrets: Secrets, home: Path, said: str) -> None:
    assert len(secrets.words) > 20
    assert traces(secrets.words, said.encode("utf-8", "replace")) == []
    for place, content in everything_in(home):
        assert traces(secrets.words, content) == [], place


def test_the_search_finds_a_secret_in_every_encoding() -> None:
    for encoding in ("utf-8", "latin-1", "utf-16-le", "utf-16-be"):
        assert traces(["QXÖDOE"], b"\0" + "qxÖDOE".upper().encode(encoding)) == ["QXÖDOE"]
    assert traces(["DOE"], hashlib.sha256(b"DOE").hexdigest().encode()) == ["DOE"]


def test_the_secrets_are_in_the_files(tmp_path: Path) -> None:
    secrets = Secrets(1)

    payload = a_film_full_of_secrets(secrets, 1, set(MODULES))

    assert len(secrets.words) > 1000
    assert sorted(traces(secrets.words, payload)) == sorted(secrets.words)


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    seed=st.integers(0, 10**6),
    modules=st.lists(st.sampled_from(MODULES), min_size=1, max_size=6, unique=True),
)
def test_nothing_that_identifies_can_be_found_after_an_import(
    tmp_path_factory: pytest.TempPathFactory, seed: int, modules: list[int]
) -> None:
    home, films = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("films")
    secrets = Secrets(seed)
    for number in range(4):
        wanted = {0x0008, 0x0010, 0x0018, 0x0020, 0x0028} if number == 0 else set(modules)
        payload = a_film_full_of_secrets(secrets, seed + number, wanted - {0x0028})
        (films / f"{number}.dcm").write_bytes(payload)
        (films / f"cut off {number}.dcm").write_bytes(payload[: len(payload) * (number + 1) // 6])
    with_contrast = a_film_full_of_secrets(secrets, seed + 9, {0x0028})
    (films / "contrast.dcm").write_bytes(with_contrast)

    said = imported(home, "dicom", str(films))
    a_version(home)

    assert "refused" in said
    assert_nothing_is_left(secrets, home, said)


def test_a_film_with_secrets_in_every_element_leaves_nothing(tmp_path: Path) -> None:
    secrets, films = Secrets(7), tmp_path / "films"
    films.mkdir()
    everywhere = set(MODULES) - {0x0028}
    (films / "a").write_bytes(a_film_full_of_secrets(secrets, 7, everywhere))

    said = imported(tmp_path / "home", "dicom", str(films))
    a_version(tmp_path / "home")

    assert '"new": 1' in said
    assert_nothing_is_left(secrets, tmp_path / "home", said)


def test_the_name_of_a_file_is_kept_nowhere_but_in_the_list_of_refused_files(
    tmp_path: Path,
) -> None:
    secrets, films, home = Secrets(8), tmp_path / "films", tmp_path / "home"
    films.mkdir()
    name = Secrets(9)
    (films / f"{name.word()}.dcm").write_bytes(a_film_full_of_secrets(secrets, 8, {0x0008}))
    (films / f"{name.word()}.dcm").write_bytes(b"no DICOM")

    imported(home, "dicom", str(films))
    a_version(home)

    listed = [path for path in home.rglob("*refused.csv") if path.is_file()]
    places = {place for place, content in everything_in(home) if traces(name.words, content)}
    assert places == {str(path) for path in listed}
    (row,) = csv.DictReader(io.StringIO(listed[0].read_text()))
    assert row["reason"] == "This is not a DICOM file."


def test_the_pool_holds_pixels_and_nothing_beside_them(tmp_path: Path) -> None:
    secrets, films, home = Secrets(10), tmp_path / "films", tmp_path / "home"
    films.mkdir()
    (films / "a").write_bytes(a_film_full_of_secrets(secrets, 10, {0x0008}))

    imported(home, "dicom", str(films))

    (png,) = (home / "pool").rglob("*.png")
    assert set(re.findall(rb"(IHDR|IDAT|IEND|tEXt|zTXt|iTXt|eXIf|tIME)", png.read_bytes())) == {
        b"IHDR",
        b"IDAT",
        b"IEND",
    }


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


def test_nothing_that_identifies_is_left_by_a_server(orthanc: Orthanc, tmp_path: Path) -> None:
    secrets = Secrets(11)
    for number in range(3):
        orthanc.store(a_film_full_of_secrets(secrets, 11 + number, {0x0008, 0x0010, 0x0032}))

    said = imported(tmp_path, "dicomweb", orthanc.url, "--modality", "")
    a_version(tmp_path)

    assert '"new": 3' in said
    assert_nothing_is_left(secrets, tmp_path, said)


def test_a_failing_server_is_not_quoted(orthanc: Orthanc, tmp_path: Path) -> None:
    secrets = Secrets(12)
    numbers = tmp_path / "patients.txt"
    numbers.write_text("\n".join(secrets.word() for _ in range(25)))
    home = tmp_path / "home"

    result = CliRunner().invoke(
        cli.app,
        ["import", "dicomweb", orthanc.url, "--patients", str(numbers)],
        env={"CARPAL_HOME": str(home), "CARPAL_DICOMWEB_USER": USER},
    )

    assert "401" in str(result.exception)
    assert traces(secrets.words, f"{result.output}{result.exception!r}".encode()) == []
