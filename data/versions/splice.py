"""Put changed lines into a sorted table, so that the work follows the change and not the table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from data.versions.table import LabelTable

FEW = 10_000
"""Fewer than one line in so many bytes: each is searched for; otherwise all are walked through."""


def find_lines(table: LabelTable, ids: Collection[str]) -> dict[str, bytes]:
    """Returns radiograph id -> line with its line feed, of those of `ids` that the table holds."""
    if len(ids) * FEW > len(table.text):
        lines = _all_lines(table)
        return {key: lines[key] for key in ids if key in lines}
    places = {key: table.line(key) for key in ids}
    return {key: table.text[start:end] for key, (start, end) in places.items() if end > start}


def splice(table: LabelTable, lines: Mapping[str, bytes | None]) -> bytes:
    """Returns the text of the table with these lines instead of its own.

    Args:
        table: Sorted by id.
        lines: Radiograph id -> its line with the line feed; None: it has none any more.
    """
    if len(lines) * FEW > len(table.text):
        head = table.text[: table.text.find(b"\n") + 1]
        merged = {**_all_lines(table), **lines}
        return head + _join(merged[key] for key in sorted(merged))
    view, at = memoryview(table.text), 0
    pieces: list[bytes | memoryview] = []
    for key in sorted(lines):
        start, end = table.line(key)
        pieces += [view[at:start], lines[key] or b""]
        at = end
    return b"".join([*pieces, view[at:]])


def _all_lines(table: LabelTable) -> dict[str, bytes]:
    lines = table.text.split(b"\n")[1:-1]
    return {line.partition(b",")[0].decode(): line + b"\n" for line in lines}


def _join(lines: Iterable[bytes | None]) -> bytes:
    return b"".join(line for line in lines if line)
