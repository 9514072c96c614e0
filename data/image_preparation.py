"""Grey pixels to what a model sees: the one preprocessing that training and serving share."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_BORDERS = 3
"""Padding around a collimator's shadow around a plate's white rim."""


def prepare(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Brings any radiograph to the square that models see, for training and serving alike.

    Plain borders are cut off, the display window is set to what lies in the middle of the film
    (films differ in exposure by a factor of ten, and lead markers are always white), and the film
    is fitted into the square without distortion. Left and right are not exchanged.

    Args:
        image: (height, width) grey.
        size: Side of the square, pixels, at least 8.

    Returns:
        (size, size) grey, black beside the film.
    """
    if image.ndim != 2 or image.dtype != np.uint8 or image.size == 0 or size < 8:
        raise ValueError(f"expected 8-bit grey pixels and size >= 8, got {image.shape}, {size}")
    film = _fit(_without_plain_border(image), size)
    low, high = _display_window(film)
    shown = np.clip((film - low) * (255 / (high - low)) + 0.5, 0, 255).astype(np.uint8)
    square = np.zeros((size, size), np.uint8)
    top, left = (size - film.shape[0]) // 2, (size - film.shape[1]) // 2
    square[top : top + film.shape[0], left : left + film.shape[1]] = shown
    return square


def _without_plain_border(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cuts off outer rows and columns in which nothing is to be seen, border within border.

    A row is plain if its grey values differ by no more than 6 % of the image's own range (2 to 10
    levels), so the faint hand of a dark film is never plain. If less than a fifth of a side would
    remain, the whole image is kept.
    """
    sample = image[:: 1 + image.shape[0] // 128, :: 1 + image.shape[1] // 128]
    low, high = np.percentile(sample, (1, 99))
    plain = float(np.clip(0.06 * (high - low), 2, 10))
    film = image
    for _ in range(_BORDERS):
        inside = film[_busy_span(film, 1, plain), _busy_span(film, 0, plain)]
        if inside.shape[0] * 5 < image.shape[0] or inside.shape[1] * 5 < image.shape[1]:
            return image
        if inside.shape == film.shape:
            break
        film = inside
    return film


def _busy_span(film: NDArray[np.uint8], axis: int, plain: float) -> slice:
    """Returns from where to where rows (axis 1) or columns (axis 0) are not plain."""
    busy = np.flatnonzero(film.max(axis=axis) - film.min(axis=axis) > plain)
    return slice(int(busy[0]), int(busy[-1]) + 1) if busy.size else slice(0, 0)


def _fit(film: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """Scales a film to a long side of `size` pixels; grey values stay in 0..255, with fractions.

    The mean of many pixels of a dark film tells more than 256 grey levels do.
    """
    scale = size / max(film.shape)
    height, width = (max(1, round(side * scale)) for side in film.shape)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    fine = np.multiply(film, 256, dtype=np.uint16)
    small = cv2.resize(fine, (width, height), interpolation=method)
    return np.divide(small, 256, dtype=np.float32)


def _display_window(film: NDArray[np.float32]) -> tuple[float, float]:
    """Returns the grey values that become black and white.

    Looked for in a coarse copy, in which a marker's thin strokes have faded, within its inner three
    quarters, where the hand lies, and only where the grey value changes from place to place, which
    leaves out empty background and padding.
    """
    side, edge = 64, 8
    coarse = cv2.resize(film, (side, side), interpolation=cv2.INTER_AREA)
    neighbourhood = np.ones((3, 3), np.uint8)
    change = cv2.dilate(coarse, neighbourhood) - cv2.erode(coarse, neighbourhood)
    inner = coarse[edge:-edge, edge:-edge]
    seen = inner[change[edge:-edge, edge:-edge] > 1.5]
    if seen.size < inner.size * 0.15:
        seen = inner.ravel()
    low, high = np.percentile(seen, (4, 97.5))
    return float(low), float(max(high + 0.2 * (high - low), low + 8))
