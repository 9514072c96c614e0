"""Fills the pool from a source, with a progress bar and a list of what was refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from carpal.import_files import RefusedFile
from carpal.import_report import say, tell_counts, tell_near_duplicates, tell_values
from data.domain import Split, Target
from data.errors import InvalidInputError, ServiceUnavailableError
from data.importing.items import ImportReport, import_items
from data.sources.annotation_table import AnnotationFiles, read_annotation_table
from data.sources.chest import read_chest
from data.sources.dha import AtlasTable, read_dha
from data.sources.folder import FolderTable, read_folder
from data.sources.item import SourceItem
from data.sources.item import refused as refused_item
from data.sources.phantoms import read_phantoms
from data.sources.rsna import read_rsna
from data.values import format_value, parse_value
from workers.assembly import open_ledger, pool, task
from workers.bootstrap import connect
from workers.salt import require_same_salt
from workers.settings import Settings

HELD_OUT = frozenset({Split.CALIBRATION, Split.TEST})
"""Where the source's own values serve as reference, so that models can be judged from the start;
radiographs of the training split are read by the experts."""
PHANTOM_SIZE = 256


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


@dataclass(slots=True)
class _Course:
    """How far an import has come, and of how many items the source says which value."""

    done: int = 0
    said: Counter[str] = field(default_factory=Counter)


def rsna(path: Path, limit: int | None = None, seed: int = 0) -> Source:
    """Returns the RSNA Pediatric Bone Age data, or a random part of `limit` radiographs."""
    return _listed("rsna", read_rsna(path, limit, seed))


def dha(path: Path, table: AtlasTable | None = None) -> Source:
    """Returns the Digital Hand Atlas."""
    return _listed("dha", read_dha(path, table))


def chest(path: Path) -> Source:
    """Returns the chest radiographs of Kermany et al."""
    return _listed("chest", read_chest(path))


def folder(path: Path, table: FolderTable, targets: Sequence[Target]) -> Source:
    """Returns every image below a folder; the table says which patient and what is known."""
    return _listed("folder", read_folder(path, table, targets))


def annotation_table(path: Path, how: AnnotationFiles, targets: Sequence[Target]) -> Source:
    """Returns the images of an annotation table of bone-age research code."""
    return _listed("table", read_annotation_table(path, how, targets))


def phantoms(count: int, seed: int = 0) -> Source:
    """Returns drawn hands of known age and sex."""
    return Source("phantoms", read_phantoms(count, seed, PHANTOM_SIZE), count)


def _listed(name: str, items: Iterator[SourceItem]) -> Source:
    listed = list(items)  # Names and paths alone, so that the bar knows how many there are.
    return Source(name, iter(listed), len(listed))


def fill_pool(
    settings: Settings,
    source: Source,
    console: Console,
    *,
    force: bool = False,
    refused_file: Path | None = None,
) -> ImportReport:
    """Imports a source into the workspace's pool and ledger; what is there already is kept.

    Args:
        settings: Of the workspace, which need not be one yet.
        source: What is imported.
        console: Takes the progress bar and what became of the items.
        force: Read also what an earlier import has seen unchanged.
        refused_file: Takes names and reasons of what is refused while the import runs; None:
            a file in the workspace. There is no file if nothing is refused.

    Raises:
        InvalidInputError: The source's folder does not have the promised form.
        StorageError: The disk is full.
    """
    targets = task(settings).targets
    course = _Course()
    with RefusedFile.of_import(settings.home, source.name, refused_file) as refused:
        try:
            report = _import(settings, source, console, targets, course, refused, force)
        except KeyboardInterrupt:
            say(
                f"Stopped after {course.done} items. What was imported is kept; the same command "
                "goes on from there.",
                console,
            )
            raise
        tell_counts(report, refused, console)
    tell_values(course.said, [target.name for target in targets], console)
    tell_near_duplicates(settings, source.name, report, console)
    return report


def _import(
    settings: Settings,
    source: Source,
    console: Console,
    targets: Sequence[Target],
    course: _Course,
    refused: RefusedFile,
    force: bool,
) -> ImportReport:
    with (
        open_ledger(settings) as ledger,
        progress_bar(console, f"Import of {source.name}", source.count) as advance_to,
    ):
        require_same_salt(ledger, settings.salt)

        def advance(done: int) -> None:
            course.done = done
            advance_to(done, source.count)

        return import_items(
            _watched(source.items, targets, course),
            pool=pool(settings),
            ledger=ledger,
            source=source.name,
            salt=settings.salt,
            calibration_share=settings.calibration_share,
            test_share=settings.test_share,
            reference_splits=HELD_OUT,
            targets=targets,
            reference_needs=task(settings).gate.target,
            force=force,
            on_refused=refused.add,
            progress=advance,
        )


def _watched(
    items: Iterable[SourceItem], targets: Sequence[Target], course: _Course
) -> Iterator[SourceItem]:
    """Counts the values of the items, and refuses those that the task does not allow."""
    by_name = {target.name: target for target in targets}
    for item in items:
        course.said.update(item.values.keys())
        try:
            for name, value in item.values.items():
                if name in by_name:
                    parse_value(by_name[name], format_value(value))
        except InvalidInputError as error:
            yield refused_item(item.name, str(error))
        else:
            yield item


def show_to_experts(settings: Settings, console: Console) -> None:
    """Puts what is new in the pool before the experts, if Label Studio runs."""
    try:
        with progress_bar(console, "Tasks in Label Studio", 0) as advance_to:
            connect(settings, advance_to)
    except ServiceUnavailableError as error:
        say(f"{error} The next 'carpal up' puts the radiographs before the experts.", console)


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
