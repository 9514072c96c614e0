from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from carpal import doctor
from carpal.doctor import Check
from data.errors import InvalidInputError
from workers.settings import Settings


def wrong(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.said for check in checks if not check.ok}


@pytest.fixture
def label_studio_python(tmp_path: Path) -> Path:
    """A program that answers like the Python of Label Studio's environment."""
    return program(tmp_path / "python", "echo 1.23.2")


def program(path: Path, line: str) -> Path:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


def test_nothing_is_wrong_where_everything_is_there(
    tmp_workspace: Settings, label_studio_python: Path
) -> None:
    settings = replace(tmp_workspace, label_studio_python=label_studio_python)
    assert wrong(doctor.examine(lambda: settings)) == {}


def test_it_changes_nothing(tmp_workspace: Settings) -> None:
    before = sorted(tmp_workspace.home.rglob("*"))
    doctor.examine(lambda: tmp_workspace)
    assert sorted(tmp_workspace.home.rglob("*")) == before


def test_settings_that_cannot_be_read_are_reported_and_end_the_examination() -> None:
    def load() -> Settings:
        raise InvalidInputError("CARPAL_REDIS_PORT='x' is not a number.")

    last = doctor.examine(load)[-1]
    assert last == Check("settings", False, "CARPAL_REDIS_PORT='x' is not a number.")


def test_a_missing_label_studio_is_reported_with_what_to_do(
    tmp_workspace: Settings, tmp_path: Path
) -> None:
    check = doctor.label_studio(replace(tmp_workspace, label_studio_python=tmp_path / "none"))
    assert not check.ok
    assert "make setup" in check.said
    assert "CARPAL_LABEL_STUDIO_PYTHON" in check.said


def test_a_taken_port_is_reported_with_its_setting(
    tmp_workspace: Settings, label_studio_python: Path
) -> None:
    settings = replace(tmp_workspace, label_studio_python=label_studio_python)
    with socket.create_server(("127.0.0.1", settings.backend_port)):
        said = wrong(doctor.ports(settings))["port of backend"]
    assert str(settings.backend_port) in said
    assert "CARPAL_BACKEND_PORT" in said


@pytest.mark.parametrize(
    ("requirement", "said"),
    [
        pytest.param("no-such-package>=1", "no-such-package is missing", id="missing"),
        pytest.param("pytest>=999", "pytest", id="too old"),
    ],
)
def test_an_unmet_requirement_is_named(
    monkeypatch: pytest.MonkeyPatch, requirement: str, said: str
) -> None:
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: [requirement])
    check = doctor.packages()
    assert not check.ok
    assert said in check.said
    assert "make setup" in check.said


def test_requirements_of_other_platforms_and_extras_do_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others = ["no-such-package; sys_platform == 'never'", "no-such-package; extra == 'dev'"]
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: others)
    assert doctor.packages().ok


@pytest.mark.parametrize(
    ("line", "ok"),
    [
        pytest.param("echo git version 2.28.0", True, id="new enough"),
        pytest.param("echo git version 2.27.9", False, id="too old"),
        pytest.param("exit 1", False, id="broken"),
    ],
)
def test_git_must_be_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, ok: bool
) -> None:
    program(tmp_path / "git", line)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.git().ok is ok


@pytest.mark.parametrize(
    ("examine", "name"), [(doctor.workspace, "cannot be written"), (doctor.disk, "make room")]
)
def test_a_place_that_does_not_serve_is_reported_with_the_setting(
    tmp_workspace: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    examine: Callable[[Settings], Check],
    name: str,
) -> None:
    monkeypatch.setattr(doctor, "LEAST_FREE_BYTES", 1 << 60)
    (tmp_path / "file").touch()
    check = examine(replace(tmp_workspace, home=tmp_path / "file" / "workspace"))
    assert not check.ok
    assert name in check.said
    assert "CARPAL_HOME" in check.said
