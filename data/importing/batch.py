"""Write one batch of an import: files into the pool first, then all facts into the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np

from data.domain import Radiograph, Split
from data.errors import ImageError
from data.images.decoding import read_small
from data.images.fingerprint import fingerprint
from data.importing.duplicates import Candidate, FilmIndex
from data.importing.reading import Taken
from data.importing.records import ImportBatch, NearDuplicate, Origin
from data.importing.settling import Film, NewFilm, Splits, decide
from data.importing.values import OTHER_PATIENT, Asked, Rules, SourceWords
from data.ledger.ledger import Ledger
from data.pool import Pool


class Report(Protocol):
    """The part of the report that a batch adds to."""

    new: int
    known: int
    radiograph_ids: dict[str, str]
    near_duplicates: list[NearDuplicate]
    flagged: list[tuple[str, str]]


@dataclass(slots=True)
class _Draft:
    """What a batch will be, if no other import comes first."""

    radiographs: dict[str, Radiograph] = field(default_factory=dict)
    films: dict[str, bytes] = field(default_factory=dict)
    near: list[NearDuplicate] = field(default_factory=list)
    became: list[tuple[Asked, Radiograph]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    flagged: list[tuple[str, str]] = field(default_factory=list)
    kept: list[Taken] = field(default_factory=list)
    dropped: list[Taken] = field(default_factory=list)
    patients: Mapping[str, Split] = field(default_factory=dict)


class BatchWriter:
    """Writes the batches of one import, one after the other.

    Args:
        pool: Holds the staged images.
        ledger: Open ledger.
        rules: What the import goes by.
        report: Is brought up to date with each batch.
        refuse: Called with name and reason of what is refused.
    """

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        rules: Rules,
        report: Report,
        refuse: Callable[[str, str], None],
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._rules = rules
        self._report = report
        self._refuse = refuse
        self._films: FilmIndex | None = None
        self._settled = 0  # of the films: those after them belong to the batch in hand
        self._words = SourceWords(ledger, rules)

    def write(self, batch: Sequence[tuple[Asked, Taken | None]]) -> None:
        """Decides on the items of a batch and writes what they are.

        Raises:
            StorageError: The disk is full.
            LedgerError: The ledger cannot be written.
        """
        if not batch:
            return
        while True:
            draft = self._decide(batch)
            for taken in draft.kept:
                self._pool.keep(taken.image)
            if draft.kept:
                self._pool.flush()
            if self._record(draft):
                break
            self._films = None  # Another import has added films meanwhile: once more.
        self._tell(draft)

    def _decide(self, batch: Sequence[tuple[Asked, Taken | None]]) -> _Draft:
        """Says what each item is, in order."""
        draft = _Draft()
        ids = {taken.image.id if taken else asked.radiograph_id for asked, taken in batch}
        known = self._ledger.radiographs_among(ids)
        splits = Splits(
            self._rules.split_of_new,
            self._ledger.patient_splits({asked.patient for asked, _ in batch}),
            wishes={asked.patient: asked.item.split for asked, _ in batch if asked.item.split},
        )
        candidates = self._search(batch, known)
        films = self._films_of(candidates)
        for asked, taken in batch:
            if taken is None:
                self._become(asked, known[asked.radiograph_id], splits, draft)
                continue
            there = known.get(taken.image.id) or draft.radiographs.get(taken.image.id)
            if there is None:
                self._decide_on(asked, taken, candidates[taken.image.id], films, splits, draft)
                continue
            draft.kept.append(taken)  # Perhaps its file was lost.
            self._become(asked, there, splits, draft)
        draft.patients = splits.shared
        return draft

    def _decide_on(
        self,
        asked: Asked,
        taken: Taken,
        candidates: Sequence[Candidate],
        films: dict[str, Film],
        splits: Splits,
        draft: _Draft,
    ) -> None:
        file = partial(self._pool.staged_path, taken.image)
        film = NewFilm(taken, asked.patient, self._rules.source, file)
        decision = decide(film, candidates, films, splits, self._pool.limits)
        if decision.radiograph is None:
            draft.refused.append((asked.item.name, decision.refusal))
            draft.dropped.append(taken)
        elif not decision.new:
            draft.dropped.append(taken)
            self._become(asked, decision.radiograph, splits, draft)
        else:
            new = decision.radiograph
            films[new.id] = Film(new, file)
            draft.radiographs[new.id] = new
            draft.films[new.id] = taken.film
            draft.near += decision.near
            draft.kept.append(taken)
            draft.became.append((asked, new))

    def _become(self, asked: Asked, radiograph: Radiograph, splits: Splits, draft: _Draft) -> None:
        splits.share(asked.patient, radiograph.split)
        own = splits.settled[asked.patient]
        if own is not radiograph.split:
            what = OTHER_PATIENT.format(radiograph.split, own)
            draft.flagged.append((asked.item.name, what))
        draft.became.append((asked, radiograph))

    def _search(
        self, batch: Sequence[tuple[Asked, Taken | None]], known: Mapping[str, Radiograph]
    ) -> dict[str, list[Candidate]]:
        """Returns id -> films that may be the same, of all images that no radiograph has."""
        fresh = {
            taken.image.id: taken.film
            for _, taken in batch
            if taken is not None and taken.image.id not in known
        }
        if not fresh:
            return {}
        if self._films is None:
            self._films = self._load_films()
            self._settled = len(self._films)
        self._films.keep_after(self._settled, ())
        self._films.add(list(fresh), np.frombuffer(b"".join(fresh.values()), np.uint8))
        return dict(zip(fresh, self._films.search_after(self._settled), strict=True))

    def _films_of(self, candidates: Mapping[str, Sequence[Candidate]]) -> dict[str, Film]:
        wanted = {one.radiograph_id for found in candidates.values() for one in found}
        there = self._ledger.radiographs_among(wanted) if wanted else {}
        return {key: Film(one, partial(self._pool.path, one)) for key, one in there.items()}

    def _load_films(self) -> FilmIndex:
        """Reads the fingerprints of all radiographs; makes those that an old ledger lacks."""
        films = self._ledger.fingerprints()
        if self._ledger.count_radiographs() > len(films):
            missing: dict[str, bytes] = {}
            for radiograph in self._ledger.radiographs():
                if radiograph.id not in films:
                    try:
                        payload = self._pool.path(radiograph).read_bytes()
                        missing[radiograph.id] = fingerprint(read_small(payload))
                    except (OSError, ImageError):
                        continue  # Its file is lost: it can be compared with nothing.
            self._ledger.record_import(ImportBatch(fingerprints=missing), len(films))
            films |= missing
        return FilmIndex(films)

    def _record(self, draft: _Draft) -> bool:
        heard = self._words.hear(draft.became, draft.radiographs)
        origins = {
            asked.key: Origin(one.id, asked.item.stamp)
            for asked, one in draft.became
            if asked.radiograph_id != one.id
        }
        if origins or heard.changed or draft.patients:
            batch = ImportBatch(
                list(draft.radiographs.values()),
                draft.films,
                draft.near,
                origins,
                heard.changed,
                heard.references,
                draft.patients,
            )
            if not self._ledger.record_import(batch, self._settled):
                return False
        self._words.remember(heard)
        self._report.flagged += heard.flagged
        return True

    def _tell(self, draft: _Draft) -> None:
        """Brings report and index up to date with what was written."""
        if self._films is not None:
            self._films.keep_after(self._settled, draft.films)
            self._settled = len(self._films)
        for taken in draft.dropped:
            self._pool.drop(taken.image)
        for name, reason in draft.refused:
            self._refuse(name, reason)
        self._report.new += len(draft.radiographs)
        self._report.known += len(draft.became) - len(draft.radiographs)
        self._report.radiograph_ids |= {asked.item.name: one.id for asked, one in draft.became}
        self._report.near_duplicates += draft.near
        self._report.flagged += draft.flagged
