"""Hand masks as images: from the grey picture that a source delivers to one hand without holes."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from data.errors import ImageError

Mask = NDArray[np.bool_]
"""(height, width), true where the hand is."""

ASPECT_TOLERANCE = 0.02
"""A mask whose proportions differ more from the film's belongs to another film."""
LEAST_HAND, MOST_HAND = 0.005, 0.9
"""Share of the film that a hand covers."""
LEAST_LARGEST = 0.8
"""Share of what is marked that has to hang together: the rest is taken for specks."""
MOST_RIM = 0.5
"""Share of the film's rim that a hand with its forearm covers; more is the background."""
LEAST_DICE = 0.8
"""Two masks of one film that overlap less do not mean the same hand."""


def hand_of(grey: NDArray[np.uint8], height: int, width: int) -> Mask:
    """Returns the one hand that a mask marks on a film of `height` x `width` pixels.

    White (above half of the mask's highest value) is hand. The mask is scaled to the film (nearest
    neighbour, so nothing is invented), the largest connected part is kept, its holes are filled.

    Args:
        grey: The mask as it was delivered.
        height: Of the film, pixels.
        width: Of the film, pixels.

    Raises:
        ImageError: The mask has other proportions than the film, or marks no hand: nothing, nearly
            everything, the background, or several parts.
    """
    if abs(grey.shape[0] * width / (grey.shape[1] * height) - 1) > ASPECT_TOLERANCE:
        raise ImageError(
            f"The mask has {grey.shape[1]} x {grey.shape[0]} pixels, which are other proportions "
            f"than those of the radiograph, {width} x {height}."
        )
    white = (grey > int(grey.max()) // 2).astype(np.uint8)
    white = np.asarray(cv2.resize(white, (width, height), interpolation=cv2.INTER_NEAREST))
    _check(white)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(white)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if areas.max() < LEAST_LARGEST * areas.sum():
        raise ImageError(f"The mask marks {count - 1} parts and no single hand.")
    return _filled(parts == 1 + int(np.argmax(areas)))


def agreed(masks: Sequence[Mask]) -> Mask:
    """Returns what at least half of the masks of one film mark.

    Raises:
        ImageError: Two of them overlap by less than Dice 0.8: one is wrong.
    """
    for number, one in enumerate(masks):
        for other in masks[:number]:
            dice = 2 * np.count_nonzero(one & other) / (one.sum() + other.sum())
            if dice < LEAST_DICE:
                raise ImageError(f"The masks of the sources do not agree (Dice {dice:.2f}).")
    votes = np.sum(masks, axis=0, dtype=np.int32)
    return np.asarray(2 * votes >= len(masks))


def _check(white: NDArray[np.uint8]) -> None:
    share = np.count_nonzero(white) / white.size
    if share < LEAST_HAND:
        raise ImageError("The mask marks nothing.")
    if share > MOST_HAND:
        raise ImageError("The mask marks the whole film.")
    rim = np.concatenate([white[0], white[-1], white[1:-1, 0], white[1:-1, -1]])
    if np.count_nonzero(rim) > MOST_RIM * rim.size:
        raise ImageError("The mask marks the film's rim, so hand and background seem exchanged.")


def _filled(hand: Mask) -> Mask:
    """Fills what the hand encloses; background that reaches the film's rim stays."""
    outside = np.pad((~hand).astype(np.uint8), 1, constant_values=1)
    _, parts = cv2.connectedComponents(outside, connectivity=4)
    return np.asarray(parts != parts[0, 0])[1:-1, 1:-1]
