"""Take what a source delivers into the pool and the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from data.domain import Split, Target
from data.errors import InvalidInputError
from data.importing.batch import BatchWriter
from data.importing.reading import Outcome, Refused, Request, Stopped, Taken, request_of
from data.importing.records import NearDuplicate
from data.importing.values import Asked, Rules
from data.importing.workers import Readers
from data.ledger.ledger import Ledger
from data.pool import Pool
from data.sources.item import SourceItem
from data.splits import origin_key, pseudonym, split_of

BATCH = 500
"""Radiographs in one transaction of the ledger: what a killed import has to read again."""

BATCH_S = 10.0
"""A batch is written after this time at the latest: some sources deliver slowly."""

PAGE_S = 1.0
"""Items are looked up in the ledger together, as many as the source names in this time."""


@dataclass(slots=True)
class ImportReport:
    """What became of the items of a source.

    Attributes:
        new: Radiographs that the ledger did not know.
        known: Items whose image it knew, doubled ones included.
        refused: (name, reason) of the items that were left out.
        radiograph_ids: Name -> radiograph id of all others.
        near_duplicates: Pairs of radiographs that show the same film, found by this import.
        flagged: (name, what) of items that somebody should look at.
    """

    new: int = 0
    known: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    radiograph_ids: dict[str, str] = field(default_factory=dict)
    near_duplicates: list[NearDuplicate] = field(default_factory=list)
    flagged: list[tuple[str, str]] = field(default_factory=list)


def import_items(
    items: Iterable[SourceItem],
    *,
    pool: Pool,
    ledger: Ledger,
    source: str,
    salt: str,
    calibration_share: float,
    test_share: float,
    reference_splits: frozenset[Split],
    targets: Sequence[Target],
    reference_needs: str = "",
    force: bool = False,
    workers: int = 0,
    on_refused: Callable[[str, str], None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> ImportReport:
    """Imports radiographs; safe to repeat, and to go on with after it was killed.

    An item that cannot be imported is reported and the rest goes on. A patient whom the ledger
    knows keeps the split, even if the shares have changed since. The outcome is that of taking
    one item after the other, whatever the number of processes.

    Args:
        items: What the source delivers.
        pool: Takes the image files.
        ledger: Takes radiographs, what the source says of them, and reference readings.
        source: Name of the source, for `Radiograph.source`.
        salt: The workspace's secret for pseudonyms and splits.
        calibration_share: Share of new patients in the calibration split, 0..1.
        test_share: Share of new patients in the test split, 0..1.
        reference_splits: Splits in which the source's values are recorded as the reference, so
            that models can be judged there. Elsewhere they are kept beside the readings.
        targets: What is asked for: values of other names are left out.
        reference_needs: Target without which the source's values are no reference: a film of
            which only the sex is known cannot judge a model of age. Empty: any value will do.
        force: Read also the items that an earlier import has seen with the same stamp.
        workers: Processes that read; 0: one for each core; 1: none but this one.
        on_refused: Called with name and reason as soon as an item is refused.
        progress: Called with the number of items dealt with so far.

    Raises:
        InvalidInputError: The salt is empty or the shares are not shares.
        StorageError: The disk is full. What was imported until then stays imported.
        LedgerError: The ledger cannot be written.
    """
    split_of("", salt, calibration_share, test_share)  # Wrong settings must not refuse each item.
    rules = Rules(
        source,
        lambda patient: split_of(patient, salt, calibration_share, test_share),
        reference_splits,
        frozenset(target.name for target in targets),
        reference_needs,
    )
    importer = _Import(ImportReport(), pool, ledger, rules, salt, force, on_refused, progress)
    pool.remove_stale_drafts()
    importer.run(items, workers)
    return importer.report


@dataclass(slots=True)
class _Import:
    report: ImportReport
    pool: Pool
    ledger: Ledger
    rules: Rules
    salt: str
    force: bool
    on_refused: Callable[[str, str], None] | None
    progress: Callable[[int], None] | None
    done: int = 0

    def run(self, items: Iterable[SourceItem], workers: int) -> None:
        writer = BatchWriter(self.pool, self.ledger, self.rules, self.report, self.refuse)
        batch: list[tuple[Asked, Taken | None]] = []
        began = time.monotonic()
        stopped: Stopped | None = None
        try:
            with Readers[Asked](self.pool, workers) as readers:
                for asked, outcome in readers.read(self._questions(items)):
                    if isinstance(outcome, Stopped):
                        stopped = outcome
                        break
                    self._collect(asked, outcome, batch)
                    if len(batch) >= BATCH or (batch and time.monotonic() - began > BATCH_S):
                        full, batch = batch, []
                        writer.write(full)
                        began = time.monotonic()
        finally:  # Also what came before a full disk or an interrupt.
            writer.write(batch)
        if stopped is not None:
            raise stopped.error

    def refuse(self, name: str, reason: str) -> None:
        self.report.refused.append((name, reason))
        if self.on_refused:
            self.on_refused(name, reason)

    def _collect(
        self, asked: Asked, outcome: Outcome | None, batch: list[tuple[Asked, Taken | None]]
    ) -> None:
        if asked.refusal:
            self.refuse(asked.item.name, asked.refusal)
        elif isinstance(outcome, Refused):
            self.refuse(asked.item.name, outcome.reason)
        elif not isinstance(outcome, Stopped):
            batch.append((asked, outcome))
        self.done += 1
        if self.progress:
            self.progress(self.done)

    def _questions(self, items: Iterable[SourceItem]) -> Iterator[tuple[Asked, Request | None]]:
        """Yields the items with what is to be read of them: nothing of those that are known."""
        for page in _pages(items):
            asked = [self._ask(item) for item in page]
            keys = [one.key for one in asked if one.item.stamp and not one.refusal]
            origins = {} if self.force else self.ledger.origins(keys)
            for one in asked:
                origin = origins.get(one.key)
                if one.refusal:
                    yield one, None
                elif origin is not None and one.item.stamp and origin.stamp == one.item.stamp:
                    one.radiograph_id = origin.radiograph_id
                    yield one, None
                else:
                    yield one, request_of(one.item)

    def _ask(self, item: SourceItem) -> Asked:
        key = origin_key(self.rules.source, item.name, self.salt)
        if item.problem:
            return Asked(item, key, refusal=item.problem)
        try:
            return Asked(item, key, pseudonym(item.patient, self.salt))
        except InvalidInputError as error:
            return Asked(item, key, refusal=str(error))


def _pages(items: Iterable[SourceItem]) -> Iterator[list[SourceItem]]:
    """Yields the items in pages that are full or took a second to list."""
    page: list[SourceItem] = []
    began = time.monotonic()
    for item in items:
        page.append(item)
        if len(page) >= BATCH or time.monotonic() - began > PAGE_S:
            yield page
            page = []
            began = time.monotonic()
    if page:
        yield page
