from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from trainer.registry.environment import code_commit, environment_text


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "code.py").write_text("one")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    return tmp_path


def test_the_environment_names_python_and_the_libraries_that_are_asked_for() -> None:
    first, *libraries = environment_text().splitlines()

    assert platform.python_version() in first
    assert f"timm=={version('timm')}" in libraries
    assert not any(line.startswith("pytest==") for line in libraries), "extras are not asked for"


def test_code_of_a_checkout_is_named_by_its_commit(checkout: Path) -> None:
    assert code_commit(checkout) == git(checkout, "rev-parse", "HEAD")


def test_changed_code_is_called_changed(checkout: Path) -> None:
    (checkout / "code.py").write_text("two")

    assert code_commit(checkout) == f"{git(checkout, 'rev-parse', 'HEAD')}+changes"


def test_installed_code_has_no_commit_even_inside_another_repository(checkout: Path) -> None:
    (checkout / "installed").mkdir()

    assert code_commit(checkout / "installed") == ""
