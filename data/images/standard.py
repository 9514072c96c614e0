"""A film as a plate of an atlas: its exposed field, small, and as bright as any other."""

from __future__ import annotations

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.images.box import LEVELLED
from data.images.crop import field_box
from data.images.markers import without_markers
from data.images.picture import fitted
from data.images.window import display_window

LONGEST = 800
"""Pixels of the longer side: as large as a film stands on a screen of 900 rows."""
QUALITY = 85
"""Of the JPEG; a hand takes 20 to 60 KB."""


def standard_jpeg(film: NDArray[np.uint8]) -> bytes:
    """Encodes a film as JPEG, without borders, and with the display window of its hand.

    Markers stay, and the film is never enlarged.

    Args:
        film: (height, width) grey.
    """
    box = field_box(film, LEVELLED)
    small = fitted(film[box.top : box.bottom, box.left : box.right], LONGEST)
    low, high = display_window(without_markers(small), None)
    levels = np.arange(256, dtype=np.float32)
    table = np.clip((levels - low) * (255 / (high - low)) + 0.5, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(cv2.LUT(small, table)).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
