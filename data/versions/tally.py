"""How many rows of `labels.csv` say what: all that a version tells in numbers.

Counted from the columns once, and from then on carried from version to version by the rows that
change, so that the numbers of a version cost what it adds and not what is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar
from urllib.parse import quote

from data.domain import Split, TaskSpec
from data.versions.splice import find_lines, splice
from data.versions.table import LabelTable
from data.versions.text import Row, check_splits

Cells = tuple[str, ...]

DAY = "labelled_at, day"
"""Not a column, and no name of one: the first ten letters of `labelled_at`."""

_Key = TypeVar("_Key", bound=Hashable)

_SPLITS = tuple(split.value for split in Split)
_HEAD = ",".join(["patient", *_SPLITS]).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Tally:
    """What the rows of a version come to.

    Attributes:
        counts: Columns -> their cells -> rows that have these; never 0.
        patients: A table of its own, sorted: patient (percent-encoded) and rows in each split.
        in_split: Split -> patients with a row in it.
        in_both: Two splits, in the order of `Split` -> patients with a row in either.
    """

    counts: Mapping[Cells, Counter[Cells]]
    patients: bytes
    in_split: Counter[str]
    in_both: Counter[tuple[str, str]]

    @classmethod
    def of(cls, spec: TaskSpec, table: LabelTable) -> Tally:
        """Counts a whole table."""
        rows: dict[str, Counter[str]] = {}
        pairs = zip(table.column("patient"), table.column("split"), strict=True)
        for (patient, split), count in Counter(pairs).items():
            rows.setdefault(_key(patient), Counter())[split] = count
        lines = (_line(key, rows[key]) or b"" for key in sorted(rows))
        counted = {
            columns: Counter(zip(*(_column(table, name) for name in columns), strict=True))
            for columns in counted_columns(spec)
        }
        return cls(counted, b"".join([_HEAD, *lines]), _splits(rows), _pairs(rows))

    @property
    def rows(self) -> int:
        """All rows of the table."""
        return self.counts["split",].total()

    def counts_for(self, spec: TaskSpec) -> bool:
        """Says whether it counts what the report of this task tells."""
        return self.counts.keys() == set(counted_columns(spec))

    def after(self, before: Mapping[str, Row], after: Mapping[str, Row]) -> Tally:
        """Returns the tally of the next version.

        Args:
            before: Radiograph id -> row of this version, where the next one has another or none.
            after: The same the other way round.

        Raises:
            VersionError: A patient is in two splits, or has moved.
        """
        gone, come = list(before.values()), list(after.values())
        table = LabelTable(self.patients)
        keys = {_key(row["patient"]): row["patient"] for row in (*gone, *come)}
        found = find_lines(table, keys)
        old = {key: _rows_in(found.get(key)) for key in sorted(keys)}
        new = {key: Counter(of) for key, of in old.items()}
        for rows, step in ((gone, -1), (come, 1)):
            for row in rows:
                new[_key(row["patient"])][row["split"]] += step
        told = [(keys[key], split) for of in (old, new) for key in of for split in _held(of[key])]
        check_splits([patient for patient, _ in told], [split for _, split in told])
        return Tally(
            {
                columns: _carried(count, _of_rows(gone, columns), _of_rows(come, columns))
                for columns, count in self.counts.items()
            },
            splice(table, {key: _line(key, of) for key, of in new.items()}),
            _carried(self.in_split, _splits(old), _splits(new)),
            _carried(self.in_both, _pairs(old), _pairs(new)),
        )


def counted_columns(spec: TaskSpec) -> list[Cells]:
    """Returns which columns are counted together, for the report and the picture of a task."""
    target, by = spec.target(spec.gate.target), spec.gate.band_by
    choices = [("split", choice.name) for choice in spec.targets if choice.kind == "choice"]
    number = [(target.name, by) if by else (target.name,)] if target.kind == "number" else []
    fixed = [("split",), ("source", "split"), ("readers",), ("reference",), (DAY,)]
    return [*fixed, *choices, *number]


def _column(table: LabelTable, name: str) -> Sequence[str]:
    return (
        [cell[:10] for cell in table.column("labelled_at")] if name == DAY else table.column(name)
    )


def _cell(row: Row, name: str) -> str:
    return row["labelled_at"][:10] if name == DAY else row[name]


def _of_rows(rows: Iterable[Row], columns: Cells) -> Counter[Cells]:
    return Counter(tuple(_cell(row, name) for name in columns) for row in rows)


def _carried(count: Counter[_Key], gone: Counter[_Key], come: Counter[_Key]) -> Counter[_Key]:
    moved = Counter(count)
    for key in gone.keys() | come.keys():
        moved[key] += come[key] - gone[key]
        if not moved[key]:
            del moved[key]
    return moved


# Patients


def _key(patient: str) -> str:
    return quote(patient, safe="")


def _line(key: str, of: Mapping[str, int]) -> bytes | None:
    """The line of a patient with so many rows in each split; None: without a row there is none."""
    if not any(of.values()):
        return None
    return ",".join([key, *(str(of.get(split, 0)) for split in _SPLITS)]).encode() + b"\n"


def _rows_in(line: bytes | None) -> Counter[str]:
    cells = line.decode().strip().split(",")[1:] if line else []
    return Counter({split: int(cell) for split, cell in zip(_SPLITS, cells, strict=False)})


def _held(of: Mapping[str, int]) -> list[str]:
    return [split for split in _SPLITS if of.get(split)]


def _splits(patients: Mapping[str, Mapping[str, int]]) -> Counter[str]:
    return Counter(split for of in patients.values() for split in _held(of))


def _pairs(patients: Mapping[str, Mapping[str, int]]) -> Counter[tuple[str, str]]:
    return Counter(pair for of in patients.values() for pair in combinations(_held(of), 2))
