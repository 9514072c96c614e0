"""The RSNA Pediatric Bone Age Challenge 2017."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from data.errors import InvalidInputError, NotFoundError
from data.sources.files import images_below
from data.sources.item import SourceItem, refused
from data.sources.known_targets import AGE, SEX
from data.sources.tables import read_table
from data.values import parse_value

_RSNA_NUMBER = ("id", "image id", "case id")
_RSNA_AGE = ("boneage", "bone age (months)")
_RSNA_SEX = {
    **dict.fromkeys(("true", "1", "m", "male"), "male"),
    **dict.fromkeys(("false", "0", "f", "female"), "female"),
}


@dataclass(frozen=True, slots=True)
class _RsnaRow:
    """One row of a table of the challenge, as text, and where it stands."""

    place: str
    number: str
    age: str
    male: str


def read_rsna(folder: Path, limit: int | None = None, seed: int = 0) -> Iterator[SourceItem]:
    """Yields the radiographs of the RSNA Pediatric Bone Age Challenge 2017.

    Reads every table in `folder` that has the columns of the challenge, as Kaggle
    (`id,boneage,male`) or the RSNA (`Image ID,male,Bone Age (months)`) spell them, and finds the
    images anywhere below. The challenge has no patient numbers: one radiograph is one patient.

    Args:
        folder: Where the challenge was unpacked.
        limit: Yield only so many, drawn at random from those that can be delivered.
        seed: Decides which ones `limit` draws.

    Raises:
        NotFoundError: There is no table with these columns.
    """
    images: dict[str, Path] = {}
    for path in images_below(folder):
        images.setdefault(path.stem, path)
    items: dict[str, SourceItem] = {}
    left_out: list[SourceItem] = []
    for row in _rsna_rows(folder):
        item = _rsna_item(row, images)
        if item.name in items:
            item = refused(item.name, f"{row.place}: {row.number} has a row already.")
        if item.problem:
            left_out.append(item)
        else:
            items[item.name] = item
    chosen = list(items.values())
    if limit is not None and limit < len(chosen):
        chosen = random.Random(seed).sample(chosen, limit)
    yield from chosen
    yield from left_out


def _rsna_rows(folder: Path) -> Iterator[_RsnaRow]:
    found = False
    for path in sorted(folder.glob("*.csv")):
        rows = read_table(path)
        columns = rows[0] if rows else {}
        number = next((name for name in _RSNA_NUMBER if name in columns), "")
        age = next((name for name in _RSNA_AGE if name in columns), "")
        if number and age and "male" in columns:
            found = True
            for line, row in enumerate(rows, start=2):
                if any(row.values()):
                    place = f"{path.name}, line {line}"
                    cells = (row.get(name, "") for name in (number, age, "male"))
                    yield _RsnaRow(place, *cells)
    if not found:
        raise NotFoundError(
            f"{folder} holds no table of the RSNA challenge (columns id, boneage, male)."
        )


def _rsna_item(row: _RsnaRow, images: Mapping[str, Path]) -> SourceItem:
    name = f"rsna-{row.number}" if row.number else row.place
    if row.number not in images:
        return refused(name, f"{row.place}: there is no image {row.number}.png or .jpg.")
    if row.male.lower() not in _RSNA_SEX:
        return refused(name, f"{row.place}: male is {row.male!r}, but must be True or False.")
    try:
        age = parse_value(AGE, row.age)
    except InvalidInputError as error:
        return refused(name, f"{row.place}: {error}")
    values = {AGE.name: age, SEX.name: _RSNA_SEX[row.male.lower()]}
    return SourceItem(name, images[row.number], name, values)
