"""What `carpal versions show`, `diff` and `verify` print for a person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from data.atomic import storage_error
from data.domain import TaskSpec
from data.errors import InvalidInputError
from data.versions.diff import VersionDiff
from data.versions.inventory import Inventory
from data.versions.markdown import SHORT_ID, size_text
from data.versions.pair import VersionPair
from data.versions.text import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from data.versions.verify import Finding

PICTURES = (".png", ".jpg", ".svg", ".pdf")
NUMBERS = frozenset(
    {
        *("added", "corrected", "withdrawn", "confirmed", "before", "after", "change"),
        *("patients", "radiographs", "old", "new"),
    }
)
"""Columns that are aligned to the right."""


def show_inventory(found: Inventory) -> None:
    """Prints what a version holds."""
    console = Console()
    console.print(found.summary, style="bold", markup=False, highlight=False)
    facts = Table.grid(padding=(0, 2))
    facts.add_row("Committed", f"{found.committed_at:%Y-%m-%d %H:%M} UTC as {found.commit}")
    facts.add_row("Because", found.trigger or "–")
    facts.add_row("Ledger head", found.ledger_head or "–")
    facts.add_row(
        "Labels", f"{found.labels} ({found.references} references) of {found.patients} patients"
    )
    facts.add_row("Labelled", f"{found.labelled_from or '–'} to {found.labelled_to or '–'}")
    facts.add_row("Images", f"{found.images}, {size_text(found.image_bytes)}")
    facts.add_row("Sources", _counts(found.sources))
    twice = found.patients_in_two_splits
    proof = "no patient is in two splits" if twice == 0 else f"{twice} PATIENTS ARE IN TWO SPLITS"
    facts.add_row("Split proof", f"{proof}; splits.csv has SHA-256 {found.splits_sha256}")
    console.print(facts, markup=False, highlight=False)
    splits = _table("split", "patients", "radiographs", *_choice_names(found))
    for split in found.splits:
        counts = [_counts(of, "not stated") for of in split.choices.values()]
        splits.add_row(split.split, str(split.patients), str(split.radiographs), *counts)
    console.print(splits, markup=False)
    readers = _table("reader", "radiographs")
    for reader, count in found.readers.items():
        readers.add_row(reader, str(count))
    console.print(readers, markup=False)


def show_diff(pair: VersionPair, changed: VersionDiff, spec: TaskSpec, limit: int) -> None:
    """Prints what changed, at most `limit` rows of each kind."""
    console = Console()
    console.print(f"{pair.old} -> {pair.new}: {changed}", style="bold", highlight=False)
    if changed.by_reader:
        readers = _table("reader", "added", "corrected", "withdrawn", "confirmed")
        for s in changed.by_reader:
            counts = (s.added, s.corrected, s.withdrawn, s.confirmed)
            readers.add_row(s.reader, *(str(count) for count in counts))
        console.print(readers, markup=False)
    splits = _table("split", "before", "after", "change")
    for size in changed.splits:
        change = size.after - size.before
        splits.add_row(size.split, str(size.before), str(size.after), f"{change:+d}")
    console.print(splits, markup=False)
    _show_corrections(console, changed, limit)
    _show_rows(console, "Withdrawn", changed.withdrawn, spec, limit)
    _show_rows(console, "Added", changed.added, spec, limit)


def show_findings(names: Sequence[str], found: Sequence[Finding], quick: bool) -> None:
    """Prints what `verify` found, one line each, or that all is well."""
    console = Console(soft_wrap=True)
    for finding in found:
        mark = "[red]BROKEN[/red]" if finding.broken else "note  "
        console.print(f"{mark}  ", end="", highlight=False)
        console.print(str(finding), markup=False, highlight=False)
    if not any(finding.broken for finding in found):
        which = names[0] if len(names) == 1 else f"{len(names)} versions"
        content = "; the content of images was not read" if quick else ""
        console.print(
            f"Nothing is broken: {which}, git, splits, images and the ledger's chain were "
            f"checked{content}.",
            highlight=False,
        )


@contextmanager
def counting_images(silent: bool) -> Iterator[Callable[[], None]]:
    """Counts images on the terminal; yields what is called after each.

    Args:
        silent: Shows nothing, because a program reads the output.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), TextColumn("{task.completed}"))
    show = console.is_terminal and not silent
    bar = Progress(*columns, TimeElapsedColumn(), console=console, disable=not show, transient=True)
    with bar:
        task = bar.add_task("Checking images", total=None)
        yield lambda: bar.advance(task)


def save_picture(figure: Figure, file: Path) -> None:
    """Writes a figure in the format that the file's name ends with.

    Raises:
        InvalidInputError: It ends with none of the formats.
        StorageError: It cannot be written.
    """
    if file.suffix.lower() not in PICTURES:
        raise InvalidInputError(f"{file} must end with one of {', '.join(PICTURES)}.")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file)
    except OSError as error:
        raise storage_error(error, file) from error


def _show_corrections(console: Console, changed: VersionDiff, limit: int) -> None:
    listed = changed.corrections[:limit]
    if listed:
        table = _table("Corrected", "value", "old", "new", "by")
        for c in listed:
            key, by = c.radiograph_id[:SHORT_ID], ", ".join(c.readers)
            table.add_row(key, c.target, c.old or "–", c.new or "–", by)
        console.print(table, markup=False)
    _say_rest(console, len(changed.corrections) - len(listed), "corrected values")


def _show_rows(
    console: Console, title: str, rows: Sequence[Row], spec: TaskSpec, limit: int
) -> None:
    listed = rows[:limit]
    if listed:
        targets = [target.name for target in spec.targets]
        table = _table(title, "split", *targets, "by")
        for row in listed:
            cells = [row.get(name) or "–" for name in targets]
            by = row["readers"].replace(";", ", ")
            table.add_row(row["id"][:SHORT_ID], row["split"], *cells, by)
        console.print(table, markup=False)
    _say_rest(console, len(rows) - len(listed), title.lower())


def _say_rest(console: Console, more: int, what: str) -> None:
    if more:
        console.print(f"... and {more} more {what}: --rows N prints more of them.", highlight=False)


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in NUMBERS else "left")
    return table


def _choice_names(found: Inventory) -> Iterable[str]:
    return found.splits[0].choices if found.splits else ()


def _counts(counts: Mapping[str, int], empty: str = "") -> str:
    return ", ".join(f"{name or empty} {count}" for name, count in counts.items()) or "–"
