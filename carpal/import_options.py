"""Options that several import commands have, and what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from data.sources.cells import Columns

Force = Annotated[
    bool, typer.Option("--force", help="Read also what an earlier import has seen unchanged.")
]
Refused = Annotated[
    Path | None,
    typer.Option(
        "--refused",
        metavar="FILE",
        help="List what is refused, with reasons, in this CSV file instead of the workspace's.",
        show_default=False,
    ),
]
ColumnOf = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="TARGET=COLUMN",
        help="Column of a target that is called otherwise; repeatable.",
        show_default=False,
    ),
]
ValueOf = Annotated[
    list[str] | None,
    typer.Option(
        "--value",
        metavar="TARGET:WORD=CHOICE",
        help="What a word of the table means, as in sex:W=female; repeatable.",
        show_default=False,
    ),
]
AgesIn = Literal["months", "years"]
"""As `data.sources.cells.Unit`, which is imported only where a table is read."""


def columns_of(
    columns: Sequence[str] | None, values: Sequence[str] | None, unit: AgesIn
) -> Columns:
    """Returns how a table is read; whether the task has such targets is checked with the table.

    Args:
        columns: `TARGET=COLUMN`.
        values: `TARGET:WORD=CHOICE`.
        unit: Of the ages in the table.

    Raises:
        typer.BadParameter: One of them does not have this form.
    """
    from data.sources.cells import Columns

    targets = dict(_parted(text, "=", "--column must be TARGET=COLUMN") for text in columns or ())
    spellings: dict[tuple[str, str], str] = {}
    for text in values or ():
        said, choice = _parted(text, "=", "--value must be TARGET:WORD=CHOICE")
        target, word = _parted(said, ":", "--value must be TARGET:WORD=CHOICE")
        spellings[target, word.casefold()] = choice
    return Columns(targets, spellings, unit)


def names_in(path: Path, what: str) -> tuple[str, ...]:
    """Returns the lines of a file, each once, without empty ones and remarks (`# ...`).

    Args:
        path: Text in UTF-8.
        what: The names of: `patient`.

    Raises:
        InvalidInputError: It cannot be read, or names nothing.
    """
    from data.errors import InvalidInputError

    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} cannot be read as UTF-8 text.") from error
    names = tuple(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    if not names:
        raise InvalidInputError(f"{path} names no {what}.")
    return names


def _parted(text: str, mark: str, form: str) -> tuple[str, str]:
    before, _, after = (part.strip() for part in text.partition(mark))
    if not before or not after:
        raise typer.BadParameter(f"{form}, not {text!r}.")
    return before, after
