"""The settled films of the training split that look most like a film to the model that serves."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillComputing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from data.domain import Radiograph
from data.errors import CarpalError
from workers.standards import Standard, Standards

if TYPE_CHECKING:
    from trainer.explanations.neighbours import NeighbourIndex

Features: TypeAlias = NDArray[np.float32]

SHOWN = 6
"""Similar cases of a film."""
WAIT_S = 0.7
"""Longest time that a page waits for the features of its film."""
ASK_AGAIN_S = 600.0
"""An index is asked for this rarely: one that was asked for and lost in the queue comes later."""
REMEMBERED = 512
"""Films whose features are kept in memory."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SimilarCase:
    """A settled film that is like another one.

    Attributes:
        standard: The film; its place means nothing here.
        similarity: Cosine of the angle between the features, -1..1; 1: alike.
    """

    standard: Standard
    similarity: float


@dataclass(frozen=True, slots=True)
class Similar:
    """The films that are like a film.

    Attributes:
        state: `ready`; `preparing`: ask again in a moment; `no_model`; `failed`.
        cases: The most similar first.
        searched: Settled films that were searched.
        reason: Why it failed, for a person.
    """

    state: Literal["ready", "preparing", "no_model", "failed"]
    cases: tuple[SimilarCase, ...] = ()
    searched: int = 0
    reason: str = ""


class SimilarCases:
    """Finds similar films without ever keeping a page waiting.

    Features are computed in a thread of their own; the index is made by a worker
    (`workers.similar_index`) and read here whenever its file is a new one.

    Args:
        folder: Where the indices are.
        embed: Returns the features of a film, of length 1, as a model version sees it.
        request_index: Asks for the index of a model version.
        wait_s: Longest time that `of` waits.
    """

    def __init__(
        self,
        folder: Path,
        embed: Callable[[Radiograph, str], Features],
        request_index: Callable[[str], object],
        wait_s: float = WAIT_S,
    ) -> None:
        self._folder = folder
        self._embed = embed
        self._request_index = request_index
        self._wait_s = wait_s
        self._lock = threading.Lock()
        self._computing = ThreadPoolExecutor(1, thread_name_prefix="features")
        self._features: OrderedDict[tuple[str, str], Future[Features]] = OrderedDict()
        self._held: _Held | None = None
        self._asked: dict[str, float] = {}

    def of(self, radiograph: Radiograph, model_version: str, standards: Standards) -> Similar:
        """Returns the settled films that a model finds most like a film, never of its patient.

        Args:
            radiograph: The film.
            model_version: The model; empty: there is none.
            standards: Those of the ledger; a film that is none any more is left out.
        """
        if not model_version:
            return Similar("no_model")
        if not standards.training_films():
            return Similar("ready")  # There is nothing to search, and no index will ever be made.
        try:
            held = self._current(model_version, standards)
            if held is None or held.lacks_films:
                self._ask(model_version)
            if held is None or not held.rows:
                return Similar("preparing")
            features = self._features_of(radiograph, held)
        except StillComputing:
            return Similar("preparing")
        except CarpalError as error:
            return Similar("failed", reason=str(error))
        return _most_similar(radiograph, held, features)

    def _current(self, model_version: str, standards: Standards) -> _Held | None:
        from trainer.explanations.neighbours import NeighbourIndex, index_file

        try:
            written = index_file(self._folder, model_version).stat().st_mtime_ns
        except OSError:
            return None
        held = self._held
        if held is None or (held.index.model_version, held.written) != (model_version, written):
            index = NeighbourIndex.load(self._folder, model_version)
        elif held.standards is not standards:
            index = held.index
        else:
            return held
        self._held = held = None if index is None else _Held.of(index, written, standards)
        return held

    def _ask(self, model_version: str) -> None:
        now = time.monotonic()
        with self._lock:
            if now - self._asked.get(model_version, -ASK_AGAIN_S) < ASK_AGAIN_S:
                return
            self._asked = {model_version: now}
        try:
            self._request_index(model_version)
        except CarpalError as error:
            log.warning("Similar cases are indexed another time: %s", error)

    def _features_of(self, radiograph: Radiograph, held: _Held) -> Features:
        """Returns the features of a film; StillComputing if they take too long.

        A failure is told once and tried again at the next request.
        """
        row = held.rows.get(radiograph.id)
        if row is not None:
            known: Features = held.index.embeddings[row]
            return known
        key = (radiograph.id, held.index.model_version)
        with self._lock:
            if key not in self._features:
                self._features[key] = self._computing.submit(self._embed, radiograph, key[1])
                if len(self._features) > REMEMBERED:
                    self._features.popitem(last=False)[1].cancel()
            computed = self._features[key]
        try:
            return computed.result(self._wait_s)
        except CarpalError:
            with self._lock:
                self._features.pop(key, None)
            raise


@dataclass(frozen=True, slots=True)
class _Held:
    """An index as it was read, and the standards that its films are now.

    Attributes:
        index: Features of films.
        written: When its file was written, ns.
        rows: Radiograph -> its row.
        standards: Those of the ledger.
        patients: (N,) pseudonyms; empty where the film is a standard no more.
        lacks_films: Some film of the training split is not in the index.
    """

    index: NeighbourIndex
    written: int
    rows: Mapping[str, int]
    standards: Standards
    patients: NDArray[np.str_]
    lacks_films: bool

    @classmethod
    def of(cls, index: NeighbourIndex, written: int, standards: Standards) -> _Held:
        rows = {key: row for row, key in enumerate(index.ids)}
        found = [standards.of_film(key) for key in index.ids]
        patients = np.asarray([s.radiograph.patient if s else "" for s in found], np.str_)
        lacks = not rows.keys() >= standards.training_films().keys()
        return cls(index, written, rows, standards, patients, lacks)


def _most_similar(radiograph: Radiograph, held: _Held, features: Features) -> Similar:
    counts = held.patients != ""
    for patient in held.standards.patients_of(radiograph.patient):
        counts &= held.patients != patient
    cases = []
    for one in held.index.nearest(features, SHOWN, counts):
        standard = held.standards.of_film(one.radiograph_id)
        if standard is not None:
            cases.append(SimilarCase(standard, one.similarity))
    return Similar("ready", tuple(cases), searched=int(counts.sum()))
