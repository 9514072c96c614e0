"""Display windows: which grey values of a film become black and white."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from data.images.box import Grey, grey_range
from data.images.markers import Measured

SIDE, RIM = 64, 8
"""Cells of the coarse copy along a side, and those along its rim that are left out."""
CHANGE, LEAST_CHANGE = 0.015, 0.5
"""Change of the grey value from cell to cell where something is shown: share of the range of the
cells, grey levels."""
LEAST_SEEN = 0.15
"""Share of the cells that have to change; otherwise all of them are taken."""
LOWEST, HIGHEST, ABOVE = 4, 97.5, 0.2
"""Percentiles of what changes, and how much of their distance is left above them for the bones."""
LEAST_WIDTH = 2.0
"""Grey levels of the narrowest window."""
AROUND = np.ones((3, 3), np.uint8)


def display_window(measured: Measured, hand: Grey | None) -> tuple[float, float]:
    """Returns the grey values that become black and white, whatever the exposure is.

    Looked for in a coarse copy from which markers were taken out, on and around the hand where a
    mask tells it and else within the inner three quarters, where it lies, and only where the grey
    value changes by a share of its own range there, which leaves out background and padding.

    Args:
        measured: The part of the film that is shown.
        hand: How much of each pixel of that part is hand, 0..1, of any size; None: not known.
    """
    coarse = _coarse(measured.film.astype(np.float32))
    inner = _inner(hand)
    if measured.markers is not None:
        clear = inner & (cv2.dilate(_coarse(measured.markers), AROUND) == 0)
        if np.count_nonzero(clear) >= LEAST_SEEN * np.count_nonzero(inner):
            inner = clear
    black, white = grey_range(coarse[inner], 0.01)
    seen = _seen(coarse, inner, max(LEAST_CHANGE, CHANGE * (white - black)))
    low, high = np.percentile(seen, (LOWEST, HIGHEST))
    return float(low), float(max(high + ABOVE * (high - low), low + LEAST_WIDTH))


def fixed_window(film: Grey, hand: Grey | None) -> tuple[float, float]:
    """Returns the grey values that become black and white for models of before `levelled`.

    Like `display_window`, with thresholds in grey levels, and with markers left in.

    Args:
        film: The part of the film that is shown, grey.
        hand: How much of each pixel of that part is hand, 0..1; None: not known.
    """
    low, high = np.percentile(_seen(_coarse(film), _inner(hand), 1.5), (LOWEST, HIGHEST))
    return float(low), float(max(high + ABOVE * (high - low), low + 8))


def _coarse(film: Grey | NDArray[np.uint8]) -> Grey:
    return np.asarray(cv2.resize(film, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.float32)


def _inner(hand: Grey | None) -> NDArray[np.bool_]:
    """Returns which cells lie on or around the hand, or where it is not known in the middle."""
    if hand is not None:
        return np.asarray(cv2.dilate(_coarse(hand), AROUND) > 0)
    inner = np.zeros((SIDE, SIDE), bool)
    inner[RIM:-RIM, RIM:-RIM] = True
    return inner


def _seen(coarse: Grey, inner: NDArray[np.bool_], least: float) -> Grey:
    """Returns the grey values of the cells in which something is shown."""
    change = cv2.dilate(coarse, AROUND) - cv2.erode(coarse, AROUND)
    seen = coarse[inner & (change > least)]
    if seen.size < np.count_nonzero(inner) * LEAST_SEEN:
        seen = coarse[inner]
    return np.asarray(seen, np.float32)
