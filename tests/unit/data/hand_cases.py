"""Drawn films whose hand is known: for what finds the hand in a film."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Film = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def hand_mask(height: int, width: int, left: float = 0.2, reach: float = 0.6) -> Mask:
    """A hand with five spread fingers and a forearm that leaves the film at the bottom.

    Args:
        height: Of the film, pixels.
        width: Of the film, pixels.
        left: Where the hand begins, as a share of the width.
        reach: How wide it is, as a share of the width.
    """
    mask = np.zeros((height, width), np.uint8)

    def at(x: float, y: float) -> tuple[int, int]:
        return round((left + x * reach) * width), round(y * height)

    thick = max(1, round(0.11 * reach * width))
    palm = np.asarray([at(0.25, 0.55), at(0.75, 0.55), at(0.68, 0.8), at(0.35, 0.8)])
    cv2.fillConvexPoly(mask, palm, 1)
    for x, y in ((0.05, 0.35), (0.25, 0.22), (0.45, 0.18), (0.66, 0.24), (0.95, 0.5)):
        cv2.line(mask, at(0.5 + (x - 0.5) * 0.45, 0.62), at(x, y), 1, thick)
    cv2.rectangle(mask, at(0.38, 0.75), at(0.64, 1.0), 1, -1)
    return mask.astype(bool)


def expose(mask: Mask, background: int = 20, tissue: int = 90, bone: int = 180) -> Film:
    """A film of a hand: bones within soft tissue, on a background."""
    inner = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    film = np.full(mask.shape, background, np.float32)
    film[mask] = tissue
    film[inner] = bone
    noise = np.random.default_rng(0).normal(0, 1.5, mask.shape)
    soft = cv2.GaussianBlur(film, (0, 0), 0.8) + noise
    return np.clip(soft, 0, 255).astype(np.uint8)


def framed_hand() -> tuple[Film, Mask]:
    """A film of 300 x 240: black padding, a white rim with a grey strip, a marker, and a hand."""
    mask = np.zeros((300, 240), bool)
    mask[40:280, 40:220] = hand_mask(240, 180)
    film = np.zeros((300, 240), np.uint8)
    film[20:284, 20:230] = 235
    film[20:284:2, 20:30] = 215
    film[36:280, 36:224] = expose(mask)[36:280, 36:224]
    film[60:90, 44:52] = 255
    film[86:90, 44:64] = 255
    return film, mask
