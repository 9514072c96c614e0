"""The images of a dataset repository: folders that are added and never rewritten.

Each version adds at most one folder, `images/shard-0007/` for `v0007`, with the images that no
earlier shard holds. Beside it stand `shard-0007.dvc`, which DVC writes, and `shard-0007.csv`,
which says what is in it. So a version costs what it adds, however large the dataset is.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path

from data.atomic import storage_error, write_file
from data.domain import Radiograph
from data.errors import VersionError
from data.git_calls import failure, isolated_environment
from data.pool import pool_path
from data.version_text import SHARD_COLUMNS, read_table, write_table

FOLDER = "images"
GITIGNORE = "/shard-*/\n"
REMOTE = "storage"
"""DVC's name of the remote; `dvc_shards.py` uses the same."""
_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP}
_PROGRAM = Path(__file__).with_name("dvc_shards.py")


@dataclass(frozen=True, slots=True)
class ShardedImage:
    """Where an image lies.

    Attributes:
        file: Relative to the repository.
        size: Bytes.
    """

    file: str
    size: int


def shard_name(number: int) -> str:
    """Returns the folder of a shard, relative to the repository."""
    return f"{FOLDER}/shard-{number:04d}"


def shard_files(number: int) -> tuple[str, str]:
    """Returns the files that git keeps of a shard."""
    return f"{shard_name(number)}.csv", f"{shard_name(number)}.dvc"


def shard_names(root: Path) -> list[str]:
    """Returns the shards of the work tree, in order."""
    return [f"{FOLDER}/{path.stem}" for path in sorted((root / FOLDER).glob("shard-*.csv"))]


def read_remote(root: Path) -> str:
    """Returns the DVC remote that holds all shards of the work tree; empty: none."""
    config = ConfigParser(interpolation=None)
    config.read(root / ".dvc" / "config")
    return config.get(f"'remote \"{REMOTE}\"'", "url", fallback="").strip("\"'")


def read_shards(root: Path) -> dict[str, ShardedImage]:
    """Returns radiograph id -> image for all shards of the work tree."""
    return {
        row["id"]: ShardedImage(row["file"], int(row["bytes"]))
        for shard in shard_names(root)
        for row in read_table((root / f"{shard}.csv").read_text())
    }


def plan_shard(
    number: int, radiographs: Iterable[Radiograph], pool: Path
) -> dict[str, ShardedImage]:
    """Returns radiograph id -> image of a shard that is to be made; writes nothing.

    Raises:
        VersionError: An image is not in the pool.
    """
    images: dict[str, ShardedImage] = {}
    for radiograph in radiographs:
        source = pool / radiograph.path
        try:
            size = source.stat().st_size
        except OSError as error:
            raise VersionError(
                f"The pool lacks the image of radiograph {radiograph.id}: import it again."
            ) from error
        images[radiograph.id] = ShardedImage(f"{shard_name(number)}/{source.name}", size)
    return images


def make_shard(root: Path, number: int, images: Mapping[str, ShardedImage], pool: Path) -> None:
    """Links images from the pool into a new shard and writes its table.

    Hard links where the file system allows them: then an image is on disk once.

    Raises:
        StorageError: The disk is full.
    """
    remove_shard(root, number)
    try:
        (root / shard_name(number)).mkdir(parents=True)
        for radiograph_id, image in images.items():
            place = root / image.file
            _link(pool_path(pool, radiograph_id, place.name), place)
    except OSError as error:
        raise storage_error(error, root / shard_name(number)) from error
    rows = [{"id": key, "file": i.file, "bytes": str(i.size)} for key, i in images.items()]
    write_file(root / shard_files(number)[0], write_table(SHARD_COLUMNS, rows).encode())


def remove_shard(root: Path, number: int) -> None:
    """Removes what an interrupted commit left of a shard."""
    shutil.rmtree(root / shard_name(number), ignore_errors=True)
    for name in shard_files(number):
        (root / name).unlink(missing_ok=True)


def call_dvc(root: Path, *arguments: str, kept_open: Collection[int] = ()) -> None:
    """Runs the program `dvc_shards.py`, which knows DVC.

    Args:
        root: The repository.
        arguments: For the program.
        kept_open: File descriptors that it inherits; see `writer_lock`.

    Raises:
        VersionError: DVC is missing or reports an error, such as a remote that does not answer.
        StorageError: The disk is full.
    """
    if importlib.util.find_spec("dvc") is None:
        raise VersionError("DVC is not installed in the environment of Carpal.")
    private = root / ".dvc" / "tmp"
    environment = {
        **isolated_environment(),
        "DVC_NO_ANALYTICS": "1",
        "DVC_GLOBAL_CONFIG_DIR": str(private / "no-user-configuration"),
        "DVC_SYSTEM_CONFIG_DIR": str(private / "no-system-configuration"),
        "DVC_SITE_CACHE_DIR": str(private / "site"),
    }
    # -P: the modules beside the program must not shadow those that DVC imports.
    done = subprocess.run(
        [sys.executable, "-P", str(_PROGRAM), str(root), *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        pass_fds=tuple(kept_open),
        check=False,
    )
    if done.returncode:
        raise failure("DVC", done.stderr.decode(errors="replace"), root)


def _link(source: Path, place: Path) -> None:
    try:
        os.link(source, place)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copyfile(source, place)
