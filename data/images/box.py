"""Parts of an image, and what the search for them shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float32]

BORDERS = 3
"""Padding around a collimator's shadow around a plate's white rim."""
LEAST_LEFT = 0.2
"""Share of a side that has to remain; otherwise the film was misunderstood and is kept."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """How little counts as something, in the search for what to cut off.

    Attributes:
        plain_ends_in_step: A plain border is cut off only where most of the film's width changes
            behind it, and not where a finger tip begins.
        least_step: Grey levels that an edge steps by at least.
        least_texture: Change of the grey value along a row where something is shown, grey levels
            at least.
    """

    plain_ends_in_step: bool
    least_step: float
    least_texture: float


AS_IS = Sensitivity(False, 3.0, 0.8)
"""For films as they are, as models of before `levelled` were trained."""
LEVELLED = Sensitivity(True, 1.0, 0.4)
"""For films without markers: nearly the same crop at a quarter of the contrast."""


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


def grey_range(film: Grey | NDArray[np.uint8], share: float) -> tuple[float, float]:
    """Returns the grey values that `share` of the pixels lie below and above."""
    low, high = int(film.size * share), int(film.size * (1 - share))
    ordered = np.partition(film.ravel(), (low, high))
    return float(ordered[low]), float(ordered[high])
