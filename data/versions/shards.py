"""The images of a dataset repository: folders that are added and never rewritten.

Each version adds at most one folder, `images/shard-0007/` for `v0007`, with the images that no
earlier shard holds. Beside it stand `shard-0007.dvc`, which DVC writes, and `shard-0007.csv`,
which says what is in it. So a version costs what it adds, however large the dataset is.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from configparser import ConfigParser
from configparser import Error as ConfigError
from pathlib import Path
from typing import NamedTuple

from data.atomic import storage_error, write_file
from data.domain import Radiograph
from data.errors import VersionError
from data.pool import pool_path
from data.versions.splice import find_lines
from data.versions.table import LabelTable
from data.versions.text import SHARD_COLUMNS, write_table

FOLDER = "images"
GITIGNORE = "/shard-*/\n"
REMOTE = "storage"
"""DVC's name of the remote; `dvc_shards.py` uses the same."""
REMOTE_LAYOUT = "files/md5"
"""Where DVC 3 keeps objects, in its cache and in every remote."""
_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP}


class ShardedImage(NamedTuple):
    """Where an image lies.

    Attributes:
        file: Relative to the repository.
        size: Bytes.
    """

    file: str
    size: int


class Shards:
    """What the shards of a work tree hold."""

    def __init__(self, root: Path) -> None:
        """Reads the tables of all shards."""
        files = (root / f"{shard}.csv" for shard in shard_names(root))
        self._tables = [LabelTable(file.read_bytes()) for file in files]

    def find(self, radiograph_ids: Collection[str]) -> dict[str, ShardedImage]:
        """Returns radiograph id -> image, of those that a shard holds."""
        found: dict[str, ShardedImage] = {}
        for table in self._tables:
            for key, line in find_lines(table, radiograph_ids).items():
                _, file, size = line.decode().split(",")
                found[key] = ShardedImage(file, int(size))
        return found


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
    file = root / ".dvc" / "config"
    return remote_in(file.read_text()) if file.exists() else ""


def remote_in(config_text: str) -> str:
    """Returns the DVC remote that a text of `.dvc/config` names; empty: none.

    Raises:
        VersionError: It is no configuration.
    """
    config = ConfigParser(interpolation=None)
    try:
        config.read_string(config_text)
    except ConfigError as error:
        raise VersionError(
            f"DVC's configuration cannot be read: {error.message.splitlines()[0]}"
        ) from error
    return config.get(f"'remote \"{REMOTE}\"'", "url", fallback="").strip("\"'")


def read_shard(root: Path, number: int) -> dict[str, str]:
    """Returns radiograph id -> file name of one shard; none if the work tree does not hold it."""
    table = root / shard_files(number)[0]
    cells = _cells([table.read_text()]) if table.exists() else []
    width = len(SHARD_COLUMNS)
    names = (Path(file).name for file in cells[1::width])
    return dict(zip(cells[::width], names, strict=True))


def plan_shard(
    number: int, radiographs: Iterable[Radiograph], pool: Path
) -> dict[str, ShardedImage]:
    """Returns radiograph id -> image of a shard that is to be made, sorted; writes nothing.

    Raises:
        VersionError: An image is not in the pool.
    """
    images: dict[str, ShardedImage] = {}
    for radiograph in sorted(radiographs, key=lambda radiograph: radiograph.id):
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
    link_images(root / shard_name(number), {k: Path(i.file).name for k, i in images.items()}, pool)
    rows = [{"id": key, "file": i.file, "bytes": str(i.size)} for key, i in images.items()]
    write_file(root / shard_files(number)[0], write_table(SHARD_COLUMNS, rows).encode())


def link_images(folder: Path, names: Mapping[str, str], pool: Path) -> None:
    """Makes a folder of images that lie in the pool, wholly or not at all.

    Args:
        folder: Must not exist.
        names: Radiograph id -> name of its file.
        pool: The pool.

    Raises:
        StorageError: The disk is full, or the pool lacks an image.
    """
    draft = folder.with_name(f"{folder.name}.part")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        for radiograph_id, name in names.items():
            _link(pool_path(pool, radiograph_id, name), draft / name)
        draft.replace(folder)
    except OSError as error:
        raise storage_error(error, folder) from error


def remove_shard(root: Path, number: int) -> None:
    """Removes what an interrupted commit left of a shard."""
    for folder in (shard_name(number), f"{shard_name(number)}.part"):
        shutil.rmtree(root / folder, ignore_errors=True)
    for name in shard_files(number):
        (root / name).unlink(missing_ok=True)


def _link(source: Path, place: Path) -> None:
    try:
        os.link(source, place)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copyfile(source, place)


def _cells(tables: Iterable[str]) -> list[str]:
    """Returns the cells of tables without quoted cells, one after the other, without the heads."""
    bodies = (table.partition("\n")[2] for table in tables)
    return "".join(bodies).replace("\n", ",").split(",")[:-1]
