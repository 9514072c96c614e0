"""Try to commit a version so that a kill at any line leaves the last version as it was."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from data.atomic import DRAFT_SUFFIX, write_file
from data.errors import CarpalError
from data.versions.git_calls import Git
from data.versions.shards import FOLDER, remove_shard
from data.versions.tags import version_name

_NOTE = ".git/carpal-attempt.json"
"""Says which version is under way, on top of which commit; git does not look at it."""

INDEX = "carpal-index"
"""In `.git`: the index in which a proposal is put together, beside the work tree's."""

DRAFTS = "carpal-texts"
"""In `.git`: the texts of a proposal on their way into git's store."""

PROPOSED = "refs/carpal/proposals"
"""Our own record of proposals, which outlives the branch that people see."""

UNDONE = "refs/carpal/undone"
"""Commits of an interrupted attempt, and what somebody committed on top before it was undone."""

STALE_LOCK_S = 600.0
"""git locks references and settings for milliseconds; such a lock of this age is nobody's."""

NO_VERSION = 0
"""The number of an attempt that moves the work tree and makes no version."""


@contextmanager
def attempt(git: Git, number: int) -> Iterator[None]:
    """Notes that version `number` is under way; undoes everything if the body fails.

    The caller holds the writer lock, has called `recover`, and the work tree is clean.
    """
    base = git.run("rev-parse", "HEAD").strip()
    note = {"number": number, "base": base}
    write_file(git.root / _NOTE, json.dumps(note).encode())
    try:
        yield
    except BaseException:
        # If this fails too, the note stays and the next attempt starts with it.
        with suppress(CarpalError, OSError):
            recover(git)
        raise
    (git.root / _NOTE).unlink()


def is_under_way(root: Path) -> bool:
    """Says whether an attempt runs or was interrupted."""
    return (root / _NOTE).exists()


def recover(git: Git) -> None:
    """Finishes or undoes an interrupted attempt; does nothing without one.

    The caller holds the writer lock, which every git and DVC process of an attempt inherits: so
    none of them is running any more, and the locks that are left belong to nobody.
    """
    if not is_under_way(git.root):
        return
    note = json.loads((git.root / _NOTE).read_bytes())
    number, base = int(note["number"]), str(note["base"])
    shutil.rmtree(git.root / ".git" / DRAFTS, ignore_errors=True)
    for left in _leftovers(git.root):
        left.unlink(missing_ok=True)
    if not _is_done(git, number):
        _keep_what_is_undone(git, base)
        git.run("reset", "--quiet", "--hard", base)
        remove_shard(git.root, number)
    (git.root / _NOTE).unlink()


def remove_stale_locks(root: Path) -> None:
    """Removes locks that a power cut left of a git command outside an attempt.

    The index is left alone: its lock may belong to a person who is writing a commit message.
    """
    store = root / ".git"
    before = time.time() - STALE_LOCK_S
    for lock in (*store.glob("*.lock"), *(store / "refs").rglob("*.lock")):
        with suppress(OSError):  # A command may end meanwhile.
            if lock.name != "index.lock" and lock.stat().st_mtime < before:
                lock.unlink()


def _is_done(git: Git, number: int) -> bool:
    name = version_name(number)
    return bool(git.run("for-each-ref", f"refs/tags/{name}", f"{PROPOSED}/{name}"))


def _keep_what_is_undone(git: Git, base: str) -> None:
    """Keeps the commits that are reset under a name: a person may have made one of them."""
    head = git.run("rev-parse", "HEAD").strip()
    if head != base:
        git.run("update-ref", f"{UNDONE}/{head}", head)


def _leftovers(root: Path) -> Iterator[Path]:
    store = root / ".git"
    yield from store.glob("*.lock")
    yield from (store / "refs").rglob("*.lock")
    yield from (store / "objects").glob("*.lock")
    yield root / ".dvc" / "tmp" / "rwlock"
    for folder in (root, root / FOLDER, store):
        yield from folder.glob(f".*{DRAFT_SUFFIX}")
    yield store / INDEX
