"""The table `labels.csv` of a dataset version, by columns and by radiograph."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from data.errors import VersionError
from data.versions.text import Row

CHUNK = 2**18
"""Bytes of text that are taken apart at a time."""

SAMPLE = 200
"""Cells that show whether a column holds the same ones again and again."""


class LabelTable:
    """A table whose lines are sorted by the radiograph's id, one line each.

    Columns are taken from the text without making a dictionary of every row: at 100,000 rows all
    of them together cost 0.1 s, and `find` looks at a few lines only.

    Attributes:
        text: The whole table, UTF-8.
        names: Its columns, in order.
    """

    def __init__(self, text: bytes) -> None:
        self.text = text
        head = text[: text.find(b"\n")] if b"\n" in text else text
        self.names = tuple(next(csv.reader([head.decode()]), []))
        self._count: int | None = None
        self._columns: Mapping[str, Sequence[str]] | None = None

    @classmethod
    def parse(cls, text: bytes | str) -> LabelTable:
        """Reads what `write_table` wrote.

        Raises:
            VersionError: It is not text, its head is no row, or it is cut off.
        """
        payload = text if isinstance(text, bytes) else text.encode()
        try:
            table = cls(payload)
        except UnicodeDecodeError as error:
            raise VersionError("The table is not written in UTF-8.") from error
        except csv.Error as error:
            raise VersionError(f"A line of the table is no row: {error}.") from error
        if payload and not payload.endswith(b"\n"):
            raise VersionError("The table is cut off: its last line has no end.")
        return table

    def __len__(self) -> int:
        if self._count is None:
            self._count = max(0, self.text.count(b"\n") - 1)
        return self._count

    def column(self, name: str) -> Sequence[str]:
        """Returns the cells of a column, in the order of the rows.

        Raises:
            KeyError: There is no such column.
            VersionError: A row is not UTF-8 text, or has too many or too few cells.
        """
        return self._all_columns()[name]

    def rows(self) -> list[Row]:
        """Returns all rows: column -> cell."""
        columns = self._all_columns()
        table = zip(*columns.values(), strict=True)
        return [dict(zip(columns, cells, strict=True)) for cells in table]

    def find(self, radiograph_id: str) -> Row | None:
        """Returns the row of a radiograph, or None."""
        start, end = self.line(radiograph_id)
        return self.row(self.text[start:end]) if end > start else None

    def row(self, line: bytes) -> Row:
        """Returns column -> cell of one line of this table."""
        cells = next(csv.reader([line.decode().removesuffix("\n")]))
        return dict(zip(self.names, cells, strict=True))

    def line(self, radiograph_id: str) -> tuple[int, int]:
        """Returns where the line of a radiograph begins and ends in the text.

        Where there is none, both are the place at which it would be put in.
        """
        text, key = self.text, radiograph_id.encode()
        low, high = text.find(b"\n") + 1, len(text)
        while low < high:
            start = text.rfind(b"\n", low, (low + high) // 2)
            start = low if start < 0 else start + 1
            end = text.index(b"\n", start) + 1
            here = text[start:end].partition(b",")[0]
            if here == key:
                return start, end
            low, high = (end, high) if here < key else (low, start)
        return low, low

    def _all_columns(self) -> Mapping[str, Sequence[str]]:
        if self._columns is None:
            columns: list[list[str]] = [[] for _ in self.names]
            shared: dict[str, str] = {}
            for cells in self._chunks():
                if len(cells) % len(columns):
                    raise VersionError("A row of the table has too many or too few cells.")
                for number, column in enumerate(columns):
                    part = cells[number :: len(columns)]
                    if len(set(part[:SAMPLE])) < SAMPLE // 4:
                        # The same few cells again and again: each is kept once.
                        part = list(map(shared.setdefault, part, part))
                    column += part
            self._columns = dict(zip(self.names, columns, strict=True))
        return self._columns

    def _chunks(self) -> Iterator[list[str]]:
        """Yields the cells of some rows at a time, so that little memory is used at once.

        Raises:
            VersionError: A line is not UTF-8 text, or no row.
        """
        quoted = b'"' in self.text
        start = self.text.find(b"\n") + 1
        while start < len(self.text):
            end = self.text.find(b"\n", min(start + CHUNK, len(self.text) - 1)) + 1
            try:
                chunk = self.text[start:end].decode()
                yield _quoted_cells(chunk) if quoted else chunk.replace("\n", ",").split(",")[:-1]
            except UnicodeDecodeError as error:
                raise VersionError("The table is not written in UTF-8.") from error
            except csv.Error as error:
                raise VersionError(f"A line of the table is no row: {error}.") from error
            start = end


def _quoted_cells(chunk: str) -> list[str]:
    return list(chain.from_iterable(csv.reader(chunk.split("\n")[:-1])))
