"""The part of `DATASET.md` that says what changed, row by row."""

from __future__ import annotations

from collections.abc import Sequence

from data.versions.diff import VersionDiff
from data.versions.markdown import markdown_table, short_id
from data.versions.text import Row

LISTED = 50
"""Corrections, and withdrawn rows, that are listed; `carpal versions diff` shows all."""


def change_sections(changed: VersionDiff | None) -> list[str]:
    """Writes the changes: by reader, then each corrected and withdrawn row."""
    if changed is None:
        return []
    sections = ["## Changes\n", _reader_changes(changed)]
    if changed.corrections:
        sections += ["### Corrected\n", _corrections(changed)]
    if changed.withdrawn:
        sections += ["### Withdrawn\n", _withdrawn(changed.withdrawn)]
    return sections


def _reader_changes(changed: VersionDiff) -> str:
    return markdown_table(
        ["reader", "added", "corrected", "withdrawn", "confirmed"],
        [[s.reader, s.added, s.corrected, s.withdrawn, s.confirmed] for s in changed.by_reader],
    )


def _corrections(changed: VersionDiff) -> str:
    listed = changed.corrections[:LISTED]
    table = markdown_table(
        ["radiograph", "value", "old", "new", "by"],
        [
            [short_id(c.radiograph_id), c.target, c.old or "–", c.new or "–", ", ".join(c.readers)]
            for c in listed
        ],
    )
    return table + _rest(len(changed.corrections) - len(listed))


def _withdrawn(rows: Sequence[Row]) -> str:
    lines = [[short_id(row["id"]), row["readers"].replace(";", ", ")] for row in rows[:LISTED]]
    return markdown_table(["radiograph", "was read by"], lines) + _rest(len(rows) - len(lines))


def _rest(more: int) -> str:
    return f"\n... and {more} more: `carpal versions diff` lists them.\n" if more else ""
