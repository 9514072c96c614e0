"""Lead markers, stickers and burnt-in text: found, and taken out of a film."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data.images.box import Box, grey_range

LONGEST = 512
"""Long side, pixels, of the copy: what is measured in it is good to a fifth of a percent."""
GRID = 160
"""Long side, cells, of the grid in which markers are looked for; a cell is as white as its
whitest pixel, so thin strokes do not fade."""
ROUNDS = 4
"""Markers on one film of different whiteness, one after the other."""
WHITE = 0.85
"""Where in the range between the film's black and its whitest grey value markers begin."""
DARK_AROUND, DARK_BELOW_GAP = 0.3, 0.45
"""A marker lies on the background: up to where in that range its surroundings go, without and with
a gap above the film."""
LONGEST_SIDE = 0.3
"""Share of either side of the film that a marker covers at most."""
ALONG_RIM = 0.7
"""Share of one side of the film along which a border runs that is whiter than the film."""
LEAST_GAP, GAP, IN_GAP, BELOW_GAP = 12, 0.5, 0.003, 0.55
"""A gap in the histogram above the film: grey levels, share of the range below it, share of the
cells that may lie in it and have to lie below it."""
LEAST_RANGE = 12
"""Grey levels; on a flatter film nothing is white."""
BEYOND = 1.5
"""Times the film's range above its black: a border that is whiter is made as white as this."""

Film = NDArray[np.uint8]
Cells = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Measured:
    """A film as its crop and its display window are found in it.

    Attributes:
        film: (height, width) grey, long side up to `LONGEST`, its markers filled with what lies
            around them.
        markers: (height, width), 255 at a marker, or None where there is none.
    """

    film: Film
    markers: Film | None

    def part(self, box: Box) -> Measured:
        """Returns a part of the film."""
        rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
        markers = None if self.markers is None else self.markers[rows, columns]
        return Measured(self.film[rows, columns], markers)

    def cleared(self, image: Film) -> Film:
        """Returns the whole film itself without its markers: filled as they are in the copy.

        Args:
            image: (height, width) grey, what the copy was made of.
        """
        if self.markers is None:
            return image
        size = (image.shape[1], image.shape[0])
        where = cv2.resize(self.markers, size, interpolation=cv2.INTER_NEAREST)
        around = cv2.resize(self.film, size, interpolation=cv2.INTER_LINEAR)
        cleared = image.copy()
        cv2.copyTo(around, where, cleared)
        return cleared


def without_markers(image: Film) -> Measured:
    """Takes what is written on a film out of a copy of it.

    A marker is small, as white as anything on the film, and lies on the background. Where the
    histogram has a wide gap above the film, everything above it is a marker or a border. Bones
    are surrounded by soft tissue; where one is mistaken, its surroundings stay.

    Args:
        image: (height, width) grey.
    """
    film = _copy(image)
    whitest, mean = _grid(film)
    markers, own = _found(whitest, mean)
    low, high = grey_range(mean[own] if own.any() else mean, 0.01)
    ceiling = min(255, round(low + BEYOND * max(1.0, high - low)))
    if not markers.any():
        return Measured(np.minimum(film, np.uint8(ceiling)), None)
    size = (film.shape[1], film.shape[0])
    where = cv2.resize(markers * np.uint8(255), size, interpolation=cv2.INTER_NEAREST)
    around = _surroundings(np.minimum(mean, np.uint8(ceiling)), markers)
    filled = np.minimum(film, np.uint8(ceiling))
    cv2.copyTo(cv2.resize(around, size, interpolation=cv2.INTER_NEAREST), where, filled)
    return Measured(filled, np.asarray(where, np.uint8))


def _copy(image: Film) -> Film:
    factor = -(-max(image.shape) // LONGEST)
    if factor == 1:
        return image
    size = (max(1, image.shape[1] // factor), max(1, image.shape[0] // factor))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _grid(film: Film) -> tuple[Film, Film]:
    """Returns the whitest and the mean grey value of each cell."""
    side = -(-max(film.shape) // GRID)
    if side == 1:
        return film, film
    highest = cv2.dilate(film, np.ones((side, side), np.uint8), anchor=(0, 0))[::side, ::side]
    size = (highest.shape[1], highest.shape[0])
    mean = cv2.resize(film, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(highest), np.asarray(mean, np.uint8)


def _found(whitest: Film, mean: Film) -> tuple[Cells, Cells]:
    """Returns which cells are markers, and which are the film's own: neither marker nor border."""
    markers, own = np.zeros(whitest.shape, bool), np.ones(whitest.shape, bool)
    for _ in range(ROUNDS):
        counts = np.cumsum(np.bincount(whitest[own], minlength=256))
        low = int(np.searchsorted(counts, 0.01 * counts[-1]))
        top = int(np.searchsorted(counts, counts[-1]))
        if top - low < LEAST_RANGE:
            break
        gap = _gap(counts, low)
        white = gap or low + WHITE * (top - low)
        candidates = ((whitest > white) & own).astype(np.uint8)
        dark = low + (DARK_BELOW_GAP if gap else DARK_AROUND) * (white - low)
        found, border = _markers_and_border(candidates, mean, dark)
        above = np.count_nonzero(candidates)
        if gap and np.count_nonzero(found | border) >= 0.9 * above:
            own &= candidates == 0
        elif not found.any():
            break
        new = cv2.dilate(found.view(np.uint8), np.ones((3, 3), np.uint8)).view(bool)
        markers |= new
        own &= ~new
    return markers, own


def _gap(counts: NDArray[np.int64], low: int) -> float | None:
    """Returns the middle of the lowest wide gap in a histogram, above which the film is not.

    Args:
        counts: How many cells have each grey value or a lower one.
        low: The film's black.
    """
    start = np.arange(low, 255 - LEAST_GAP)
    end = start + np.maximum(LEAST_GAP, (GAP * (start - low)).astype(np.int64))
    start, end = start[end < 255], end[end < 255]
    total = counts[-1]
    empty = counts[end] - counts[start] <= IN_GAP * total
    wide = np.flatnonzero(empty & (counts[start] >= BELOW_GAP * total) & (counts[end] < total))
    return float(start[wide[0]] + end[wide[0]]) / 2 if wide.size else None


def _markers_and_border(candidates: Film, mean: Film, dark: float) -> tuple[Cells, Cells]:
    """Returns which of the white cells are markers, and which are a border along a side."""
    height, width = candidates.shape
    count, parts, stats, _ = cv2.connectedComponentsWithStats(candidates, ltype=cv2.CV_16U)
    small = stats[:, cv2.CC_STAT_WIDTH] <= LONGEST_SIDE * width
    small &= stats[:, cv2.CC_STAT_HEIGHT] <= LONGEST_SIDE * height
    wide = cv2.dilate(parts, np.ones((5, 5), np.uint8))
    around = (wide > 0) & (cv2.dilate(candidates, np.ones((3, 3), np.uint8)) == 0)
    cells = np.bincount(wide[around], minlength=count)
    marker = small & (np.bincount(wide[around], mean[around], minlength=count) <= dark * cells)
    border = np.zeros(count, bool)
    for line in (parts[0], parts[-1], parts[:, 0], parts[:, -1]):
        border |= np.bincount(line, minlength=count) >= ALONG_RIM * line.size
    marker[0] = border[0] = False
    return marker[parts], border[parts]


def _surroundings(mean: Film, markers: Cells) -> Film:
    """Returns for each marker's cell the mean of the cells near to it that are none."""
    free = (~markers).astype(np.float32)
    grey, missing = mean * free, markers.copy()
    filled = np.zeros(mean.shape, np.uint8)
    for side in (11, 51, 2 * GRID + 1):
        reach, border = (side, side), cv2.BORDER_CONSTANT
        weight = cv2.boxFilter(free, -1, reach, normalize=False, borderType=border)
        total = cv2.boxFilter(grey, -1, reach, normalize=False, borderType=border)
        known = missing & (weight > 0.5)
        filled[known] = (total[known] / weight[known] + 0.5).astype(np.uint8)
        missing &= ~known
        if not missing.any():
            break
    return filled
