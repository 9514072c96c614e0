"""The files that an import leaves in the workspace: what it refused, and what looks alike."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from carpal.growing_table import GrowingTable, open_table
from data.atomic import storage_error
from data.errors import InvalidInputError, NotFoundError

FOLDER = "imports"
"""Below the workspace; one pair of files per import."""
REFUSED_COLUMNS = ("name", "reason")
NEAR_COLUMNS = ("radiograph", "looks_like", "distance", "image", "looks_like_image")


def imports_file(home: Path, source: str, kind: str) -> Path:
    """Returns where a file of the import that begins now lies, as in `rsna-<time>-refused.csv`.

    Args:
        home: The workspace.
        source: Name of the source.
        kind: What the file holds.
    """
    began = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return home / FOLDER / f"{source}-{began}-{kind}.csv"


class RefusedFile(GrowingTable):
    """A CSV file of names and reasons that grows while an import runs."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, REFUSED_COLUMNS)

    @classmethod
    def named_by_user(cls, path: Path) -> RefusedFile:
        """Takes the place that a user chose; the list of an earlier import there is replaced.

        Raises:
            NotFoundError: Its folder does not exist.
            InvalidInputError: There is a file that is no such list, which is left alone.
            StorageError: The earlier list cannot be removed.
        """
        if not path.parent.is_dir():
            raise NotFoundError(f"There is no folder {path.parent} for the list of refused items.")
        try:
            if path.exists() and not _is_list_of_refused(path):
                raise InvalidInputError(
                    f"{path} exists and is no list of refused items: choose another name."
                )
            path.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, path) from error
        return cls(path)

    def add(self, name: str, reason: str) -> None:
        """Writes one row.

        Raises:
            StorageError: The disk is full or the folder cannot be written.
        """
        self.write((name, reason))


def write_near_duplicates(path: Path, rows: Iterable[tuple[str, str, float, Path, Path]]) -> None:
    """Writes the pairs that look alike: two ids, their distance (0..1), the two image files.

    Raises:
        StorageError: The disk is full or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_table(path) as file:
            writer = csv.writer(file)
            writer.writerow(NEAR_COLUMNS)
            writer.writerows(rows)
    except OSError as error:
        raise storage_error(error, path) from error


def _is_list_of_refused(path: Path) -> bool:
    with path.open("rb") as file:
        return file.readline().strip() == ",".join(REFUSED_COLUMNS).encode()
