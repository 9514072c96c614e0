"""Fills the pool from a source, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from data.domain import Split, Target
from data.errors import ServiceUnavailableError
from data.importing import ImportReport, import_items
from data.sources.folder import read_folder
from data.sources.item import SourceItem
from data.sources.phantoms import read_phantoms
from data.sources.rsna import read_rsna
from workers.assembly import open_ledger, pool
from workers.bootstrap import connect
from workers.settings import Settings

HELD_OUT = frozenset({Split.CALIBRATION, Split.TEST})
"""Where the source's own values serve as reference, so that models can be judged from the start;
radiographs of the training split are read by the experts."""
PHANTOM_SIZE = 256
SHOWN_REFUSALS = 5


@dataclass(frozen=True, slots=True)
class Source:
    """Where radiographs come from.

    Attributes:
        name: Recorded with each radiograph.
        items: The radiographs.
        count: How many, 0: not known beforehand.
    """

    name: str
    items: Iterator[SourceItem]
    count: int = 0


def rsna(folder: Path, limit: int | None = None, seed: int = 0) -> Source:
    """Returns the RSNA Pediatric Bone Age data, or a random part of `limit` radiographs."""
    return Source("rsna", read_rsna(folder, limit, seed), limit or 0)


def folder(path: Path, table: Path | None, targets: Sequence[Target]) -> Source:
    """Returns every image below a folder; the table says which patient and what is known."""
    return Source("folder", read_folder(path, table, targets))


def phantoms(count: int, seed: int = 0) -> Source:
    """Returns drawn hands of known age and sex."""
    return Source("phantoms", read_phantoms(count, seed, PHANTOM_SIZE), count)


def fill_pool(settings: Settings, source: Source, console: Console) -> ImportReport:
    """Imports a source into the workspace's pool and ledger; what is there already is kept.

    Raises:
        InvalidInputError: The source's folder does not have the promised form.
        StorageError: The disk is full.
    """
    with (
        open_ledger(settings) as ledger,
        progress_bar(console, f"Import of {source.name}", source.count) as advance_to,
    ):
        report = import_items(
            source.items,
            pool=pool(settings),
            ledger=ledger,
            source=source.name,
            salt=settings.salt,
            calibration_share=settings.calibration_share,
            test_share=settings.test_share,
            reference_splits=HELD_OUT,
            progress=lambda done: advance_to(done, source.count),
        )
    console.print(
        f"{report.new} new radiographs, {report.known} known already, "
        f"{len(report.refused)} refused."
    )
    for name, reason in report.refused[:SHOWN_REFUSALS]:
        console.print(f"  {name}: {reason}", markup=False, soft_wrap=True)
    return report


def show_to_experts(settings: Settings, console: Console) -> None:
    """Puts what is new in the pool before the experts, if Label Studio runs."""
    try:
        with progress_bar(console, "Tasks in Label Studio", 0) as advance_to:
            connect(settings, advance_to)
    except ServiceUnavailableError as error:
        console.print(
            f"{error} The next 'carpal up' puts the radiographs before the experts.",
            markup=False,
            soft_wrap=True,
        )


@contextmanager
def progress_bar(console: Console, title: str, total: int) -> Iterator[Callable[[int, int], None]]:
    """Shows a bar during the block, which calls what it gets with (done, in all).

    Args:
        console: Where to; nothing moves where it is not a terminal.
        title: Stands before the bar.
        total: In all; 0: not known yet, and nothing is shown unless there is progress.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
        line = bar.add_task(title, total=total or None, visible=total > 0)
        yield lambda done, of: bar.update(line, completed=done, total=of or None, visible=True)
