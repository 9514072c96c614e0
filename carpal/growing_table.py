"""A CSV file that grows while something runs, so that a kill leaves what was written until then."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from data.atomic import storage_error
from data.errors import InvalidInputError, NotFoundError


class GrowingTable:
    """Is made with its first row; each row is in the file before the next thing is looked at.

    Attributes:
        path: Where it is written; must not exist yet.
        columns: Names of the columns.
        holds: What it is, in words: `list of refused items`.
        rows: Rows so far.
    """

    holds = "list"

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = tuple(columns)
        self.rows = 0
        self._file: TextIO | None = None

    def replace_earlier(self) -> None:
        """Removes the same list of an earlier run, so that this one can take its place.

        Raises:
            NotFoundError: Its folder does not exist.
            InvalidInputError: There is a file that is no such list, which is left alone.
            StorageError: The earlier list cannot be read or removed.
        """
        try:
            if not self.path.parent.is_dir():
                raise NotFoundError(f"There is no folder {self.path.parent} for the {self.holds}.")
            if self.path.exists() and not self.is_there():
                raise InvalidInputError(
                    f"{self.path} exists and is no {self.holds}: choose another name."
                )
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, self.path) from error

    def is_there(self) -> bool:
        """Says whether its path is that of a file with these columns.

        Raises:
            OSError: The file cannot be read.
        """
        if not self.path.is_file():
            return False
        header = ",".join(self.columns).encode()
        with self.path.open("rb") as file:
            return file.readline(len(header) + 2).strip() == header

    def write(self, cells: Sequence[str]) -> None:
        """Writes one row.

        Raises:
            StorageError: The disk is full or the folder cannot be written.
        """
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = open_table(self.path)
                csv.writer(self._file).writerow(self.columns)
            csv.writer(self._file).writerow(cells)
            self._file.flush()
        except OSError as error:
            raise storage_error(error, self.path) from error
        self.rows += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()


def open_table(path: Path) -> TextIO:
    """Opens a new CSV file; a name that is no UTF-8 is written escaped rather than not at all.

    Raises:
        OSError: The file exists, or cannot be made.
    """
    return path.open("x", encoding="utf-8", errors="backslashreplace", newline="")
