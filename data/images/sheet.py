"""Small pictures of films, for people to look at side by side."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from data.errors import ImageError
from data.images.decoding import DEFAULT_LIMITS, ImageLimits, read_grey

UNREADABLE = 96
"""Grey of the tile of a film that cannot be read."""


def thumbnail(
    path: Path | None, side: int, limits: ImageLimits = DEFAULT_LIMITS
) -> NDArray[np.uint8]:
    """Returns a film as the expert sees it, fitted into a black square without distortion.

    Args:
        path: The image file; None: it is not there.
        side: Pixels of the square.
        limits: What is still decoded.

    Returns:
        (side, side); a plain grey square where the film is missing or cannot be read.
    """
    tile = np.zeros((side, side), np.uint8)
    try:
        if path is None:
            raise ImageError("The film is not there.")
        film = read_grey(path, limits)
    except ImageError:
        tile[:] = UNREADABLE
        return tile
    scale = side / max(film.shape)
    height, width = (max(1, round(length * scale)) for length in film.shape)
    area = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    top, left = (side - height) // 2, (side - width) // 2
    tile[top : top + height, left : left + width] = cv2.resize(
        film, (width, height), interpolation=area
    )
    return tile
