"""`carpal import xnat` from end to end."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from carpal import cli, cli_import_xnat
from carpal.free_ports import free_port
from data.domain import Split
from data.ledger.ledger import Ledger
from tests.service.xnat.fake_xnat import PASSWORD, USER, FakeXnat, Subject, serving
from tests.service.xnat.xnat_cases import one_scan

pytestmark = pytest.mark.service
assert cli_import_xnat, "imported for the command that it registers"


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


def test_lists_that_are_written_elsewhere_replace_those_of_the_last_import(
    carpal: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    xnat = FakeXnat({"HANDS": [Subject("empty"), one_scan(1)]})

    with serving(xnat):
        ended = [carpal(xnat, "--refused", str(tmp_path / "list.csv"))[0] for _ in range(2)]

    assert ended == [0, 0]
    assert len((tmp_path / "list-missing.csv").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("name", "holds"),
    [("list.csv", "list of refused items"), ("list-missing.csv", "list of what is missing")],
)
def test_a_file_of_another_kind_is_left_alone(
    carpal: Callable[..., tuple[int, str]], tmp_path: Path, name: str, holds: str
) -> None:
    (tmp_path / name).write_text("a,b\n1,2\n")

    status, said = carpal(FakeXnat(url="http://127.0.0.1:9"), "--refused", f"{tmp_path}/list.csv")

    assert status == 1
    assert said == f"carpal: {tmp_path / name} exists and is no {holds}: choose another name.\n"
    assert (tmp_path / name).read_text() == "a,b\n1,2\n"


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
        (["--value", "sex:W=woman"], "'w' cannot mean 'woman': sex is one of female, male."),
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
