"""What a run depended on beside its data and options: the code, Python, the installed libraries."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from data.errors import VersionError
from data.versions.git_calls import Git

DISTRIBUTION = "carpal"


def environment_text() -> str:
    """Returns Python, platform and the libraries that Carpal asks for, a `name==version` a line."""
    lines = [f"# Python {platform.python_version()}, {platform.platform()}, {sys.byteorder} endian"]
    lines += [f"{name}=={found}" for name, found in _versions().items()]
    return "\n".join(lines) + "\n"


def code_commit(root: Path = Path(__file__).parents[2]) -> str:
    """Returns the git commit of the code that runs.

    Args:
        root: Where the packages lie.

    Returns:
        40 hexadecimal digits, with `+changes` where files differ from it; empty where the code is
        no git checkout.
    """
    if not (root / ".git").exists():
        return ""
    git = Git(root, "Carpal <carpal@localhost>")
    try:
        commit = git.run("rev-parse", "HEAD").strip()
        changed = git.run(
            "--no-optional-locks", "status", "--porcelain", "--untracked-files=no"
        ).strip()
    except VersionError:
        return ""
    return f"{commit}+changes" if changed else commit


def _versions() -> dict[str, str]:
    """Returns library -> version of what is installed, Carpal first."""
    found = {}
    try:
        asked = [Requirement(text) for text in requires(DISTRIBUTION) or ()]
        found[DISTRIBUTION] = version(DISTRIBUTION)
    except PackageNotFoundError:  # it runs from a folder that was never installed
        return found
    for requirement in sorted(asked, key=lambda r: r.name.lower()):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found[requirement.name] = version(requirement.name)
        except PackageNotFoundError:  # the installation is older than what it asks for today
            continue
    return found
