"""The split that a publisher assigned to each patient, as bone-age research code writes it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from data.domain import Split
from data.errors import InvalidInputError
from data.sources.tables import Table, column_key, read_table

PATIENT_COLUMNS = ("patient_ID", "patient")
DIR_COLUMN = "dir"
SPLIT_COLUMNS = ("split", "org split", "set", "subset", "fold")
SPLITS = {
    **dict.fromkeys(("train", "training"), Split.TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "calibration"), Split.CALIBRATION),
    "test": Split.TEST,
}
"""Their word -> our split: validation decides about a model, as our calibration split does."""


@dataclass(frozen=True, slots=True)
class SplitFile:
    """Which split the publisher put each patient in.

    Attributes:
        by_patient: (dir, patient) -> the words that its rows say, with their places; the dir is
            empty where the file has none.
        per_dir: The file tells patients of different dirs apart.
    """

    by_patient: Mapping[tuple[str, str], Mapping[str, str]]
    per_dir: bool

    def split_of(self, patient: str, dirs: Collection[str]) -> Split | None:
        """Returns the split of a patient whose images lie in these dirs; None: not in the file.

        Raises:
            InvalidInputError: The file puts the patient in two splits, or in an unknown one.
        """
        found: dict[Split, str] = {}
        for folder in sorted(dirs) if self.per_dir else [""]:
            for word, place in self.by_patient.get((folder, patient), {}).items():
                if word.casefold() not in SPLITS:
                    raise InvalidInputError(
                        f"the split is {word!r} ({place}), but must be train, val or test."
                    )
                found.setdefault(SPLITS[word.casefold()], place)
        if len(found) > 1:
            places = " and ".join(f"{split} ({place})" for split, place in found.items())
            raise InvalidInputError(f"its patient is in two splits: {places}.")
        return next(iter(found), None)


def read_splits(path: Path, column: str = "") -> SplitFile:
    """Reads a table with a patient, perhaps a dir, and train, val or test.

    Args:
        path: CSV file.
        column: The column with the split; empty: one of `SPLIT_COLUMNS`, or the only other one.

    Raises:
        NotFoundError: There is no such file.
        InvalidInputError: It lacks a column or has a row that cannot be read.
    """
    table = read_table(path)
    patient = table.required("the patient", *PATIENT_COLUMNS)
    folder = table.column(DIR_COLUMN)
    split = _split_column(table, column, {patient, folder})
    found: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for row in table.rows:
        if row.problem:
            raise InvalidInputError(f"{row.place}: {row.problem}")
        if row.cell(split):
            words = found[row.cell(folder), row.cell(patient)]
            words.setdefault(row.cell(split), row.place)
    return SplitFile(found, per_dir=bool(folder))


def _split_column(table: Table, column: str, others: set[str]) -> str:
    if column:
        return table.required("the split", column)
    found = table.column(*SPLIT_COLUMNS)
    rest = [name for name in table.columns if name and column_key(name) not in others]
    if not found and len(rest) == 1:
        return column_key(rest[0])
    return found or table.required("the split; or name it with --split-column", "split")
