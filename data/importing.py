"""Take what a source delivers into the pool and the ledger."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Protocol

from data.domain import REFERENCE_READER, Radiograph, Reading, Split
from data.errors import InvalidInputError
from data.pool import Pool, PooledImage
from data.sources.item import SourceItem
from data.splits import pseudonym, split_of

BATCH = 200
"""Radiographs in one transaction of the ledger: what a killed import has to read again."""


class RadiographLedger(Protocol):
    """The part of the ledger that an import writes."""

    def radiographs(self, split: Split | None = None) -> list[Radiograph]:
        """See `Ledger.radiographs`."""

    def patient_splits(self, patients: Collection[str]) -> dict[str, Split]:
        """See `Ledger.patient_splits`."""

    def add_radiographs(self, radiographs: Sequence[Radiograph]) -> int:
        """See `Ledger.add_radiographs`."""

    def record_readings(self, readings: Sequence[Reading]) -> int:
        """See `Ledger.record_readings`."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of the items of a source.

    Attributes:
        new: Radiographs that the ledger did not know.
        known: Items whose image it knew, doubled ones included.
        refused: (name, reason) of the items that were left out.
        radiograph_ids: Name -> radiograph id of all others.
    """

    new: int
    known: int
    refused: list[tuple[str, str]]
    radiograph_ids: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Rules:
    source: str
    salt: str
    calibration_share: float
    test_share: float
    reference_splits: frozenset[Split]


@dataclass(frozen=True, slots=True)
class _Taken:
    """An item whose image is in the pool but perhaps not yet in the ledger."""

    item: SourceItem
    image: PooledImage
    patient: str


def import_items(
    items: Iterable[SourceItem],
    *,
    pool: Pool,
    ledger: RadiographLedger,
    source: str,
    salt: str,
    calibration_share: float,
    test_share: float,
    reference_splits: frozenset[Split],
    progress: Callable[[int], None] | None = None,
) -> ImportReport:
    """Imports radiographs; safe to repeat, and to go on with after it was killed.

    An item that cannot be imported is reported and the rest goes on. A patient whom the ledger
    knows keeps the split, even if the shares have changed since.

    Args:
        items: What the source delivers.
        pool: Takes the image files.
        ledger: Takes radiographs and reference readings.
        source: Name of the source, for `Radiograph.source`.
        salt: The workspace's secret for pseudonyms and splits.
        calibration_share: Share of new patients in the calibration split, 0..1.
        test_share: Share of new patients in the test split, 0..1.
        reference_splits: Splits in which the source's values are recorded as the reference, so
            that models can be judged there. Elsewhere its values are not used at all.
        progress: Called with the number of items dealt with so far.

    Raises:
        InvalidInputError: The salt is empty or the shares are not shares.
        StorageError: The disk is full. What was imported until then stays imported.
        LedgerError: The ledger cannot be written.
    """
    split_of("", salt, calibration_share, test_share)  # Wrong settings must not refuse each item.
    rules = _Rules(source, salt, calibration_share, test_share, reference_splits)
    known = {radiograph.id: radiograph for radiograph in ledger.radiographs()}
    known_before = len(known)
    ids: dict[str, str] = {}
    refused: list[tuple[str, str]] = []
    for batch in _batches(items):
        taken: list[_Taken] = []
        try:
            for item in batch:
                try:
                    taken.append(_take_in(item, pool, salt))
                except InvalidInputError as error:
                    refused.append((item.name, str(error)))
                if progress:
                    progress(len(ids) + len(taken) + len(refused))
        finally:  # Also what came before a full disk or an interrupt.
            _record(taken, known, ledger, rules)
        ids |= {one.item.name: one.image.id for one in taken}
    new = len(known) - known_before
    return ImportReport(new, len(ids) - new, refused, ids)


def _batches(items: Iterable[SourceItem]) -> Iterator[list[SourceItem]]:
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH)):
        yield batch


def _take_in(item: SourceItem, pool: Pool, salt: str) -> _Taken:
    payload = item.read().payload
    patient = pseudonym(item.patient, salt)
    return _Taken(item, pool.add(payload), patient)


def _record(
    taken: Sequence[_Taken],
    known: dict[str, Radiograph],
    ledger: RadiographLedger,
    rules: _Rules,
) -> None:
    """Writes one batch to the ledger and adds what is new to `known`."""
    splits = ledger.patient_splits({one.patient for one in taken})
    new: dict[str, Radiograph] = {}
    for one in taken:
        if one.image.id not in known and one.image.id not in new:
            new[one.image.id] = _radiograph(one, splits.get(one.patient), rules)
    ledger.add_radiographs(list(new.values()))
    known.update(new)
    ledger.record_readings(
        [
            # The time of the first import, so that a repeated import tells nothing new.
            Reading(
                one.image.id, REFERENCE_READER, one.item.values, known[one.image.id].imported_at
            )
            for one in taken
            if one.item.values and known[one.image.id].split in rules.reference_splits
        ]
    )


def _radiograph(one: _Taken, split: Split | None, rules: _Rules) -> Radiograph:
    return Radiograph(
        id=one.image.id,
        patient=one.patient,
        split=split or split_of(one.patient, rules.salt, rules.calibration_share, rules.test_share),
        source=rules.source,
        path=one.image.path,
        width=one.image.width,
        height=one.image.height,
        imported_at=datetime.now(UTC),
    )
