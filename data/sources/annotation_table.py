"""An annotation table of bone-age research code: image_ID, dir, patient_ID, sex, bone_age."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from data.domain import Split, Target
from data.errors import CarpalError, InvalidInputError, NotFoundError
from data.sources.cells import Columns, ValueReader
from data.sources.files import FoundFile, files_below
from data.sources.image_index import ImageIndex, inner_path
from data.sources.item import SourceItem, refused, refused_row
from data.sources.known_targets import AGE
from data.sources.split_file import read_splits
from data.sources.tables import Table, TableRow, read_table

BONE_AGE = "bone_age"
"""What the age is called in these tables."""
SHOWN = 3
"""Dirs that a sentence names."""


@dataclass(frozen=True, slots=True)
class AnnotationFiles:
    """What belongs to an annotation table.

    Attributes:
        images: Folder that holds the dirs of the table.
        splits: Table with the publisher's splits, or None.
        split_column: Its column; see `read_splits`.
        separate_dirs: The same patient_ID in two dirs names two people.
        columns: Columns, spellings and unit of the targets, where they differ.
    """

    images: Path
    splits: Path | None = None
    split_column: str = ""
    separate_dirs: bool = False
    columns: Columns = field(default_factory=Columns)


@dataclass(frozen=True, slots=True)
class _Keys:
    image: str
    folder: str
    patient: str
    values: ValueReader


def read_annotation_table(
    path: Path, how: AnnotationFiles, targets: Sequence[Target]
) -> Iterator[SourceItem]:
    """Yields the image of every row, in the order of the table, then rows that are refused.

    Images that no row names are left out; what could not be looked at is refused. The same
    patient_ID is the same person in all dirs, unless told otherwise: two people who are taken for
    one only share a split. With a split file a new patient gets the publisher's split (val:
    calibration); a patient whom it puts in two splits is refused.

    Args:
        path: CSV with the columns image_ID, dir (may lack), patient_ID and those of the targets;
            `bone_age` is months of bone age.
        how: The images, the splits and what differs.
        targets: The targets whose columns are read; empty cells mean unknown.

    Raises:
        NotFoundError: A file or the folder does not exist.
        InvalidInputError: A table lacks a column or cannot be read.
    """
    table = read_table(path)
    keys = _keys(table, how, targets)
    splits = read_splits(how.splits, how.split_column) if how.splits else None
    files = list(files_below(how.images))
    _require_dirs(table, keys, files, how.images)
    index = ImageIndex(files)
    dirs = _dirs_of_patients(table, keys, how.separate_dirs)
    seen: dict[str, str] = {}
    left_out: list[SourceItem] = []
    for row in table.rows:
        try:
            file = _image(row, keys, index, seen)
            person = _person(row, keys, how.separate_dirs)
            split = splits.split_of(row.cell(keys.patient), dirs[person]) if splits else None
            item = _item(row, file, person, keys, split)
        except CarpalError as error:
            left_out.append(refused_row(row.cell(keys.image), row.place, str(error)))
        else:
            yield item
    yield from left_out
    yield from (refused(f.name, f.problem) for f in files if f.problem and f.name not in seen)


def _keys(table: Table, how: AnnotationFiles, targets: Sequence[Target]) -> _Keys:
    columns = how.columns
    if any(target.name == AGE.name for target in targets) and AGE.name not in columns.targets:
        own = AGE.name if table.column(AGE.name) else BONE_AGE
        columns = replace(columns, targets={**columns.targets, AGE.name: own})
    return _Keys(
        table.required("the image of a row", "image_ID"),
        table.column("dir"),
        table.required("the patient", "patient_ID"),
        ValueReader.of_table(table, targets, columns),
    )


def _require_dirs(table: Table, keys: _Keys, files: Sequence[FoundFile], images: Path) -> None:
    """Raises if no dir of the table is there, rather than refusing every row."""
    dirs = {row.cell(keys.folder) for row in table.rows} - {""}
    if dirs and not any(file.name.startswith(tuple(f"{name}/" for name in dirs)) for file in files):
        raise NotFoundError(
            f"{images} holds no images in {' or '.join(sorted(dirs)[:SHOWN])}, the dirs of "
            f"{table.path.name}: --images must name the folder that holds them."
        )


def _dirs_of_patients(table: Table, keys: _Keys, separate: bool) -> Mapping[str, set[str]]:
    dirs: dict[str, set[str]] = defaultdict(set)
    for row in table.rows:
        dirs[_person(row, keys, separate)].add(row.cell(keys.folder))
    return dirs


def _person(row: TableRow, keys: _Keys, separate: bool) -> str:
    patient = row.cell(keys.patient)
    return f"{row.cell(keys.folder)}/{patient}" if separate else patient


def _image(row: TableRow, keys: _Keys, index: ImageIndex, seen: dict[str, str]) -> FoundFile:
    """Returns the image of a row, and notes in `seen` that it has one."""
    if row.problem:
        raise InvalidInputError(row.problem)
    image = inner_path(row.cell(keys.image))
    folder = row.cell(keys.folder)
    file = index.find(f"{inner_path(folder)}/{image}" if folder else image, whole_path=bool(folder))
    if file.name in seen:
        raise InvalidInputError(f"{file.name} has a row already ({seen[file.name]}).")
    seen[file.name] = row.place
    if file.problem:
        raise InvalidInputError(f"{file.name}: {file.problem}")
    if not row.cell(keys.patient):
        raise InvalidInputError("the row names no patient, so it is not known whose image it is.")
    return file


def _item(
    row: TableRow, file: FoundFile, person: str, keys: _Keys, split: Split | None
) -> SourceItem:
    values = keys.values.values(row)
    return SourceItem(file.name, file.path, person, values, stamp=file.stamp, split=split)
