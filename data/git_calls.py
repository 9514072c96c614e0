"""Call git so that nothing on this machine but the repository decides what it does."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from data.errors import StorageError, VersionError

_AUTHOR = re.compile(r"\s*([^<>\n]*[^<>\n\s])\s*<([^<>\n]+)>\s*")
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.excludesFile=/dev/null",
    "core.attributesFile=/dev/null",
    "core.fsync=all",
    "commit.gpgSign=false",
    "tag.gpgSign=false",
    "gc.autoDetach=false",
)
"""No hooks, no ignore rules and keys of the user; on disk before git answers; no stray processes
that would keep the writer lock."""


_NEARLY_FULL = 2**20
"""Bytes; programs word a full disk differently (SQLite: disk I/O error)."""


def isolated_environment() -> dict[str, str]:
    """Returns this process's environment without what would redirect or configure git."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    return {
        **inherited,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }


class Git:
    """One repository and the identity that commits to it.

    Attributes:
        root: The work tree.
        kept_open: File descriptors that git inherits; see `writer_lock`.
    """

    def __init__(self, root: Path, author: str, kept_open: Collection[int] = ()) -> None:
        match = _AUTHOR.fullmatch(author)
        if match is None:
            raise VersionError(f"The author {author!r} must be written as `Name <address>`.")
        self.root = root
        self.kept_open = tuple(kept_open)
        self._name, self._address = match.groups()

    def run(self, *arguments: str, stdin: str = "", at: datetime | None = None) -> str:
        """Runs one git command in the work tree and returns what it prints.

        Args:
            arguments: The command and its arguments.
            stdin: What it reads.
            at: The time that commits and tags carry; None: now.

        Raises:
            VersionError: git is missing, or reports an error.
            StorageError: The disk is full.
        """
        command = ["git", *(part for item in _SETTINGS for part in ("-c", item)), *arguments]
        try:
            done = subprocess.run(
                command,
                cwd=self.root,
                env=self._environment(at),
                input=stdin.encode(),
                capture_output=True,
                pass_fds=self.kept_open,
                check=False,
            )
        except FileNotFoundError as error:
            if not self.root.is_dir():
                raise VersionError(f"There is no dataset repository at {self.root}.") from error
            raise VersionError("git is not installed or not on the PATH.") from error
        if done.returncode:
            raise failure(f"git {arguments[0]}", done.stderr.decode(errors="replace"), self.root)
        return done.stdout.decode()

    def _environment(self, at: datetime | None) -> dict[str, str]:
        environment = isolated_environment()
        date = {} if at is None else {"DATE": f"@{int(at.timestamp())} +0000"}
        for role in ("AUTHOR", "COMMITTER"):
            for key, text in {"NAME": self._name, "EMAIL": self._address, **date}.items():
                environment[f"GIT_{role}_{key}"] = text
        return environment


def failure(what: str, stderr: str, root: Path) -> VersionError | StorageError:
    """The error for a program that failed in the repository, from what it wrote to stderr."""
    if re.search("No space left|quota exceeded", stderr) or _bytes_free(root) < _NEARLY_FULL:
        return StorageError(f"The disk that holds {root} is full: free some space and try again.")
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    reason = re.sub(r"^[\w.]+(Error|Exception): ", "", lines[-1]) if lines else "it was killed"
    return VersionError(f"{what} failed in {root}: {reason.removesuffix('.')}.")


def _bytes_free(root: Path) -> int:
    state = os.statvfs(root)
    return state.f_bavail * state.f_frsize
