"""Parts of an image, and what the search for them shares."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float32]

BORDERS = 3
"""Padding around a collimator's shadow around a plate's white rim."""
LEAST_LEFT = 0.2
"""Share of a side that has to remain; otherwise the film was misunderstood and is kept."""


class Box(NamedTuple):
    """A part of an image: rows `top` to `bottom`, columns `left` to `right`, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    def within(self, outer: Box) -> Box:
        """Returns this part of the part `outer`, as a part of the whole image."""
        top, left = outer.top, outer.left
        return Box(self.top + top, self.bottom + top, self.left + left, self.right + left)


def whole(image: NDArray[np.generic]) -> Box:
    """Returns all of an image."""
    return Box(0, image.shape[0], 0, image.shape[1])


def is_enough(box: Box, outer: Box, share: float) -> bool:
    """Says whether a box covers that share of both sides of another one."""
    return box.height >= share * outer.height and box.width >= share * outer.width


def grey_range(film: Grey, share: float) -> tuple[float, float]:
    """Returns the grey values that `share` of the pixels lie below and above."""
    low, high = int(film.size * share), int(film.size * (1 - share))
    ordered = np.partition(film.ravel(), (low, high))
    return float(ordered[low]), float(ordered[high])
