from __future__ import annotations

import inspect
import json
import subprocess
import sys
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from carpal import cli
from carpal.free_ports import free_port
from data.domain import DatasetVersion
from data.errors import CarpalError, StackError
from data.ledger.ledger import Ledger
from trainer.registry.registry import ModelRef

SLOW = ("torch", "dvc", "mlflow", "sqlalchemy", "rq", "redis", "numpy", "PIL", "cv2")


class Ended:
    """How a command line ended."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CARPAL_HOME", str(tmp_path / "workspace"))
    monkeypatch.setenv("CARPAL_LABEL_STUDIO_PORT", str(free_port()))
    return tmp_path / "workspace"


@pytest.fixture
def carpal(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command line in this process."""

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["carpal", *arguments])
        capsys.readouterr()
        status = 0
        try:
            cli.main()
        except SystemExit as end:
            status = int(end.code or 0)
        said = capsys.readouterr()
        return Ended(status, said.out, said.err)

    return run


def failing_doctor(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("carpal.doctor.examine", fail)


def test_the_help_is_there_without_loading_anything_heavy() -> None:
    code = f"import sys, carpal.cli; print([m for m in {SLOW!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_it_can_be_run_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "carpal", "--help"], capture_output=True, text=True, check=True
    )
    assert "workbench for radiographs" in done.stdout


def test_an_error_on_purpose_is_one_line_and_its_exit_status(
    carpal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_doctor(monkeypatch, StackError("Port 8080 is taken."))
    ended = carpal("doctor")
    assert (ended.status, ended.out, ended.err) == (1, "", "carpal: Port 8080 is taken.\n")


def test_an_error_that_quotes_a_hostile_name_cannot_steer_the_terminal(
    carpal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_doctor(monkeypatch, StackError("There is no column \x1b[2J\udcff."))
    assert carpal("doctor").err == "carpal: There is no column \\x1b[2J\\xff.\n"


def test_the_exit_status_is_the_errors_own(carpal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class ParticularError(CarpalError):
        exit_status = 7

    failing_doctor(monkeypatch, ParticularError("Particular."))
    assert carpal("doctor").status == 7


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("up", "--nonsense"), ("demo", "--rounds", "0"), ("import", "phantoms", "x")],
    ids=" ".join,
)
def test_bad_usage_ends_with_status_2(carpal: Any, arguments: tuple[str, ...]) -> None:
    assert carpal(*arguments).status == 2


def test_an_interrupt_ends_with_status_130(carpal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_doctor(monkeypatch, KeyboardInterrupt())
    ended = carpal("doctor")
    assert ended.status == 130
    assert "Traceback" not in ended.err


@pytest.mark.long
def test_a_reader_that_has_gone_away_ends_it_quietly() -> None:
    code = (
        "import os, sys; from carpal import cli, doctor; "
        "doctor.examine = lambda: [doctor.Check('x' * 100000, True, '')]; "
        "sys.argv = ['carpal', 'doctor']; cli.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1


def test_an_unexpected_error_keeps_its_traceback(
    carpal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_doctor(monkeypatch, ZeroDivisionError("odd"))
    with pytest.raises(ZeroDivisionError, match="odd"):
        carpal("doctor")


@pytest.mark.parametrize("arguments", [("status",), ("versions", "list"), ("models", "list")])
def test_where_there_is_no_workspace_none_is_made(
    carpal: Any, home: Path, arguments: tuple[str, ...]
) -> None:
    ended = carpal(*arguments)
    assert ended.status == 1
    assert f"There is no workspace {home}" in ended.err
    assert not home.exists()


@pytest.fixture
def versions(home: Path) -> list[DatasetVersion]:
    home.mkdir()
    made = [
        DatasetVersion(
            name=f"v000{number}",
            commit=f"{number}" * 40,
            labels=100 * number,
            expert_labels=50 * number,
            last_event=number,
            committed_at=datetime(2026, 1, number, 12, tzinfo=UTC),
        )
        for number in (1, 2)
    ]
    with Ledger.open(f"sqlite:///{home / 'ledger.db'}") as ledger:
        for version in made:
            ledger.add_version(version)
    return made


def test_versions_are_listed_for_people(carpal: Any, versions: list[DatasetVersion]) -> None:
    ended = carpal("versions", "list")
    assert ended.status == 0
    assert [line.split()[:3] for line in ended.out.splitlines()[1:3]] == [
        ["v0001", "100", "50"],
        ["v0002", "200", "100"],
    ]


def test_versions_are_listed_for_programs(carpal: Any, versions: list[DatasetVersion]) -> None:
    listed = json.loads(carpal("versions", "list", "--json").out)
    assert [version["name"] for version in listed] == ["v0001", "v0002"]
    assert listed[0]["committed_at"] == "2026-01-01T12:00:00+00:00"


def test_an_empty_list_says_so(carpal: Any, home: Path) -> None:
    home.mkdir()
    assert carpal("versions", "list").out == "There is no dataset version yet.\n"


class FakeRegistry:
    """Two models, the newest first, of which the older one is champion."""

    def __init__(self) -> None:
        names = enumerate(("v0001-aaaaaaaa", "v0002-bbbbbbbb"), start=1)
        self._models = [ModelRef(name, number, "", "", "") for number, name in names]

    def models(self) -> list[ModelRef]:
        return self._models[::-1]

    def champion(self) -> ModelRef | None:
        return self._models[0]

    def challenger(self) -> ModelRef | None:
        return None


def test_models_are_listed_with_the_one_that_serves(
    carpal: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir()
    monkeypatch.setattr("workers.assembly.registry", lambda settings: FakeRegistry())
    assert json.loads(carpal("models", "list", "--json").out) == [
        {"number": 1, "model": "v0001-aaaaaaaa", "role": "champion"},
        {"number": 2, "model": "v0002-bbbbbbbb", "role": ""},
    ]


@pytest.mark.long
def test_an_import_reports_what_it_took_and_can_be_repeated(carpal: Any, home: Path) -> None:
    first = json.loads(carpal("import", "phantoms", "6", "--json").out)
    again = carpal("import", "phantoms", "6", "--json")
    assert (first["new"], first["known"]) == (6, 0)
    report = json.loads(again.out)
    assert (report["new"], report["known"]) == (0, 6)
    assert "The next 'carpal up'" in again.err


def test_an_import_of_a_folder_that_does_not_exist_says_so(carpal: Any, tmp_path: Path) -> None:
    ended = carpal("import", "rsna", str(tmp_path / "none"))
    assert ended.status == 1
    assert ended.err.startswith("carpal: ")
    assert "none" in ended.err


def test_the_demo_command_has_the_defaults_that_its_options_state() -> None:
    from carpal.demo import DemoOptions

    renamed = {"json": "json_file", "exit": "leave"}
    stated = {renamed.get(f.name, f.name): f.default for f in fields(DemoOptions)}
    parameters = inspect.signature(cli.demo).parameters
    assert {name: p.default for name, p in parameters.items()} == stated


def test_the_up_command_has_the_defaults_that_its_options_state() -> None:
    from carpal.up import UpOptions

    stated = {f.name: f.default for f in fields(UpOptions)}
    parameters = inspect.signature(cli.up).parameters
    assert {name: p.default for name, p in parameters.items()} == stated
