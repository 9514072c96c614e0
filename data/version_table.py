"""The table `labels.csv` of a dataset version, by columns and by radiograph."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import chain

from data.errors import VersionError
from data.version_text import Row


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
        head, _, _ = text.partition(b"\n")
        self.names = tuple(next(csv.reader([head.decode()]), []))
        self._count = max(0, text.count(b"\n") - 1)
        self._cells: Sequence[str] | None = None
        self._columns: dict[str, Sequence[str]] = {}

    @classmethod
    def parse(cls, text: bytes | str) -> LabelTable:
        """Reads what `write_table` wrote.

        Raises:
            VersionError: It is not text, or a cell holds a line feed.
        """
        payload = text if isinstance(text, bytes) else text.encode()
        try:
            table = cls(payload)
        except UnicodeDecodeError as error:
            raise VersionError("The table is not written in UTF-8.") from error
        if payload and not payload.endswith(b"\n"):
            raise VersionError("The table is cut off: its last line has no end.")
        return table

    def __len__(self) -> int:
        return self._count

    def column(self, name: str) -> Sequence[str]:
        """Returns the cells of a column, in the order of the rows.

        Raises:
            KeyError: There is no such column.
            VersionError: A row has more or fewer cells than there are columns.
        """
        if name not in self.names:
            raise KeyError(name)
        if name not in self._columns:
            cells = self._all_cells()
            self._columns[name] = cells[self.names.index(name) :: len(self.names)]
        return self._columns[name]

    def rows(self) -> list[Row]:
        """Returns all rows: column -> cell."""
        cells, count = self._all_cells(), len(self.names)
        starts = range(0, len(cells), count or 1)
        return [
            dict(zip(self.names, cells[start : start + count], strict=True)) for start in starts
        ]

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

    def _all_cells(self) -> Sequence[str]:
        if self._cells is None:
            self._cells = self._quoted_cells() if b'"' in self.text else self._plain_cells()
            if len(self._cells) != len(self) * len(self.names):
                raise VersionError("A row of the table has too many or too few cells.")
        return self._cells

    def _plain_cells(self) -> list[str]:
        body = self.text.partition(b"\n")[2].decode()
        return body.replace("\n", ",").split(",")[:-1]

    def _quoted_cells(self) -> list[str]:
        return list(chain.from_iterable(csv.reader(self._lines())))

    def _lines(self) -> Iterator[str]:
        return iter(self.text.decode().split("\n")[1:-1])
