"""The Digital Hand Atlas (Gertych et al., Comput Med Imaging Graph 2007; ipilab.usc.edu)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from statistics import mean

from data.domain import Value
from data.errors import CarpalError, InvalidInputError, NotFoundError
from data.sources.cells import NUMBER, SEX_COLUMNS, Unit, choice_of, number_of
from data.sources.files import TABLE_SUFFIXES, FoundFile, files_below
from data.sources.image_index import ImageIndex
from data.sources.item import SourceItem, refused, refused_row
from data.sources.known_targets import AGE, SEX
from data.sources.tables import Table, TableRow, column_key, read_table

GROUP = re.compile(r"(?:^|/)(?:ASI|BLK|CAU|HIS)(?P<sex>[FM])\d{2}/")
"""Folder of an image: race, sex, age group, as in `JPEGimages/ASIF/ASIF05/5262.jpg`."""
FILE_COLUMNS = ("image", "file", "image path", "image id", "path", "filename", "id", "number")
PATIENT_COLUMNS = ("patient id", "patient")
READING = re.compile(r"(reading|reader|radiologist|rater|bone ?age)(.*[ #(])?(1|2|a|b)\)?( .*)?")
"""Columns of the two radiologists, as `column_key` spells them: `reading 1`, `radiologist b`."""
UNITED = re.compile(r"bone ?age( \(?(years|months)\)?)?")
"""A column that unites their readings already."""
OLDEST_YEARS = 20.0
"""The atlas ends at 18 years: a table with more is in months."""


@dataclass(frozen=True, slots=True)
class AtlasTable:
    """Which table belongs to the atlas, and how it is read.

    Attributes:
        path: CSV file; None: the one below the folder that has columns of readings.
        file_column: Column with the image's number or path; empty: one of `FILE_COLUMNS`.
        readings: Columns with the readings; empty: those that `READING` fits.
        unit: Of the readings; None: years, as in the atlas, unless that is impossible.
    """

    path: Path | None = None
    file_column: str = ""
    readings: Sequence[str] = ()
    unit: Unit | None = None


@dataclass(frozen=True, slots=True)
class _Keys:
    file: str
    patient: str
    sex: str
    readings: tuple[str, ...]
    unit: Unit


def read_dha(folder: Path, how: AtlasTable | None = None) -> Iterator[SourceItem]:
    """Yields the images of the atlas, then what cannot be delivered.

    The sex is the table's, or else the folder's (`ASIF05`: female). The bone age is the mean of
    the two radiologists' readings, or the only reading. The chronological age is never used: it
    is what the atlas compares the bone age with. An image without a reading has no age.

    Args:
        folder: Where the atlas was unpacked.
        how: The table with the readings; None: found by its columns, if there is one.

    Raises:
        NotFoundError: There is no folder, or neither a folder of the atlas nor a table in it.
        InvalidInputError: The table lacks a column or has ages in another unit.
    """
    how = how or AtlasTable()
    files = list(files_below(folder))
    left_out: list[SourceItem] = []
    table = read_table(how.path) if how.path else _table_below(folder, how, left_out)
    if table is None and not any(GROUP.search(file.name) for file in files):
        raise NotFoundError(
            f"{folder} holds no folders of the Digital Hand Atlas, such as ASIF05, and no table "
            "with the readings of its radiologists."
        )
    rows: dict[str, SourceItem] = {}
    if table is not None:
        _read_rows(table, how, ImageIndex(files), rows, left_out)
    for file in files:
        yield rows.get(file.name) or _without_row(file)
    yield from left_out


def _table_below(folder: Path, how: AtlasTable, left_out: list[SourceItem]) -> Table | None:
    """Returns the first table below the folder that has readings; broken ones are left out."""
    for file in files_below(folder, TABLE_SUFFIXES):
        try:
            if file.problem:
                raise InvalidInputError(file.problem)
            table = read_table(file.path)
            if _readings(table, how) and table.column(how.file_column, *FILE_COLUMNS):
                return table
        except CarpalError as error:
            left_out.append(refused(file.name, str(error)))
    return None


def _readings(table: Table, how: AtlasTable) -> tuple[str, ...]:
    if how.readings:
        return tuple(table.required("a reading", name) for name in how.readings)
    keys = [column_key(name) for name in table.columns]
    pair = tuple(key for key in keys if READING.fullmatch(key))
    return pair or tuple(key for key in keys if UNITED.fullmatch(key))[:1]


def _keys(table: Table, how: AtlasTable) -> _Keys:
    files = (how.file_column,) if how.file_column else FILE_COLUMNS
    readings = _readings(table, how)
    if not readings:
        table.required("the reading of a radiologist", "reading 1")
    return _Keys(
        table.required("which image a row is about", *files),
        table.column(*PATIENT_COLUMNS),
        table.column(*SEX_COLUMNS),
        readings,
        how.unit or _unit(table, readings),
    )


def _unit(table: Table, readings: Sequence[str]) -> Unit:
    """Returns what the columns are named after, or years, and raises where it cannot be years."""
    if all("month" in key for key in readings):
        return "months"
    cells = (row.cell(key).replace(",", ".") for row in table.rows for key in readings)
    oldest = max((float(cell) for cell in cells if NUMBER.fullmatch(cell)), default=0.0)
    if oldest > OLDEST_YEARS:
        raise InvalidInputError(
            f"The readings in {table.path.name} go up to {oldest:g}, but the atlas has years up to "
            "18: say --unit months if they are months."
        )
    return "years"


def _read_rows(
    table: Table,
    how: AtlasTable,
    index: ImageIndex,
    rows: dict[str, SourceItem],
    left_out: list[SourceItem],
) -> None:
    keys = _keys(table, how)
    for row in table.rows:
        try:
            if row.problem:
                raise InvalidInputError(row.problem)
            file = index.find(row.cell(keys.file))
            if file.name in rows:
                raise InvalidInputError(f"{file.name} has a row already.")
            rows[file.name] = _item(file, row, keys, table.decimal_comma)
        except CarpalError as error:
            left_out.append(refused_row(row.cell(keys.file), row.place, str(error)))


def _item(file: FoundFile, row: TableRow, keys: _Keys, decimal_comma: bool) -> SourceItem:
    """Returns the item, refused where the row says what cannot be."""
    if file.problem:
        return refused(file.name, file.problem)
    try:
        values = _sex(file, row, keys.sex)
        ages = [
            float(number_of(AGE, cell, keys.unit, decimal_comma=decimal_comma))
            for key in keys.readings
            if (cell := row.cell(key))
        ]
    except InvalidInputError as error:
        return refused(file.name, f"{row.place}: {error}")
    if ages:
        values[AGE.name] = round(mean(ages), 6)
    patient = row.cell(keys.patient) or PurePosixPath(file.name).stem
    return SourceItem(file.name, file.path, f"dha-{patient}", values, stamp=file.stamp)


def _sex(file: FoundFile, row: TableRow, key: str) -> dict[str, Value]:
    """Returns the sex that folder and row agree on, if they say one."""
    group = GROUP.search(file.name)
    of_folder = choice_of(SEX, "sex", group["sex"]) if group else ""
    said = row.cell(key)
    sex = choice_of(SEX, key, said) if said else of_folder
    if sex and sex not in SEX.choices:
        raise InvalidInputError(f"{key} is {said!r}, but must be M or F.")
    if of_folder and sex != of_folder:
        raise InvalidInputError(f"{key} is {said!r}, but the image lies with {of_folder} ones.")
    return {SEX.name: sex} if sex else {}


def _without_row(file: FoundFile) -> SourceItem:
    if file.problem:
        return refused(file.name, file.problem)
    values = _sex(file, TableRow("", {}), "")
    patient = PurePosixPath(file.name).stem
    return SourceItem(file.name, file.path, f"dha-{patient}", values, stamp=file.stamp)
