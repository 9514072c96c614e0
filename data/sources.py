"""Where radiographs come from: a reader for each layout that is found on disk.

A source yields what it finds and judges nothing: a row that it cannot deliver is yielded with the
reason, so that an import can report it and go on.
"""

from __future__ import annotations

import csv
import io
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data.domain import Target, Value
from data.errors import InvalidInputError, NotFoundError
from data.images import encode_png
from data.phantoms import draw_phantoms
from data.values import parse_value

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"})

AGE = Target("age_months", "number", unit="months", minimum=0, maximum=240)
SEX = Target("sex", "choice", choices=("female", "male"))
"""What the RSNA challenge and the phantoms say of a radiograph."""

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


@dataclass(frozen=True, slots=True)
class SourceItem:
    """One radiograph as its source delivers it.

    Attributes:
        name: What the source calls it, unique in the source; reports use it.
        path: The image file; None where `payload` holds the bytes.
        payload: The image file's bytes; None where `path` names a file.
        patient: The patient as the source names him or her; never stored in this form.
        values: Target name -> value of the source's reference standard; may be empty.
        problem: Why the source cannot deliver this radiograph; empty if it can.
    """

    name: str
    path: Path | None
    payload: bytes | None
    patient: str
    values: Mapping[str, Value] = field(default_factory=dict)
    problem: str = ""

    def read(self) -> bytes:
        """Returns the bytes of the image file.

        Raises:
            InvalidInputError: There is a `problem`, or the file cannot be read.
        """
        if self.problem:
            raise InvalidInputError(self.problem)
        if self.payload is not None:
            return self.payload
        if self.path is None:
            raise InvalidInputError("The source delivers no image.")
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise InvalidInputError(
                f"{self.path} cannot be read: {error.strerror or error}."
            ) from error


def read_phantoms(count: int, seed: int = 0, size: int = 256) -> Iterator[SourceItem]:
    """Yields drawn hands whose age and sex are known; see `data.phantoms`."""
    for name, truth, image in draw_phantoms(count, seed, size):
        values: dict[str, Value] = {AGE.name: truth.age_months, SEX.name: truth.sex}
        yield SourceItem(name, None, encode_png(image), f"{name} of {count}, seed {seed}", values)


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
    for path in _images_below(folder):
        images.setdefault(path.stem, path)
    items: dict[str, SourceItem] = {}
    refused: list[SourceItem] = []
    for row in _rsna_rows(folder):
        item = _rsna_item(row, images)
        if item.name in items:
            item = _refused(item.name, f"{row.place}: {row.number} has a row already.")
        if item.problem:
            refused.append(item)
        else:
            items[item.name] = item
    chosen = list(items.values())
    if limit is not None and limit < len(chosen):
        chosen = random.Random(seed).sample(chosen, limit)
    yield from chosen
    yield from refused


def read_folder(
    folder: Path, table: Path | None = None, targets: Sequence[Target] = ()
) -> Iterator[SourceItem]:
    """Yields every image below a folder, in alphabetical order.

    Each image is a patient of its own unless the table says otherwise: images of one person must
    be told by the table, or they may end up in different splits.

    Args:
        folder: Looked through at any depth; hidden files and folders are left out.
        table: CSV file with a column `file` (path below `folder`) and, as far as known, `patient`
            and a column for each target; without it, `folder/labels.csv` if it has `file`.
        targets: The targets whose columns are read; empty cells mean unknown.

    Raises:
        NotFoundError: The folder or the table does not exist.
        InvalidInputError: The given table has no column `file`.
    """
    rows = _folder_rows(folder, table)
    for path in _images_below(folder):
        name = path.relative_to(folder).as_posix()
        row = rows.pop(name, {})
        patient = row.get("patient") or name.removesuffix(path.suffix)
        try:
            values = {t.name: parse_value(t, row[t.name]) for t in targets if row.get(t.name)}
        except InvalidInputError as error:
            yield _refused(name, str(error))
        else:
            yield SourceItem(name, path, None, patient, values)
    for name in rows:
        yield _refused(name, f"{name} is in the table, but there is no such image.")


def _refused(name: str, problem: str) -> SourceItem:
    return SourceItem(name, None, None, "", {}, problem)


def _images_below(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise NotFoundError(f"There is no folder {folder}.")
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith("."):
                yield Path(place, name)


def _read_table(path: Path) -> list[dict[str, str]]:
    """Reads a CSV file (comma or semicolon); column names in small letters, cells stripped."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        header = text.partition("\n")[0]
        lines = list(csv.reader(io.StringIO(text), delimiter=";" if ";" in header else ","))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInputError(f"{path} cannot be read as a UTF-8 table: {error}.") from error
    columns = [name.strip().lower() for name in lines[0]] if lines else []
    return [
        dict(zip(columns, (cell.strip() for cell in cells), strict=False)) for cells in lines[1:]
    ]


def _folder_rows(folder: Path, table: Path | None) -> dict[str, dict[str, str]]:
    path = table or folder / "labels.csv"
    if not path.exists():
        if table is None:
            return {}
        raise NotFoundError(f"There is no table {table}.")
    rows = _read_table(path)
    if table is not None and any("file" not in row for row in rows):
        raise InvalidInputError(f"{table} needs a column `file` with a path in every row.")
    return {Path(row["file"]).as_posix(): row for row in rows if row.get("file")}


def _rsna_rows(folder: Path) -> Iterator[_RsnaRow]:
    found = False
    for path in sorted(folder.glob("*.csv")):
        rows = _read_table(path)
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
        return _refused(name, f"{row.place}: there is no image {row.number}.png or .jpg.")
    if row.male.lower() not in _RSNA_SEX:
        return _refused(name, f"{row.place}: male is {row.male!r}, but must be True or False.")
    try:
        age = parse_value(AGE, row.age)
    except InvalidInputError as error:
        return _refused(name, f"{row.place}: {error}")
    values = {AGE.name: age, SEX.name: _RSNA_SEX[row.male.lower()]}
    return SourceItem(name, images[row.number], None, name, values)
