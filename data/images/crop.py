"""Which part of a film shows the patient: found in the pixels alone, too much in doubt.

Three steps, each of which only takes away from the outside: plain rows and columns (padding, the
rim of a plate); what lies beyond the straight edge of a collimator or a plate; and the empty
background, with its lead markers, around the one large thing that is shown.
"""

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
from data.images.edges import without_edges

COARSE = 96
"""Long side, pixels, of the copy in which edges and things are looked for: noise fades there."""
STEP_DEPTH, STEP_WIDTH = 0.04, 0.4
"""Behind a plain border that ends in a step: how deep within, and along which share of it, the
grey value is another one. Several finger tips are narrower."""
TEXTURE, LEAST_TEXTURE = 0.045, 0.8
"""Change of the grey value where something is shown: share of the film's range, grey levels."""
MARKER_SIDE = 0.3
"""A lead marker covers no more than this share of either side."""
LINE_WIDTH = 8
"""Coarse pixels: what is thinner and runs along a side of the film is what an edge has left."""
LEAST_THING = 0.25
"""Share of each side that the thing that is shown covers; otherwise the film is kept."""


def plain_box(image: NDArray[np.uint8], sensitivity: Sensitivity = AS_IS) -> Box:
    """Returns the film without outer rows and columns in which nothing is to be seen.

    A row is plain if its grey values differ by no more than 6 % of the image's own range (2 to 10
    levels), so the faint hand of a dark film is never plain. Border within border is cut off too.
    If less than a fifth of a side would remain, the whole image is kept.

    Args:
        image: (height, width) grey.
        sensitivity: What counts as something.
    """
    sample = image[:: 1 + image.shape[0] // 128, :: 1 + image.shape[1] // 128]
    low, high = np.percentile(sample, (1, 99))
    plain = float(np.clip(0.06 * (high - low), 2, 10))
    box, steps = whole(image), sensitivity.plain_ends_in_step
    for _ in range(BORDERS):
        film = image[box.top : box.bottom, box.left : box.right]
        inside = Box(*_busy_span(film, 1, plain), *_busy_span(film, 0, plain))
        if steps:
            inside = _ending_in_steps(film, inside, plain)
        if not is_enough(inside, whole(image), LEAST_LEFT):
            return whole(image)
        if inside == whole(film):
            break
        box = inside.within(box)
    return box


def field_box(image: NDArray[np.uint8], sensitivity: Sensitivity = AS_IS) -> Box:
    """Returns the exposed field: the film without plain borders, plate rims and collimator edges.

    Args:
        image: (height, width) grey.
        sensitivity: What counts as something.
    """
    outer = plain_box(image, sensitivity)
    coarse = _coarse(image[outer.top : outer.bottom, outer.left : outer.right])
    return _fine(without_edges(coarse, dark=True, sensitivity=sensitivity), coarse, outer)


def hand_box(image: NDArray[np.uint8], sensitivity: Sensitivity = AS_IS) -> Box:
    """Returns the part of the exposed field that shows something, markers beside it left out.

    Args:
        image: (height, width) grey.
        sensitivity: What counts as something.
    """
    outer = plain_box(image, sensitivity)
    coarse = _coarse(image[outer.top : outer.bottom, outer.left : outer.right])
    field = without_edges(coarse, dark=True, sensitivity=sensitivity)
    seen = coarse[field.top : field.bottom, field.left : field.right]
    thing = _thing(seen)
    if not is_enough(thing, whole(seen), LEAST_THING):
        return _fine(field, coarse, outer)
    if thing != whole(seen):
        # A white rim that ended at a corner of the field may now run from end to end.
        rest = seen[thing.top : thing.bottom, thing.left : thing.right]
        thing = without_edges(rest, dark=False, sensitivity=sensitivity).within(thing)
    return _fine(thing.within(field), coarse, outer)


def _busy_span(film: NDArray[np.uint8], axis: int, plain: float) -> tuple[int, int]:
    """Returns from where to where rows (axis 1) or columns (axis 0) are not plain."""
    busy = np.flatnonzero(film.max(axis=axis) - film.min(axis=axis) > plain)
    return (int(busy[0]), int(busy[-1]) + 1) if busy.size else (0, 0)


def _ending_in_steps(film: NDArray[np.uint8], inside: Box, plain: float) -> Box:
    """Returns a box with those of its sides moved out to the rim that lie at no step."""
    top, bottom, left, right = inside
    high, wide = film[:, left:right], film[top:bottom].T
    return Box(
        top if _steps(high, top, plain) else 0,
        bottom if _steps(high[::-1], len(high) - bottom, plain) else len(high),
        left if _steps(wide, left, plain) else 0,
        right if _steps(wide[::-1], len(wide) - right, plain) else len(wide),
    )


def _steps(film: NDArray[np.uint8], first: int, plain: float) -> bool:
    """Says whether most columns change where the rows before `first` end."""
    if not first or not film.size:
        return False
    within = min(first + max(1, round(STEP_DEPTH * len(film))), len(film) - 1)
    outside = film[first - 1].astype(np.int16)
    return bool(np.mean(np.abs(film[within] - outside) > plain / 2) >= STEP_WIDTH)


def _coarse(film: NDArray[np.uint8]) -> Grey:
    """Returns a copy with a long side of `COARSE` pixels; grey values stay in 0..255."""
    scale = COARSE / max(film.shape)
    size = (max(1, round(film.shape[1] * scale)), max(1, round(film.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    # Eight bits are fine enough where each pixel is the mean of many, and quicker.
    source = film if scale < 0.25 else film.astype(np.float32)
    return np.asarray(cv2.resize(source, size, interpolation=method), np.float32)


def _fine(box: Box, coarse: Grey, outer: Box) -> Box:
    """Returns the part of the image that a box of the coarse copy covers; rather too large."""
    down, across = outer.height / coarse.shape[0], outer.width / coarse.shape[1]
    return Box(
        int(box.top * down),
        min(outer.height, int(np.ceil(box.bottom * down))),
        int(box.left * across),
        min(outer.width, int(np.ceil(box.right * across))),
    ).within(outer)


def _thing(film: Grey) -> Box:
    """Returns where something is shown in a coarse copy, with two pixels around it.

    Everything that is shown counts, except lines along a side and what may be a lead marker: apart
    from the largest thing, small and as white as anything on the film.
    """
    low, high = grey_range(film, 0.02)
    around = np.ones((3, 3), np.uint8)
    change = cv2.dilate(film, around) - cv2.erode(film, around)
    shown = (change > max(LEAST_TEXTURE, TEXTURE * (high - low))).astype(np.uint8)
    reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    count, _, stats, _ = cv2.connectedComponentsWithStats(cv2.dilate(shown, reach))
    if count < 2:
        return whole(film)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    boxes = []
    for number, (left, top, width, height, _) in enumerate(stats.tolist()):
        box = Box(top, top + height, left, left + width)
        if number and (number == largest or not _is_beside(film, box, high)):
            boxes.append(box)
    ends = np.asarray(boxes)
    (top, _, left, _), (_, bottom, _, right) = ends.min(axis=0), ends.max(axis=0)
    return Box(int(top), int(bottom), int(left), int(right))


def _is_beside(film: Grey, box: Box, white: float) -> bool:
    """Says whether a small thing is none of the patient's: a marker, or the rest of an edge."""
    height, width = film.shape
    lies = (box.top == 0 or box.bottom == height) and box.height <= LINE_WIDTH
    stands = (box.left == 0 or box.right == width) and box.width <= LINE_WIDTH
    wide, high = box.width > MARKER_SIDE * width, box.height > MARKER_SIDE * height
    if (lies and wide) or (stands and high):
        return True
    whitest = float(film[box.top : box.bottom, box.left : box.right].max())
    return not wide and not high and whitest >= white
