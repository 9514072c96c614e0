"""A heat map over its film, as a picture for people."""

from __future__ import annotations

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

DARKEST, BRIGHTEST = 1, 99.5
"""Percentiles of a film's grey values that are shown black and white: many films are dark."""
STRENGTH = 0.55
"""Share of the colour where the map is 1."""


def overlay(film: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Lays a heat map over a film, from no colour (0) over yellow to red (1).

    Args:
        film: (height, width) grey.
        heat: (height, width) 0..1.

    Returns:
        (height, width, 3) red, green, blue.
    """
    low, high = np.percentile(film, (DARKEST, BRIGHTEST))
    grey = np.clip((film - low) * (255 / max(high - low, 1)), 0, 255)
    share = (heat * STRENGTH)[..., None]
    mixed = grey[..., None] * (1 - share) + _colour(heat) * share
    shown: NDArray[np.uint8] = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)
    return shown


def layer(heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Returns a heat map by itself, to be laid over its film: what `overlay` mixes in.

    Args:
        heat: (height, width) 0..1.

    Returns:
        (height, width, 4) red, green, blue, opacity (0: the film alone is seen).
    """
    opacity = np.clip(heat * (STRENGTH * 255) + 0.5, 0, 255).astype(np.uint8)
    shown: NDArray[np.uint8] = np.dstack([_colour(heat), opacity])
    return shown


def encode_colour_png(picture: NDArray[np.uint8]) -> bytes:
    """Encodes (height, width, 3 or 4) red, green, blue (and opacity) pixels as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def _colour(heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Returns (height, width, 3) red, green, blue from blue (0) over yellow to red (1)."""
    scaled = np.clip(heat * 255 + 0.5, 0, 255).astype(np.uint8)
    colour: NDArray[np.uint8] = cv2.cvtColor(
        cv2.applyColorMap(scaled, cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB
    )
    return colour
