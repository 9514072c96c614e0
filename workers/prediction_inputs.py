"""Which films somebody wants predicted: files, folders, or the rows of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data.domain import Target
from data.errors import InvalidInputError
from data.sources.cells import Columns, ValueReader
from data.sources.dicom_files import DICOM_SUFFIXES, DIRECTORY_FILE
from data.sources.files import IMAGE_SUFFIXES, files_below, printable
from data.sources.film_file import looks_like_dicom
from data.sources.tables import TableRow, read_table

PATH_COLUMNS = ("path", "file", "filename", "image")
ID_COLUMN = "id"

Known = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A film that is to be predicted.

    Attributes:
        id: What whoever asks calls it; not unique.
        path: The file, absolute.
        known: Input target -> value that is told the model, whatever the file says.
        problem: Why it cannot be predicted; empty if it can.
    """

    id: str
    path: Path
    known: Known = field(default_factory=dict)
    problem: str = ""

    @property
    def shown(self) -> str:
        """The path as it stands in the table."""
        return printable(str(self.path))


def wanted_paths(paths: Sequence[Path], known: Known, recursive: bool = True) -> list[Wanted]:
    """Returns the films of files and folders, each folder in the order of its files' names.

    In a folder, images and DICOM files of any name are taken and all else is left out; a file that
    is named itself is taken whatever it is.

    Args:
        paths: Files and folders.
        known: What the model is told of all of them.
        recursive: Look through the folders of a folder, too.

    Raises:
        InvalidInputError: A folder cannot be read.
    """
    return [film for path in paths for film in _below(path.absolute(), known, recursive)]


def wanted_rows(table: Path, target: Target | None, known: Known) -> list[Wanted]:
    """Returns the films of a table with the columns `path` and, if wanted, `id` and the input.

    Args:
        table: CSV file; its paths are relative to its folder.
        target: The input that the model may be told, read from the column of its name; None: none.
        known: What is told of rows whose cell is empty.

    Raises:
        NotFoundError: There is no such table.
        InvalidInputError: It is no table, or has no such column.
    """
    read = read_table(table)
    path = read.required("the file of the film", *PATH_COLUMNS)
    reader = ValueReader.of_table(read, () if target is None else (target,), Columns())
    folder, name = table.absolute().parent, read.column(ID_COLUMN)
    return [_of_row(row, folder, (path, name), reader, known) for row in read.rows]


def _below(path: Path, known: Known, recursive: bool) -> Iterator[Wanted]:
    if not path.is_dir():
        yield Wanted(_name(path), path, known)
        return
    for file in files_below(path, None):
        if "/" in file.name and not recursive:
            continue
        if _is_film(file.path):
            yield Wanted(_name(file.path), file.path, known, file.problem)


def _is_film(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES or suffix in DICOM_SUFFIXES:
        return True
    return path.name.upper() != DIRECTORY_FILE and path.is_file() and looks_like_dicom(path)


def _of_row(
    row: TableRow, folder: Path, keys: tuple[str, str], reader: ValueReader, known: Known
) -> Wanted:
    cell = row.cell(keys[0])
    path = folder / cell if cell else folder / row.place
    name = (row.cell(keys[1]) if keys[1] else "") or _name(path)
    problem = row.problem or ("" if cell else f"{row.place}: the row names no file.")
    try:
        own = {target: str(value) for target, value in reader.values(row).items()}
    except InvalidInputError as error:
        own, problem = {}, problem or f"{row.place}: {error}"
    return Wanted(name, path, {**known, **own}, problem)


def _name(path: Path) -> str:
    return printable(path.stem)
