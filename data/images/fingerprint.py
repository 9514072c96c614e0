"""What a film looks like, in few bytes: finds the same film in another file.

A fingerprint is a picture of 16 x 16 grey values, stretched to the film's own range, and one byte
for the film's shape. The same film re-compressed, scaled, cut by a few percent at its edges,
brighter or with more contrast has nearly the same picture up to a small shift and stretch. Three
questions sort out hands that only look alike, each costlier and asked of fewer pairs:

1. `film_bits`: 128 bits, the signs of the picture's lowest cosine frequencies (Zauner,
   Implementation and benchmarking of perceptual image hash functions, 2010, section 3.2.1);
2. `tangent_distances`: how much of the picture remains unexplained if it may be shifted,
   stretched and brightened a little (Simard et al., Transformation invariance in pattern
   recognition, 1998, section 2: the tangent distance);
3. `data.images.registration.registered_distance`: the films themselves, laid onto one another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from data.images.decoding import SmallFilm

SIDE = 16
"""Rows and columns of a fingerprint."""

CELLS = SIDE * SIDE

SIZE = CELLS + 1
"""Bytes of a fingerprint."""

SHAPE_STEPS = 32
"""Steps of the last byte for a film that is twice as wide; 128 is a square."""

BITS = 128
"""Bits of `film_bits`."""

_SPREAD = 0.5
"""Standard deviation of the Gaussian window of a cell, in cells: without overlap, the edge of a
bone would jump from one cell to the next with a shift of one pixel."""

_FLAT_RANGE = 2.0
"""A film with fewer grey levels between its darkest and lightest cell shows nothing."""

_BORDER = 1
"""Cells at the edge that are not compared: what was cut off from one of the films."""

_INNER = SIDE - 2 * _BORDER

_ROWS = 200
"""Of a matrix product, so small that the linear algebra library wakes no further threads for it."""

_RIDGE = 1e-5
"""Keeps changes apart that are one and the same for some films, such as for a ramp of grey."""

_Floats: TypeAlias = NDArray[np.float32]


def fingerprint(film: SmallFilm) -> bytes:
    """Returns `CELLS` grey values, rows from top to bottom, and the shape.

    The grey values of a film without contrast are zero.
    """
    rows = _window(film.pixels.shape[0], film.rows)
    columns = _window(film.pixels.shape[1], film.columns)
    picture = rows @ film.pixels.astype(np.float32) @ columns.T
    low, high = float(picture.min()), float(picture.max())
    shape = round(SHAPE_STEPS * math.log2(film.width / film.height)) + 128
    last = bytes((min(max(shape, 0), 255),))
    if high - low < _FLAT_RANGE:
        return bytes(CELLS) + last
    return ((picture - low) * (255 / (high - low)) + 0.5).astype(np.uint8).tobytes() + last


def film_bits(pictures: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Returns the bits by which fingerprints are compared first.

    Args:
        pictures: (n, CELLS), fingerprints without their last byte.

    Returns:
        (n, 2): `BITS` bits each. Of two fingerprints of one film, 28 differ at the most.
    """
    cosines, lowest = _cosines()
    squares = pictures.reshape(-1, SIDE, SIDE).astype(np.float32)
    # Many small products, for which the linear algebra library wakes no further threads.
    waves = (cosines @ squares @ cosines.T).reshape(-1, CELLS).take(lowest, axis=1)
    half = BITS // 2 - 1  # Only what is greater than this value is greater than the median.
    above = waves > np.partition(waves, half, axis=1)[:, half, None]
    return np.packbits(above, axis=1).view(np.uint64)


def tangent_bases(pictures: NDArray[np.uint8]) -> _Floats:
    """Returns what each film may look like after a small change.

    It may be shifted and stretched a little in both directions, brightened, and its contrast
    changed (linear model).

    Args:
        pictures: (n, CELLS), fingerprints without their last byte.

    Returns:
        (n, inner cells, 6): orthonormal columns; those of changes that change nothing are zero.
    """
    squares = pictures.reshape(-1, SIDE, SIDE).astype(np.float32)
    inner, place = slice(_BORDER, SIDE - _BORDER), (np.arange(SIDE) - (SIDE - 1) / 2) * (2 / SIDE)
    parts = np.ones((len(squares), 6, _INNER, _INNER), np.float32)
    parts[:, 1] = squares[:, inner, inner]
    parts[:, 1] -= parts[:, 1].mean(axis=(1, 2), keepdims=True)
    parts[:, 2] = squares[:, inner, 2:] - squares[:, inner, :-2]
    parts[:, 3] = squares[:, 2:, inner] - squares[:, :-2, inner]
    parts[:, 4] = parts[:, 2] * place[inner]
    parts[:, 5] = parts[:, 3] * place[inner, None]
    rows = parts.reshape(len(parts), 6, -1)
    rows /= np.sqrt(np.maximum(np.einsum("nki,nki->nk", rows, rows), 1))[:, :, None]
    # Of many small matrices, Cholesky's factors take a quarter of the time of a QR decomposition.
    products = rows @ rows.transpose(0, 2, 1) + _RIDGE * np.eye(6, dtype=np.float32)
    inverse = np.linalg.inv(np.linalg.cholesky(products))
    return np.asarray((inverse @ rows).transpose(0, 2, 1), np.float32)


def tangent_distances(bases: _Floats, others: NDArray[np.uint8], counts: Sequence[int]) -> _Floats:
    """Returns the share of fingerprints that a small change of one film does not explain.

    Args:
        bases: (n, inner cells, 6): `tangent_bases` of n films.
        others: (m, CELLS): first those to compare with the first film, and so on.
        counts: How many of them belong to each of the n films.

    Returns:
        (m,), 0 the same film to 1 nothing in common; 1 where a film has no contrast.
    """
    seen = _inner(others.reshape(-1, SIDE, SIDE)).astype(np.float32)
    seen -= seen.mean(axis=1, keepdims=True)
    power = np.einsum("ni,ni->n", seen, seen)
    inside = np.empty((len(seen), bases.shape[2]), np.float32)
    begin = 0
    for base, count in zip(bases, counts, strict=True):
        for first in range(begin, begin + count, _ROWS):
            part = slice(first, min(first + _ROWS, begin + count))
            np.matmul(seen[part], base, out=inside[part])
        begin += count
    explained = np.einsum("nk,nk->n", inside, inside)
    return np.asarray(np.clip(1 - explained / np.maximum(power, 1), 0, 1), np.float32)


def _inner(squares: NDArray[Any]) -> NDArray[Any]:
    inner = slice(_BORDER, SIDE - _BORDER)
    return squares[:, inner, inner].reshape(len(squares), _INNER * _INNER)


@lru_cache(maxsize=1024)
def _window(cells: int, extent: float) -> _Floats:
    """Returns (SIDE, cells): the weights of the cells of a row in each part of its `extent`."""
    places = np.arange(cells) + 0.5
    places[-1] = (cells - 1 + extent) / 2  # The last cell may lie half outside of the film.
    weights = np.ones(cells)
    weights[-1] = extent - (cells - 1)
    part = extent / SIDE
    centres = (np.arange(SIDE) + 0.5) * part
    width = max(_SPREAD * part, 0.3)  # of tiny films every part still sees a cell
    window = np.exp(-0.5 * np.square((centres[:, None] - places) / width)) * weights
    return np.asarray(window / window.sum(axis=1, keepdims=True), np.float32)


@lru_cache(maxsize=1)
def _cosines() -> tuple[_Floats, NDArray[np.intp]]:
    """Returns (SIDE, SIDE): a cosine a row, and where the lowest two-dimensional ones then are."""
    angles = np.pi * np.outer(np.arange(SIDE), 2 * np.arange(SIDE) + 1) / (2 * SIDE)
    waves = [(u, v) for u in range(SIDE) for v in range(SIDE) if u or v]
    waves.sort(key=lambda wave: (wave[0] ** 2 + wave[1] ** 2, wave))
    lowest = np.array([u * SIDE + v for u, v in waves[:BITS]], np.intp)
    return np.cos(angles).astype(np.float32), lowest
