"""Put a dataset version into a folder of its own: an ordinary git + DVC repository.

The work tree that Carpal commits in is not touched. Images come from the pool by hard links, so
that 10,000 of them cost less than a second and no space; what the pool lacks, DVC pulls.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from data.atomic import DRAFT_SUFFIX, storage_error, write_file
from data.errors import VersionError
from data.pool import pool_path
from data.versions.dvc_calls import call_dvc
from data.versions.git_calls import Git
from data.versions.history import VersionHistory
from data.versions.shards import link_images, read_shard, shard_name, shard_names
from data.versions.tags import read_tag

_READER = "Carpal <carpal@localhost>"
"""git wants an identity even where nothing is committed."""

_LOCAL = """\
[cache]
    dir = "{cache}"
    type = "hardlink,copy"
"""


def checkout(
    repository: VersionHistory, version: str, folder: Path, *, images: bool = True
) -> Path:
    """Puts a version into a folder, wholly or not at all.

    Safe to repeat: a folder that holds this version gets what it lacks, and changes that somebody
    made in it are kept.

    Args:
        repository: The dataset repository.
        version: A version of it.
        folder: Missing, empty, or a checkout of this version.
        images: Its images too.

    Returns:
        The folder, absolute.

    Raises:
        NotFoundError: There is no such version.
        VersionError: The folder holds something else, or an image is neither in the pool nor in
            the DVC remote.
        StorageError: The disk is full.
    """
    folder = folder.resolve()
    commit = read_tag(Git(repository.root, _READER), version).commit
    if repository.root in (folder, *folder.parents):
        raise VersionError(f"{folder} lies in the dataset repository: choose a folder outside.")
    if folder.is_dir() and any(folder.iterdir()):
        _require_checkout(folder, version, commit)
        if images:
            _bring_images(repository, folder)
        return folder
    draft = folder.with_name(f".{folder.name}{DRAFT_SUFFIX}")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        _clone(repository, version, draft)
        if images:
            _bring_images(repository, draft)
        draft.replace(folder)
    except OSError as error:
        raise storage_error(error, folder) from error
    return folder


def _clone(repository: VersionHistory, version: str, draft: Path) -> None:
    # Objects are linked too: a clone of a repository on the same disk costs no space.
    source = Git(repository.root, _READER)
    quiet = ("--quiet", "--template=", "--config", "advice.detachedHead=false")
    source.run("clone", *quiet, "--branch", version, str(repository.root), str(draft))
    cache = repository.root / ".dvc" / "cache"
    write_file(draft / ".dvc" / "config.local", _LOCAL.format(cache=cache).encode())


def _bring_images(repository: VersionHistory, folder: Path) -> None:
    missing: list[str] = []
    for shard in shard_names(folder):
        number = int(shard.rpartition("-")[2])
        names = read_shard(folder, number)
        place = folder / shard_name(number)
        if place.exists():
            continue
        if all(pool_path(repository.pool, key, name).exists() for key, name in names.items()):
            link_images(place, names, repository.pool)
        else:
            missing.append(shard)
    if missing:
        call_dvc(folder, "--pull", *missing)


def _require_checkout(folder: Path, version: str, commit: str) -> None:
    there = Git(folder, _READER).ask("rev-parse", "HEAD") if (folder / ".git").exists() else ""
    if there != commit:
        raise VersionError(f"{folder} holds other files than {version}: choose an empty folder.")
