"""Any folder of images, with or without a table."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from data.domain import Target
from data.errors import CarpalError, InvalidInputError, NotFoundError
from data.sources.cells import Columns, ValueReader
from data.sources.files import FoundFile, files_below, status_of
from data.sources.image_index import ImageIndex
from data.sources.item import SourceItem, refused, refused_row
from data.sources.tables import Table, TableRow, read_table

TABLE = "labels.csv"
"""Read if no other table is named and it has a column of files."""
FILE_COLUMNS = ("file", "filename", "file name", "image", "image id", "path")
PATIENT_COLUMNS = ("patient", "patient id")


@dataclass(frozen=True, slots=True)
class FolderTable:
    """Which table belongs to a folder of images, and how it is read.

    Attributes:
        path: CSV file; None: `labels.csv` in the folder, if it names files.
        file_column: Column with the image's path or name; empty: one of `FILE_COLUMNS`.
        patient_column: Column with the patient; empty: one of `PATIENT_COLUMNS`, if there is one.
        columns: Columns, spellings and unit of the targets.
    """

    path: Path | None = None
    file_column: str = ""
    patient_column: str = ""
    columns: Columns = field(default_factory=Columns)


@dataclass(frozen=True, slots=True)
class _Keys:
    file: str
    patient: str
    values: ValueReader


def read_folder(
    folder: Path, table: Path | FolderTable | None = None, targets: Sequence[Target] = ()
) -> Iterator[SourceItem]:
    """Yields every image below a folder, in alphabetical order, then what cannot be delivered.

    Without a column of patients each image is a patient of its own: images of one person must be
    told by the table, or they may end up in different splits. With such a column, an image
    without a patient is refused for the same reason.

    Args:
        folder: Looked through at any depth; hidden files and folders are left out.
        table: What is known of the images; rows and images are matched by path or file name.
        targets: The targets whose columns are read; empty cells mean unknown.

    Raises:
        NotFoundError: The folder or the table does not exist.
        InvalidInputError: The folder cannot be read, or the table lacks a column.
    """
    how = table if isinstance(table, FolderTable) else FolderTable(table)
    files = list(files_below(folder))
    read = _table(folder, how)
    if read is None:
        if how != FolderTable():
            raise NotFoundError(
                f"{folder} has no {TABLE} to read columns from: name a table with --table."
            )
        yield from (_without_table(file) for file in files)
        return
    keys = _keys(read, how, targets)
    index = ImageIndex(files)
    rows: dict[str, TableRow] = {}
    left_out: list[SourceItem] = []
    for row in read.rows:
        problem = _claim(row, keys, index, rows)
        if problem:
            left_out.append(refused_row(row.cell(keys.file), row.place, problem))
    for file in files:
        yield _item(file, rows.get(file.name), keys, read.path.name)
    yield from left_out


def _table(folder: Path, how: FolderTable) -> Table | None:
    if how.path is not None:
        return read_table(how.path)
    own = folder / TABLE
    status = status_of(own)
    if status is None or not stat.S_ISREG(status.st_mode):
        return None
    read = read_table(own)
    return read if how != FolderTable() or read.column(*FILE_COLUMNS) else None


def _keys(table: Table, how: FolderTable, targets: Sequence[Target]) -> _Keys:
    files = (how.file_column,) if how.file_column else FILE_COLUMNS
    file = table.required("which image a row is about", *files)
    if how.patient_column:
        patient = table.required("the patient", how.patient_column)
    else:
        patient = table.column(*PATIENT_COLUMNS)
    return _Keys(file, patient, ValueReader.of_table(table, targets, how.columns))


def _claim(row: TableRow, keys: _Keys, index: ImageIndex, rows: dict[str, TableRow]) -> str:
    """Gives a row to its image; returns why it cannot be, or an empty text."""
    try:
        name = index.find(row.cell(keys.file)).name
    except CarpalError as error:
        return row.problem or str(error)
    if name in rows:
        return f"{name} has a row already ({rows[name].place})."
    rows[name] = row
    return ""


def _without_table(file: FoundFile) -> SourceItem:
    if file.problem:
        return refused(file.name, file.problem)
    return SourceItem(file.name, file.path, _own_patient(file), stamp=file.stamp)


def _item(file: FoundFile, row: TableRow | None, keys: _Keys, table: str) -> SourceItem:
    if file.problem:
        return refused(file.name, file.problem)
    if row and row.problem:
        return refused(file.name, f"{row.place}: {row.problem}")
    patient = row.cell(keys.patient) if row else ""
    if keys.patient and not patient:
        place = f"{row.place}: the row names no patient" if row else f"{table} has no row for it"
        return refused(file.name, f"{place}, so it is not known whose image it is.")
    try:
        values = keys.values.values(row) if row else {}
    except InvalidInputError as error:
        return refused(file.name, f"{row.place}: {error}" if row else str(error))
    return SourceItem(file.name, file.path, patient or _own_patient(file), values, stamp=file.stamp)


def _own_patient(file: FoundFile) -> str:
    return str(PurePosixPath(file.name).with_suffix(""))
