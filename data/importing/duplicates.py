"""Find films that look like those that are known already, among a hundred thousand of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.images.fingerprint import CELLS, SIZE, film_bits, tangent_bases, tangent_distances

MAX_DIFFERENT_BITS = 28
"""Of `image_fingerprint.BITS`. More bits differ on one of twenty films that were cut by 3 % at two
sides, and on no film that was re-compressed, scaled or brightened (docs/dataset.md)."""

MAX_TANGENT_DISTANCE = 0.016
"""Of 79.5 million pairs of different hands, 88 were nearer."""

MAX_SHAPE_STEPS = 4
"""Of `image_fingerprint.SHAPE_STEPS`: one side may be cut by a twelfth."""

MAX_CANDIDATES = 8
"""Films that one film is laid onto at the most, the likeliest first."""

BLOCK = 64
"""Films that are searched together, so that what they are compared with stays in the cache."""

FIRST_ROWS = 1024
"""Fingerprints for which there is room at first; doubled whenever it is full."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A film that may be the same.

    Attributes:
        radiograph_id: See `Radiograph.id`.
        distance: Tangent distance of the fingerprints, 0..1.
    """

    radiograph_id: str
    distance: float


class FilmIndex:
    """The fingerprints of all known radiographs, in memory: about 280 bytes each."""

    def __init__(self, known: Mapping[str, bytes] | None = None) -> None:
        self._ids: list[str] = []
        self._pictures = np.zeros((FIRST_ROWS, CELLS), np.uint8)
        self._shapes = np.zeros(FIRST_ROWS, np.int16)
        self._bits = np.zeros((2, FIRST_ROWS), np.uint64)
        if known:
            self.add(list(known), np.frombuffer(b"".join(known.values()), np.uint8))

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, radiograph_ids: Sequence[str], films: NDArray[np.uint8]) -> None:
        """Adds films.

        Args:
            radiograph_ids: n ids that the index does not hold.
            films: n fingerprints, (n, SIZE) or flat.
        """
        rows = films.reshape(-1, SIZE)
        begin, end = len(self), len(self) + len(rows)
        if end > len(self._shapes):
            more = max(end, 2 * len(self._shapes)) - len(self._shapes)
            self._pictures = np.pad(self._pictures, ((0, more), (0, 0)))
            self._shapes = np.pad(self._shapes, (0, more))
            self._bits = np.pad(self._bits, ((0, 0), (0, more)))
        self._ids += radiograph_ids
        self._pictures[begin:end] = rows[:, :CELLS]
        self._shapes[begin:end] = rows[:, CELLS]
        self._bits[:, begin:end] = film_bits(self._pictures[begin:end]).T

    def keep_after(self, count: int, radiograph_ids: Collection[str]) -> None:
        """Drops the films that were added after the first `count`, but for those named."""
        kept = [row for row in range(count, len(self)) if self._ids[row] in radiograph_ids]
        end = count + len(kept)
        if end < len(self):
            self._ids[count:] = [self._ids[row] for row in kept]
            self._pictures[count:end] = self._pictures[kept]
            self._shapes[count:end] = self._shapes[kept]
            self._bits[:, count:end] = self._bits[:, kept]

    def search(self, films: NDArray[np.uint8], before: Sequence[int]) -> list[list[Candidate]]:
        """Returns for each film those that may be the same, the nearest first.

        Films without contrast are candidates of each other, at distance 0.

        Args:
            films: (n, SIZE) fingerprints.
            before: n numbers: each film is compared with so many that were added first.
        """
        found: list[list[Candidate]] = []
        for begin in range(0, len(films), BLOCK):
            block = films[begin : begin + BLOCK]
            pictures = np.ascontiguousarray(block[:, :CELLS])
            shapes = block[:, CELLS].astype(np.int16)
            counts = before[begin : begin + BLOCK]
            found += self._search(pictures, shapes, film_bits(pictures), counts)
        return found

    def search_after(self, count: int) -> list[list[Candidate]]:
        """Searches each film after the first `count` among all that were added before it."""
        found: list[list[Candidate]] = []
        for begin in range(count, len(self), BLOCK):
            rows = range(begin, min(begin + BLOCK, len(self)))
            block = slice(begin, rows.stop)
            bits = self._bits[:, block].T
            found += self._search(self._pictures[block], self._shapes[block], bits, rows)
        return found

    def _search(
        self,
        pictures: NDArray[np.uint8],
        shapes: NDArray[np.int16],
        bits: NDArray[np.uint64],
        before: Sequence[int],
    ) -> list[list[Candidate]]:
        alike = [self._alike(*film) for film in zip(bits, shapes, before, strict=True)]
        counts = [len(rows) for rows in alike]
        others = self._pictures[np.concatenate(alike)]
        distances = tangent_distances(tangent_bases(pictures), others, counts)
        found = []
        for picture, rows, last in zip(pictures, alike, np.cumsum(counts), strict=True):
            nearness = np.asarray(distances[last - len(rows) : last], np.float32)
            if not picture.any():
                nearness = np.asarray(self._pictures[rows].any(axis=1), np.float32)
            found.append(self._nearest(rows, nearness))
        return found

    def _alike(self, bits: NDArray[np.uint64], shape: np.int16, count: int) -> NDArray[np.intp]:
        different = np.bitwise_count(self._bits[0, :count] ^ bits[0])
        different += np.bitwise_count(self._bits[1, :count] ^ bits[1])
        rows = (different <= MAX_DIFFERENT_BITS).nonzero()[0]
        same_shape = np.abs(self._shapes[rows] - shape) <= MAX_SHAPE_STEPS
        return np.asarray(rows[same_shape], np.intp)

    def _nearest(self, rows: NDArray[np.intp], distances: NDArray[np.float32]) -> list[Candidate]:
        near = (distances <= MAX_TANGENT_DISTANCE).nonzero()[0]
        if not len(near):
            return []
        order = near[np.argsort(distances[near], kind="stable")][:MAX_CANDIDATES]
        return [Candidate(self._ids[rows[i]], float(distances[i])) for i in order]
