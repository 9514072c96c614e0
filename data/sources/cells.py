"""What a cell of a table says of a target: numbers in the right unit, choices in many spellings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from data.domain import Target, Value
from data.errors import InvalidInputError
from data.sources.tables import Table, TableRow
from data.values import parse_value

MONTHS_PER_YEAR = 12
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
SEXES = frozenset({"female", "male"})
SEX_SPELLINGS = {"m": "male", "male": "male", "f": "female", "female": "female"}
SEX_COLUMNS = ("sex", "gender", "male", "female")
"""Where the sex may stand if no column has the target's own name."""
YES = frozenset({"true", "1", "yes"})
NO = frozenset({"false", "0", "no"})
"""Only in columns that are named after a sex: elsewhere 0 and 1 may mean anything."""

Unit = Literal["months", "years"]


@dataclass(frozen=True, slots=True)
class Columns:
    """How a table is to be read.

    Attributes:
        targets: Target name -> column, where it is not called as the target.
        spellings: (target name, spelling in small letters) -> choice.
        unit: Unit of the ages in the table; targets are in months.
    """

    targets: Mapping[str, str] = field(default_factory=dict)
    spellings: Mapping[tuple[str, str], str] = field(default_factory=dict)
    unit: Unit = "months"

    def check(self, targets: Iterable[Target]) -> None:
        """Makes sure that the task has what this speaks of.

        Raises:
            InvalidInputError: There is no such target or choice; the sentence lists those that
                there are.
        """
        choices = {target.name: target.choices for target in targets}
        for name in (*self.targets, *(name for name, _ in self.spellings)):
            if name not in choices:
                raise InvalidInputError(
                    f"The task has no target {name!r}; its targets are {', '.join(choices)}."
                )
        for (name, spelling), choice in self.spellings.items():
            if choice not in choices[name]:
                known = ", ".join(choices[name])
                raise InvalidInputError(
                    f"{spelling!r} cannot mean {choice!r}: {name} is one of {known}."
                )

    def value(self, target: Target, key: str, cell: str, *, decimal_comma: bool = False) -> Value:
        """Returns what a cell says of a target.

        Args:
            target: With its range or choices.
            key: Key of the cell's column; see `choice_of`.
            cell: As it is written, not empty.
            decimal_comma: `12,5` is a number.

        Raises:
            InvalidInputError: It is no such value; the sentence names the target.
        """
        if target.kind == "choice":
            said = self.spellings.get((target.name, cell.casefold()))
            return parse_value(target, said or choice_of(target, key, cell))
        unit = self.unit if target.unit == "months" else ""
        return number_of(target, cell, unit, decimal_comma=decimal_comma)


@dataclass(frozen=True, slots=True)
class ValueReader:
    """Reads the values of targets from the rows of one table.

    Attributes:
        columns: (target, key of its column) of the targets that the table has.
        how: Units and spellings.
        decimal_comma: `12,5` is a number.
    """

    columns: tuple[tuple[Target, str], ...]
    how: Columns
    decimal_comma: bool

    @classmethod
    def of_table(cls, table: Table, targets: Iterable[Target], how: Columns) -> ValueReader:
        """Finds the columns of the targets.

        Raises:
            InvalidInputError: A column that was asked for is missing, or there is no such target
                or choice; the sentence lists those that there are.
        """
        targets = tuple(targets)
        how.check(targets)
        found = [(target, _column_of(table, target, how)) for target in targets]
        return cls(tuple((t, key) for t, key in found if key), how, table.decimal_comma)

    def values(self, row: TableRow) -> dict[str, Value]:
        """Returns target name -> value; empty cells mean unknown.

        Raises:
            InvalidInputError: A cell is no such value; the sentence names the target.
        """
        return {
            target.name: self.how.value(target, key, cell, decimal_comma=self.decimal_comma)
            for target, key in self.columns
            if (cell := row.cell(key))
        }


def choice_of(target: Target, key: str, cell: str) -> str:
    """Returns the choice that a cell means, or the cell as it is where nothing is known.

    Args:
        target: With its choices.
        key: Key of the column; `male` makes True and 1 mean male, `female` the opposite.
        cell: As it is written.
    """
    small = cell.casefold()
    spelled = {choice.casefold(): choice for choice in target.choices}
    if frozenset(target.choices) == SEXES:
        spelled |= SEX_SPELLINGS
        if key in SEXES:
            (other,) = SEXES - {key}
            spelled |= dict.fromkeys(YES, key) | dict.fromkeys(NO, other)
            if key == "female":
                del spelled["f"]  # May be short for False.
    return spelled.get(small, cell)


def number_of(target: Target, cell: str, unit: str = "", *, decimal_comma: bool = False) -> Value:
    """Reads a number in its range.

    Args:
        target: With range and unit.
        cell: As it is written, such as `12.5`.
        unit: `years` where the cell has years and the target months.
        decimal_comma: `12,5` is a number.

    Raises:
        InvalidInputError: It is no number or out of range.
    """
    text = cell.replace(",", ".") if decimal_comma and cell.count(",") == 1 else cell
    if not NUMBER.fullmatch(text):
        wanted = f"a number of {target.unit}" if target.unit else "a number"
        raise InvalidInputError(f"{target.name} is {cell!r}, but must be {wanted}.")
    if unit == "years":
        text = f"{float(text) * MONTHS_PER_YEAR:.10g}"
    return parse_value(target, text)


def _column_of(table: Table, target: Target, how: Columns) -> str:
    chosen = how.targets.get(target.name)
    if chosen is not None:
        return table.required(target.name, chosen)
    others = SEX_COLUMNS if frozenset(target.choices) == SEXES else ()
    return table.column(target.name, *others)
