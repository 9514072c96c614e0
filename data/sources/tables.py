"""Tables as people, spreadsheets and archives write them: CSV in its many forms."""

from __future__ import annotations

import codecs
import csv
import io
import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from data.errors import InvalidInputError, NotFoundError
from data.sources.files import IMAGE_SUFFIXES, printable, status_of

MAX_TABLE_BYTES = 256 * 1024 * 1024
"""Bounds the memory that a table takes; a row of 100 bytes for 2.5 million radiographs."""
DELIMITERS = (",", ";", "\t")
WORKBOOKS = {b"PK\x03\x04": "xlsx", b"\xd0\xcf\x11\xe0": "xls"}
"""First bytes of spreadsheet files, which are often handed over for a CSV file."""
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row below the header.

    Attributes:
        place: `<file>, line <number>`, the first line being 1.
        cells: Column as `column_key` spells it -> cell without surrounding blanks.
        problem: Why the row cannot be read; empty if it can.
    """

    place: str
    cells: Mapping[str, str]
    problem: str = ""

    def cell(self, column: str) -> str:
        """Returns a cell by its column's key; empty where the row or the column is missing."""
        return self.cells.get(column, "")


@dataclass(frozen=True, slots=True)
class Table:
    """A table that was read.

    Attributes:
        path: The file.
        columns: Names as they are written.
        rows: In the order of the file, without empty ones.
        decimal_comma: Its cells are not separated by commas, so `12,5` is a number.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    decimal_comma: bool

    def column(self, *spellings: str) -> str:
        """Returns the key of the first of these columns that there is, or an empty text.

        Raises:
            InvalidInputError: That column is there twice.
        """
        counts = Counter(column_key(name) for name in self.columns)
        for spelling in spellings:
            key = column_key(spelling)
            if counts[key] > 1:
                raise InvalidInputError(f"{self.path.name} has the column {spelling} twice.")
            if key in counts:
                return key
        return ""

    def required(self, what: str, *spellings: str) -> str:
        """Returns the key of the first of these columns that there is.

        Raises:
            InvalidInputError: There is none; the sentence lists the columns that there are.
        """
        found = self.column(*spellings)
        if not found:
            raise InvalidInputError(
                f"{printable(self.path.name)} has no column {spellings[0]} ({what}); "
                f"its columns are {', '.join(self.columns)}."
            )
        return found


def column_key(name: str) -> str:
    """Returns the one spelling of a column's name: `Bone_Age`, `bone age` are the same."""
    return " ".join(re.split(r"[\s_-]+", name.strip().casefold())).strip()


def read_table(path: Path) -> Table:
    """Reads a table: comma, semicolon or tab; UTF-8, UTF-16 with its mark, or Windows-1252.

    A first row that names an image is no header: the columns are called 1, 2, 3, ... then. Rows
    that cannot be read have a `problem`; the rest is read.

    Raises:
        NotFoundError: There is no such file.
        InvalidInputError: It is no such table; the sentence says what it is instead.
    """
    lines = io.StringIO(_text(path), newline="").readlines()
    delimiter = _delimiter(lines[0] if lines else "")
    records = _records(lines, delimiter)
    first = next(records, None)
    if first is None or first[2] or not any(first[1]):
        raise InvalidInputError(f"{printable(path.name)} is empty or has no header.")
    columns = tuple(cell.strip() for cell in first[1])
    if any(Path(cell).suffix.lower() in IMAGE_SUFFIXES for cell in columns):
        columns = tuple(str(number) for number in range(1, len(columns) + 1))
        records = _records(lines, delimiter)
    keys = [column_key(name) for name in columns]
    rows = tuple(
        _row(f"{printable(path.name)}, line {line}", keys, cells, problem)
        for line, cells, problem in records
        if problem or any(cell.strip() for cell in cells)
    )
    return Table(path, columns, rows, decimal_comma=delimiter != ",")


def _text(path: Path) -> str:
    name = printable(str(path))
    status = status_of(path)
    if status is None:
        raise NotFoundError(f"There is no table {name}.")
    if not stat.S_ISREG(status.st_mode):
        raise InvalidInputError(f"{name} is no file.")
    if status.st_size > MAX_TABLE_BYTES:
        limit = MAX_TABLE_BYTES // 2**20
        raise InvalidInputError(f"{name} is larger than the {limit} MiB that are read.")
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{name} cannot be read: {error.strerror}.") from error
    kind = WORKBOOKS.get(payload[:4])
    if kind:
        raise InvalidInputError(f"{name} is a workbook ({kind}): save the sheet as CSV first.")
    text = _decoded(payload)
    if text is None or "\0" in text.partition("\n")[0]:
        raise InvalidInputError(f"{name} is no text table in UTF-8, UTF-16 or Windows-1252.")
    return text


def _decoded(payload: bytes) -> str | None:
    encodings = ("utf-16",) if payload.startswith(UTF16) else ("utf-8-sig", "cp1252")
    for encoding in encodings:
        try:
            return payload.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def _delimiter(header: str) -> str:
    return max(DELIMITERS, key=header.count)


def _records(lines: list[str], delimiter: str) -> Iterator[tuple[int, list[str], str]]:
    """Yields (line, cells, problem); after a line that cannot be read it goes on with the next."""
    start = 0
    while start < len(lines):
        rest = (lines[number] for number in range(start, len(lines)))
        reader = csv.reader(rest, delimiter=delimiter, strict=True)
        begun = start
        try:
            for cells in reader:
                yield begun + 1, cells, ""
                begun = start + reader.line_num
            return
        except csv.Error as error:
            yield begun + 1, [], f"the row cannot be read ({error}; is a quote left open?)."
        start = begun + 1


def _row(place: str, keys: list[str], cells: list[str], problem: str) -> TableRow:
    cells = [cell.strip() for cell in cells]
    if any(cells[len(keys) :]):
        problem = f"the row has {len(cells)} cells, but there are {len(keys)} columns."
    if any("\0" in cell for cell in cells):
        problem = "the row holds NUL bytes."
    named: dict[str, str] = {}
    for key, cell in zip(keys, cells, strict=False):
        named.setdefault(key, cell)
    return TableRow(place, named, problem)
