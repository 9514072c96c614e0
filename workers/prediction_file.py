"""The CSV file that predictions are written to as they come, and that a later run goes on from."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from data.atomic import storage_error, write_file
from data.errors import InvalidInputError
from trainer.answers.prediction_table import Row


class PredictionFile:
    """Grows by whole rows; whoever kills the process loses none that was written.

    Args:
        path: The CSV file; made with its folder where it is missing.
        columns: What it must begin with.

    Attributes:
        earlier: The rows that it held before, in their order.

    Raises:
        InvalidInputError: There is a file that is no such table; it is left as it is.
        StorageError: It cannot be read or written.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self._columns = tuple(columns)
        self._head = _line(self._columns)
        self._file: TextIO | None = None
        try:
            self.earlier = self._read() if path.exists() else []
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8", newline="")
            if self._file.tell() == 0:
                self._file.write(self._head)
                self._file.flush()
        except OSError as error:
            raise storage_error(error, path) from error

    def append(self, rows: Iterable[Row]) -> None:
        """Writes rows behind those that are there.

        Raises:
            StorageError: The disk is full or fails.
        """
        if self._file is None:
            raise ValueError("the file is closed")
        try:
            self._file.write("".join(self._line_of(row) for row in rows))
            self._file.flush()
        except OSError as error:
            raise storage_error(error, self.path) from error

    def replace(self, rows: Iterable[Row]) -> None:
        """Closes the file and puts these rows in the place of all that it holds, wholly or not.

        Raises:
            StorageError: The disk is full or fails.
        """
        self.close()
        content = self._head + "".join(self._line_of(row) for row in rows)
        write_file(self.path, content.encode())

    def close(self) -> None:
        """Ends the writing."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self) -> list[Row]:
        """Returns the rows, and cuts off one that was begun when a process was killed."""
        content = self.path.read_bytes()
        if content and not content.startswith(self._head.encode()):
            if self._head.encode().startswith(content):
                content = b""
            else:
                raise InvalidInputError(
                    f"{self.path} exists and is no table of such predictions: choose another name."
                )
        whole = content[: content.rfind(b"\n") + 1]
        with self.path.open("r+b") as file:
            file.truncate(len(whole))
        # No cell holds a line break, so a line is a row.
        lines = whole.decode(errors="replace").split("\n")[1:-1]
        cells = csv.reader(line.rstrip("\r") for line in lines)
        rows = [dict(zip(self._columns, row, strict=False)) for row in cells]
        return [row for row in rows if len(row) == len(self._columns)]

    def _line_of(self, row: Row) -> str:
        return _line([row[name] for name in self._columns])


def _line(cells: Sequence[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()
