"""What `make setup` installs from, and what it says where it cannot."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PINS = ("constraints.txt", "labeling_config/label-studio-constraints.txt")
PYTHONS = ("python3", "python3.13", "python3.12", "python3.11")


def pins(name: str) -> dict[str, str]:
    """Returns package -> version."""
    lines = (ROOT / name).read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(package): version for package, version in pairs}


@pytest.mark.parametrize("name", PINS)
def test_every_pin_holds_on_any_machine(name: str) -> None:
    for line in (ROOT / name).read_text().splitlines():
        # No path, no address, and no build of one machine such as 2.13.0+cpu.
        assert re.fullmatch(r"#.*|[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line), line


def test_every_requirement_of_ours_is_pinned_within_its_range() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [text for texts in project["optional-dependencies"].values() for text in texts]
    pinned = pins("constraints.txt")
    for text in project["dependencies"] + extras:
        wanted = Requirement(text)
        if wanted.url is not None:
            assert re.search(r"\.git@[0-9a-f]{7,40}$", wanted.url), text
        elif wanted.name != "carpal":
            assert wanted.specifier.contains(pinned[canonicalize_name(wanted.name)]), text


def test_label_studio_is_pinned_to_its_requirement() -> None:
    requirements = (ROOT / "labeling_config" / "label-studio-requirements.txt").read_text()
    (wanted,) = (line for line in requirements.splitlines() if not line.startswith("#"))
    assert wanted == f"label-studio=={pins(PINS[1])['label-studio']}"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with what `make setup` reads, and no environment."""
    for name in (
        "Makefile",
        "pyproject.toml",
        *PINS,
        "labeling_config/label-studio-requirements.txt",
    ):
        target = tmp_path / name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, target)
    return tmp_path


@pytest.mark.skipif(shutil.which("make") is None, reason="There is no make")
def test_a_machine_without_a_new_python_is_told_so_in_one_sentence(clone: Path) -> None:
    programs = clone / "bin"
    programs.mkdir()
    for name in PYTHONS:
        (programs / name).write_text("#!/bin/sh\nexit 1\n")
        (programs / name).chmod(0o755)
    done = subprocess.run(
        ["make", "setup"],
        cwd=clone,
        env={"PATH": f"{programs}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "Carpal needs Python 3.11 or newer with the venv module" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (clone / ".venv").exists()
