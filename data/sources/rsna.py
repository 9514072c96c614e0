"""The RSNA Pediatric Bone Age Challenge 2017, as Kaggle and the RSNA publish it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.domain import Value
from data.errors import CarpalError, InvalidInputError, NotFoundError
from data.sources.cells import choice_of, number_of
from data.sources.files import TABLE_SUFFIXES, FoundFile, files_below
from data.sources.image_index import ImageIndex, inner_path, only_one
from data.sources.item import SourceItem, refused, refused_row
from data.sources.known_targets import AGE, SEX
from data.sources.tables import Table, TableRow, read_table
from data.values import parse_value

ROLES = ("train", "val", "test")
"""Parts of the challenge, as words in names of folders and tables begin."""
ROLE = re.compile(r"(?<![a-z])(train|val|test)|(Train|Val|Test)")
NUMBERS = {"id": "train", "image id": "val", "case id": "test"}
"""Column of the image number -> part of the challenge that calls it so."""
AGES = ("boneage", "bone age (months)", "ground truth bone age (months)")
SEXES = ("male", "sex")


@dataclass(frozen=True, slots=True)
class _RsnaTable:
    """One table of the challenge: its part and the keys of its columns.

    Attributes:
        table: The rows.
        role: One of `ROLES`.
        number: Column of the image number.
        sex: Column of the sex.
        age: Column of the bone age, empty in the test table without ground truth.
    """

    table: Table
    role: str
    number: str
    sex: str
    age: str


def read_rsna(folder: Path, limit: int | None = None, seed: int = 0) -> Iterator[SourceItem]:
    """Yields the radiographs of the challenge, then what cannot be delivered.

    Reads every table with the challenge's columns: `id,boneage,male` (training), `Image ID,male,
    Bone Age (months)` (validation), `Case ID,Sex` with or without `Ground truth bone age (months)`
    (test). Tables and images may lie anywhere below the folder; a row never gets an image from a
    folder that is named after another part. The challenge has no patient numbers: one radiograph
    is one patient.

    Args:
        folder: Where the challenge was unpacked.
        limit: Yield only so many, drawn at random from those that can be delivered.
        seed: Decides which ones `limit` draws.

    Raises:
        NotFoundError: There is no folder, or no table with these columns in it.
        InvalidInputError: The folder cannot be read.
    """
    files = list(files_below(folder))
    left_out: list[SourceItem] = []
    tables = _tables(folder, left_out)
    index = ImageIndex(files)
    items: dict[str, SourceItem] = {}
    seen: dict[str, str] = {}
    for table in tables:
        for row in table.table.rows:
            item = _item(row, table, index, items, seen)
            if item.problem:
                left_out.append(item)
            else:
                items[item.name] = item
    left_out += [refused(f.name, f.problem) for f in files if f.problem and f.name not in seen]
    chosen = list(items.values())
    if limit is not None and limit < len(chosen):
        chosen = random.Random(seed).sample(chosen, limit)
    yield from chosen
    yield from left_out


def _tables(folder: Path, left_out: list[SourceItem]) -> Sequence[_RsnaTable]:
    """Returns the challenge's tables by part; tables that cannot be read are left out."""
    found: list[_RsnaTable] = []
    broken: list[str] = []
    for file in files_below(folder, TABLE_SUFFIXES):
        if file.problem:
            left_out.append(refused(file.name, file.problem))
            continue
        try:
            table = _rsna_table(file)
        except CarpalError as error:
            broken.append(str(error))
            left_out.append(refused(file.name, str(error)))
        else:
            found += [table] if table else []
    if not found:
        raise NotFoundError(
            f"{folder} holds no table of the RSNA challenge (columns id, boneage, male)."
            + "".join(f" {reason}" for reason in broken[:1])
        )
    return sorted(found, key=lambda table: ROLES.index(table.role))


def _rsna_table(file: FoundFile) -> _RsnaTable | None:
    table = read_table(file.path)
    number, sex, age = table.column(*NUMBERS), table.column(*SEXES), table.column(*AGES)
    if not number or not sex or not (age or number == "case id"):
        return None
    return _RsnaTable(table, _role(file.path.name) or NUMBERS[number], number, sex, age)


def _role(name: str) -> str:
    """Returns the part that a path speaks of, or an empty text; the last word counts."""
    words = [match.group().casefold() for match in ROLE.finditer(name)]
    return words[-1] if words else ""


def _item(
    row: TableRow,
    table: _RsnaTable,
    index: ImageIndex,
    items: dict[str, SourceItem],
    seen: dict[str, str],
) -> SourceItem:
    number = row.cell(table.number)
    name = f"rsna-{number}" if number else ""
    if row.problem:
        return refused_row(name, row.place, row.problem)
    try:
        file = _image(number, table.role, index)
        if file.name in seen:
            raise InvalidInputError(f"{number} has a row already ({seen[file.name]}).")
        seen[file.name] = row.place
        if file.problem:
            raise InvalidInputError(f"{file.name}: {file.problem}")
        values = _values(row, table)
    except CarpalError as error:
        return refused_row(name, row.place, str(error))
    if name in items:  # The same number in two parts is not the same child.
        name = f"rsna-{table.role}-{number}"
    return SourceItem(name, file.path, name, values, stamp=file.stamp)


def _image(number: str, role: str, index: ImageIndex) -> FoundFile:
    """Returns the image of that number, of this part if it is there in several."""
    path = inner_path(number)
    found = index.candidates(path)
    own = [file for file in found if _role(file.name) == role]
    fitting = own or [file for file in found if not _role(file.name)]
    if not fitting and found:
        raise NotFoundError(f"there is an image {number} only in {found[0].name}: another part.")
    if not fitting:
        raise NotFoundError(f"there is no image {number}.png or .jpg.")
    return only_one(number, fitting)


def _values(row: TableRow, table: _RsnaTable) -> dict[str, Value]:
    said = row.cell(table.sex)
    sex = choice_of(SEX, table.sex, said)
    if sex not in SEX.choices:
        wanted = "True or False" if table.sex == "male" else "M or F"
        raise InvalidInputError(f"{table.sex} is {said!r}, but must be {wanted}.")
    values: dict[str, Value] = {SEX.name: parse_value(SEX, sex)}
    if table.age:
        decimal_comma = table.table.decimal_comma
        values[AGE.name] = number_of(AGE, row.cell(table.age), decimal_comma=decimal_comma)
    return values
