"""The straight edges of collimators and plates, found in a coarse copy of a film."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from data.images.box import (
    AS_IS,
    BORDERS,
    LEAST_LEFT,
    Box,
    Grey,
    Sensitivity,
    grey_range,
    is_enough,
    whole,
)

EDGE_STEP = 0.1
"""Step of the grey value at an edge, as a share of the film's range."""
EDGE_WIDTH = 5
"""Coarse pixels across which an edge steps: room for a plate that lies askew by 3 degrees."""
EDGE_DEPTH = 0.45
"""Share of the film within which its edge is looked for, from each side."""
BRIGHT_EDGE, DARK_EDGE = 0.8, 0.92
"""Share of the side along which an edge has to run, where it is brighter or darker outside than
inside. The side of a forearm with closed fingers is also straight and darker outside."""
FLAT_WITHIN = 0.15
"""Where it is darker outside, how much of the step's height the grey value may still rise within:
behind the side of a chest or an arm it rises on."""
EMPTY_TEXTURE = 0.03
"""Change of the grey value along a row where something is shown: share of the range of the film's
inner part."""
EMPTY_SHARE = 0.02
"""Share of a row in which its grey value may change and nothing is shown yet."""


def without_edges(film: Grey, dark: bool, sensitivity: Sensitivity = AS_IS) -> Box:
    """Cuts off what lies beyond straight edges, side by side until no side has one.

    Args:
        film: A coarse copy, with a long side of about 96 pixels.
        dark: Also edges that are darker outside than inside.
        sensitivity: What counts as an edge, and as nothing.
    """
    low, high = grey_range(film, 0.01)
    step = max(sensitivity.least_step, EDGE_STEP * (high - low))
    # A dark hand is to be noticed beside a white rim.
    down, across = film.shape[0] // 8, film.shape[1] // 8
    low, high = grey_range(film[down : film.shape[0] - down, across : film.shape[1] - across], 0.02)
    flat = max(sensitivity.least_texture, EMPTY_TEXTURE * (high - low))
    box, side, without = whole(film), 0, 0
    for _ in range(4 * BORDERS):
        part = film[box.top : box.bottom, box.left : box.right]
        inwards = (part, part[::-1], part.T, part.T[::-1])[side]
        depth = _edge_depth(inwards, step, flat, dark)
        without = 0 if depth else without + 1
        if without == 4:
            break
        ends = list(box)
        ends[side] += -depth if side in (1, 3) else depth
        box, side = Box(*ends), (side + 1) % 4
        if not is_enough(box, whole(film), LEAST_LEFT):
            return whole(film)
    return box


def _edge_depth(film: Grey, step: float, flat: float, dark: bool) -> int:
    """Returns how many of the first rows lie beyond the innermost edge that runs along the rows."""
    deep, width = int(film.shape[0] * EDGE_DEPTH), film.shape[1]
    corner = width // 10
    if deep < 3 or width < 12:
        return 0
    rows = min(deep, film.shape[0] - EDGE_WIDTH)
    # In the corners lie the borders of the other two sides.
    film = film[:, corner : width - corner]
    width = film.shape[1]
    rise = film[EDGE_WIDTH : EDGE_WIDTH + rows] - film[:rows]
    bright = _count(rise < -step) >= BRIGHT_EDGE * width
    dim = _count(rise > step) >= DARK_EDGE * width
    edges = bright | (dim & dark)
    if not edges.any():
        return 0
    change = cv2.absdiff(film[:rows, 2:], film[:rows, :-2])
    busy = _count(change > flat) > EMPTY_SHARE * change.shape[1]
    if busy.any():  # The first row that is not empty may be the one in which the edge begins.
        edges[int(np.argmax(busy)) + 1 :] = False
    found = np.flatnonzero(edges)
    if not found.size:
        return 0
    row = int(found[-1])
    if not bright[row] and not _is_flat_within(film, row):
        return 0
    if bright[row]:
        return row + 1 + _crossing(film[row] - film[row + 1 :], step, flat, BRIGHT_EDGE)
    return row + 1 + _crossing(film[row + 1 :] - film[row], step, flat, DARK_EDGE)


def _crossing(change: Grey, step: float, flat: float, share: float) -> int:
    """Returns how many rows an edge takes to cross its share of the columns, or to meet something.

    Args:
        change: From the last row outside to each row within, positive where the edge was crossed.
        step: Change at which it was.
        flat: Least change between neighbours where something is shown.
        share: Of the columns, at which the edge is over.
    """
    near = change[:EDGE_WIDTH]
    crossed = near > step
    over = int(np.argmax(_count(crossed) >= share * near.shape[1]))
    busy = cv2.absdiff(near[:, 2:], near[:, :-2]) > flat
    shown = _count(busy & crossed[:, 2:] & crossed[:, :-2]) > EMPTY_SHARE * near.shape[1]
    return min(over, int(np.argmax(shown))) if shown.any() else over


def _count(true: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Returns how many pixels of each row are true; a third of the time that NumPy takes."""
    sums = cv2.reduce(true.view(np.uint8), 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
    return np.asarray(sums, np.int32)[:, 0]


def _is_flat_within(film: Grey, row: int) -> bool:
    """Says whether a step up from a dark row ends at a background, and not in thicker tissue."""
    here, after, deeper = (
        float(np.median(film[min(row + distance, film.shape[0] - 1)]))
        for distance in (0, EDGE_WIDTH, 2 * EDGE_WIDTH)
    )
    return deeper - after <= FLAT_WITHIN * (after - here)
