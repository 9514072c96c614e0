"""A film as a picture for a page: grey, upright, without anything that came along in its file."""

from __future__ import annotations

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.images.markers import without_markers
from data.images.window import display_window

FAST = 1
"""zlib level of a whole film: a tenth larger than at the default level, in a fifth of the time."""


def film_png(film: NDArray[np.uint8], longest: int | None = None) -> bytes:
    """Encodes a film as PNG.

    Args:
        film: (height, width) grey.
        longest: Most pixels of the longer side; a smaller film stays as it is. None: no limit.
    """
    buffer = io.BytesIO()
    shown = film if longest is None else fitted(film, longest)
    Image.fromarray(shown).save(buffer, "PNG", compress_level=FAST)
    return buffer.getvalue()


def levelled(film: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns a film whose hand is neither too dark nor too bright to be seen, as models see it.

    Films differ in exposure by a factor of ten; see `data.images.window.display_window`.
    """
    low, high = display_window(without_markers(film), None)
    table = (np.arange(256) - low) * (255 / (high - low)) + 0.5
    shown: NDArray[np.uint8] = np.clip(table, 0, 255).astype(np.uint8)[film]
    return shown


def fitted(film: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    """Returns a film whose longer side has at most so many pixels, each the mean of its area."""
    height, width = film.shape
    factor = longest / max(height, width)
    if factor >= 1:
        return film
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small: NDArray[np.uint8] = cv2.resize(film, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    return small
