"""The files that an import leaves in the workspace: what it refused, and what looks alike."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from carpal.growing_table import GrowingTable, open_table
from data.atomic import storage_error

FOLDER = "imports"
"""Below the workspace; one pair of files per import."""
NOT_IN_NAMES = re.compile(r"[^\w-]+")
REFUSED_COLUMNS = ("name", "reason")
NEAR_COLUMNS = ("radiograph", "looks_like", "distance", "image", "looks_like_image")


def imports_file(home: Path, source: str, kind: str) -> Path:
    """Returns where a file of the import that begins now lies, as in `rsna-<time>-refused.csv`.

    Args:
        home: The workspace.
        source: Name of the source; what no file is called after becomes `-`.
        kind: What the file holds.
    """
    began = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return home / FOLDER / f"{NOT_IN_NAMES.sub('-', source)}-{began}-{kind}.csv"


class RefusedFile(GrowingTable):
    """A CSV file of names and reasons that grows while an import runs."""

    holds = "list of refused items"

    def __init__(self, path: Path) -> None:
        super().__init__(path, REFUSED_COLUMNS)

    @classmethod
    def of_import(cls, home: Path, source: str, chosen: Path | None) -> RefusedFile:
        """Returns the list of the import that begins now.

        Args:
            home: The workspace.
            source: Name of the source.
            chosen: Where a user wants it instead of in the workspace; the list of an earlier
                import there is replaced.

        Raises:
            CarpalError: As `replace_earlier`.
        """
        if chosen is None:
            return cls(imports_file(home, source, "refused"))
        listed = cls(chosen)
        listed.replace_earlier()
        return listed

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
