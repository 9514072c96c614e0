"""Call git so that nothing on this machine but the repository decides what it does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from data.errors import StorageError, VersionError

_AUTHOR = re.compile(r"\s*([^<>\n]*[^<>\n\s])\s*<([^<>\n]+)>\s*")
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.excludesFile=/dev/null",
    "core.attributesFile=/dev/null",
    "core.fsync=all",
    "core.looseCompression=0",
    "commit.gpgSign=false",
    "tag.gpgSign=false",
    "gc.auto=0",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=30",
)
"""No hooks, no ignore rules and keys of the user; on disk before git answers; no tidying in the
middle of a commit (`tidying.py` packs, which compresses far better); a remote that says
nothing for 30 s is down."""

REMOTE_LIMIT_S = 120.0
"""Longest wait for a git remote, seconds; a version's text is a few MB."""


_NEARLY_FULL = 2**20
"""Bytes; programs word a full disk differently (SQLite: disk I/O error)."""


def isolated_environment() -> dict[str, str]:
    """Returns this process's environment without what would redirect or configure git.

    Without optional locks: who only looks must not lock out a commit that runs meanwhile.
    """
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    return {
        **inherited,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_OPTIONAL_LOCKS": "0",
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

    def run(
        self,
        *arguments: str,
        stdin: str | bytes = "",
        at: datetime | None = None,
        index: Path | None = None,
    ) -> str:
        """Runs one git command in the work tree and returns what it prints.

        Args:
            arguments: The command and its arguments.
            stdin: What it reads.
            at: The time that commits and tags carry; None: now.
            index: The index that it works with instead of the work tree's.

        Raises:
            VersionError: git is missing, or reports an error.
            StorageError: The disk is full.
        """
        other = {} if index is None else {"GIT_INDEX_FILE": str(index)}
        return self._call(arguments, stdin, {**self._identity(at), **other}).decode()

    def read(self, *arguments: str) -> bytes:
        """Runs one git command and returns the bytes that it prints; raises as `run` does."""
        return self._call(arguments, b"", self._identity(None))

    def ask(self, *arguments: str) -> str:
        """Runs a command that answers by failing, and returns what it prints; empty: it failed."""
        try:
            return self.run(*arguments).strip()
        except VersionError:
            return ""

    @contextmanager
    def at_work(self, *arguments: str) -> Iterator[Callable[[], str]]:
        """Starts one git command, and goes on while it runs.

        Yields:
            What waits for it and returns what it prints; raises as `run` does. If the block raises,
            the command is ended.
        """
        with ExitStack() as stack:
            process = self._start(arguments, self._identity(None), False)
            stack.callback(_end, process)
            yield lambda: self._finish(process, arguments, b"", None).decode()

    def call_remote(self, *arguments: str) -> str:
        """Runs one git command that talks to a remote; raises as `run` does.

        It has no terminal, so that nothing asks for a password and waits for ever.
        """
        return self._call(arguments, b"", self._identity(None), REMOTE_LIMIT_S).decode()

    def _call(
        self,
        arguments: tuple[str, ...],
        stdin: str | bytes,
        identity: Mapping[str, str],
        limit_s: float | None = None,
    ) -> bytes:
        payload = stdin.encode() if isinstance(stdin, str) else stdin
        process = self._start(arguments, identity, limit_s is not None)
        try:
            return self._finish(process, arguments, payload, limit_s)
        finally:
            _end(process)

    def _start(
        self, arguments: tuple[str, ...], identity: Mapping[str, str], alone: bool
    ) -> subprocess.Popen[bytes]:
        command = ["git", *(part for item in _SETTINGS for part in ("-c", item)), *arguments]
        try:
            return subprocess.Popen(
                command,
                cwd=self.root,
                env={**isolated_environment(), **identity},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=self.kept_open,
                start_new_session=alone,
            )
        except FileNotFoundError as error:
            if not self.root.is_dir():
                raise VersionError(f"There is no dataset repository at {self.root}.") from error
            raise VersionError("git is not installed or not on the PATH.") from error

    def _finish(
        self,
        process: subprocess.Popen[bytes],
        arguments: tuple[str, ...],
        payload: bytes,
        limit_s: float | None,
    ) -> bytes:
        try:
            printed, said = process.communicate(payload, limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # ssh and the like hold the writer lock too
            printed, said = b"", f"it did not answer within {limit_s:g} s".encode()
            process.communicate()
        if process.returncode:
            raise failure(f"git {arguments[0]}", said.decode(errors="replace"), self.root)
        return printed

    def _identity(self, at: datetime | None) -> dict[str, str]:
        environment = {}
        date = {} if at is None else {"DATE": f"@{int(at.timestamp())} +0000"}
        for role in ("AUTHOR", "COMMITTER"):
            for key, text in {"NAME": self._name, "EMAIL": self._address, **date}.items():
                environment[f"GIT_{role}_{key}"] = text
        return environment


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that still runs, because something else failed, and closes its pipes."""
    if process.poll() is None:
        process.kill()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    process.wait()


def failure(what: str, stderr: str, root: Path) -> VersionError | StorageError:
    """The error for a program that failed in the repository, from what it wrote to stderr."""
    if re.search("No space left|quota exceeded", stderr) or _bytes_free(root) < _NEARLY_FULL:
        return StorageError(f"The disk that holds {root} is full: free some space and try again.")
    return VersionError(f"{what} failed in {root}: {_reason(stderr).removesuffix('.')}.")


def _reason(stderr: str) -> str:
    """Returns the line that says why a program failed."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("hint:")]
    fatal = [place for place, line in enumerate(lines) if line.startswith("fatal: ")]
    if fatal:
        lines = lines[: fatal[-1] + 1]  # What follows is advice.
    if lines[-1:] == ["fatal: Could not read from remote repository."]:
        lines = lines[:-1] or lines  # The line before is what ssh said.
    lines += [line for line in lines if line.startswith("! [")]  # What a push was refused for.
    last = lines[-1] if lines else "it was killed"
    return re.sub(r"^(fatal|[\w.]+(Error|Exception)): ", "", last)


def _bytes_free(root: Path) -> int:
    state = os.statvfs(root)
    return state.f_bavail * state.f_frsize
