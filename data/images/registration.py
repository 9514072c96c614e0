"""Lay one film onto another, to see whether both are the same."""

from __future__ import annotations

from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

SAME_FILM = 0.07
"""Registered distance up to which two files show the same film. Of 12,611 radiographs no two are
nearer than 0.10; of 1,200 phantoms no two than 0.078 (docs/dataset.md)."""

_SIDE = 128
"""Pixels a side at which films are laid onto one another."""

_ROUNDS = 60
"""Of the search for the best place; it mostly ends after fewer."""

_SMOOTH = 1.0
"""Blur that takes away the noise of compression, standard deviation in pixels."""

_COARSE = 3.0
"""Details are what this blur takes away."""

_NEIGHBOURHOOD = 8.0
"""Details count in relation to those around them, or the edge of a plate would outweigh a hand."""

_FLOOR = 1.0
"""Grey levels that details must have to count: what is weaker is noise."""

_INSIDE = 0.999
"""A place is seen where the moved film covers this share of a pixel."""

_EDGE = 5
"""Pixels beside the edge of the moved film that do not count."""

_SHARED_PART = 0.7
"""Films that overlap in less than this share of the picture are not compared."""

_Floats: TypeAlias = NDArray[np.float32]


def registered_distance(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Lays two films onto one another and returns how different their details still are.

    One film is moved by the affine map that makes the correlation largest (Evangelidis and
    Psarakis, Parametric image alignment using enhanced correlation coefficient maximization,
    2008), then the other one; the better fit counts. What is compared is finer than a finger, in
    relation to what is around it, where both show something: the plate on its black ground and
    the outline of a hand look the same on films of many people.

    Args:
        one: (height, width) grey pixels.
        other: The same of the other film.

    Returns:
        1 - correlation of the details, 0..1; 1 where the films cannot be laid onto one another.
    """
    films = _registrable(one), _registrable(other)
    return min(_moved_distance(*films), _moved_distance(*reversed(films)))


def _moved_distance(still: _Floats, moving: _Floats) -> float:
    rule = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ROUNDS, 1e-5)
    move = np.eye(2, 3, dtype=np.float32)
    try:
        cv2.findTransformECC(still, moving, move, cv2.MOTION_AFFINE, rule)
    except cv2.error:  # It does not converge: nothing fits.
        return 1.0
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    covered = cv2.warpAffine(np.ones_like(moving), move, (_SIDE, _SIDE), flags=flags) > _INSIDE
    kernel = np.ones((2 * _EDGE + 1, 2 * _EDGE + 1), np.uint8)
    seen = cv2.erode(covered.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT) > 0
    if seen.mean() < _SHARED_PART:
        return 1.0
    moved = _details(cv2.warpAffine(moving, move, (_SIDE, _SIDE), flags=flags))
    return 1 - max(0.0, _correlation(_details(still)[seen], moved[seen]))


def _registrable(film: NDArray[np.uint8]) -> _Floats:
    small = cv2.resize(film, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), _SMOOTH), np.float32)


def _details(film: Any) -> _Floats:
    """Returns what is fine, in units of what is fine around it."""
    fine = film - cv2.GaussianBlur(film, (0, 0), _COARSE)
    around = np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), _NEIGHBOURHOOD))
    return np.asarray(fine / (around + _FLOOR), np.float32)


def _correlation(one: _Floats, other: _Floats) -> float:
    a, b = one - one.mean(), other - other.mean()
    power = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
    return float((a * b).sum()) / power if power > 0 else 0.0
