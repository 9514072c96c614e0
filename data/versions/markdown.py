"""Pieces of Markdown that no content can break out of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

SHORT_ID = 12
"""Digits of a radiograph's id that people are shown; `git grep` finds the row by them."""


def markdown_table(head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """Writes a table; columns that hold nothing but whole numbers are aligned to the right."""
    body = [*lines]
    marks = [
        "---:" if all(isinstance(line[place], int) for line in body) else "---"
        for place in range(len(head))
    ]
    return "".join(
        "| " + " | ".join(_cell(cell) for cell in line) + " |\n" for line in (head, marks, *body)
    )


def short_id(radiograph_id: str) -> str:
    """Returns the digits of a radiograph's id that people are shown."""
    return f"`{radiograph_id[:SHORT_ID]}`"


def size_text(count: float) -> str:
    """Writes a number of bytes in three digits."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 999.5:  # From there on three digits are 1000.
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _cell(content: object) -> str:
    text = " ".join(str(content).split())
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
