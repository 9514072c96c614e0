"""Make an empty dataset repository, wholly or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

from data.atomic import storage_error, write_file
from data.errors import VersionError
from data.versions.dvc_calls import call_dvc
from data.versions.git_calls import Git
from data.versions.shards import FOLDER, GITIGNORE

BRANCH = "main"


def start_repository(root: Path, author: str, lock: int, branch: str = BRANCH) -> None:
    """Makes `root` a git + DVC repository with one commit and no version.

    It is made beside `root` and moved there when it is complete.

    Args:
        root: Must be missing or an empty folder.
        author: `Name <address>`.
        lock: File descriptor of the writer lock, which the caller holds.
        branch: That versions are committed on.

    Raises:
        VersionError: The folder holds other files, or git or DVC failed.
        StorageError: The disk is full.
    """
    draft = root.with_name(f".{root.name}.new")
    try:
        if root.exists() and any(root.iterdir()):
            raise VersionError(f"{root} holds other files: choose an empty folder.")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        _fill(Git(draft, author, (lock,)), branch)
        draft.replace(root)
    except OSError as error:
        raise storage_error(error, root) from error


def _fill(git: Git, branch: str) -> None:
    git.run("init", "--quiet", "--template=", f"--initial-branch={branch}")
    git.run("config", "gc.auto", "0")  # `tidying.py` does it.
    call_dvc(git.root, "--initialise", kept_open=git.kept_open)
    write_file(git.root / ".gitattributes", b"* -text\n")
    write_file(git.root / FOLDER / ".gitignore", GITIGNORE.encode())
    git.run("add", "--all")
    git.run("commit", "--quiet", "--message=Start the dataset repository")
