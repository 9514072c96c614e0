"""Changes of a decoded film such as other hospitals, scanners and hands make them.

Each takes and returns (height, width) grey, 0 black to 255 white, writes to nothing that it was
given, and gives the same answer every time.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Film = NDArray[np.uint8]

MARKER_SHARE = 0.06
"""Height of a lead letter, as a share of the film's longer side: 14 mm on a film of 240 mm."""

MARKER_MARGIN = 0.03
"""Distance of a lead letter from the film's edges, as a share of the longer side."""

_STROKE = 5
"""A letter is this many times as high as its strokes are thick."""

_GRAIN_SIDE = 512
"""Mottle is drawn in this many places along the longer side: finer grain would be averaged away
before any model saw it."""

_GRAIN_SEED = 20240515


def turned(film: Film, degrees: float) -> Film:
    """Turns a film on a larger sheet that holds all of it.

    Args:
        film: (height, width) grey.
        degrees: Counter-clockwise as seen.

    Returns:
        A larger film; beside the turned one lies the median grey of its outermost pixels.
    """
    height, width = film.shape
    angle = np.deg2rad(degrees)
    cos, sin = abs(float(np.cos(angle))), abs(float(np.sin(angle)))
    # Less a little, or rounding errors of a quarter turn would add a row.
    new_width = int(np.ceil(width * cos + height * sin - 1e-6))
    new_height = int(np.ceil(width * sin + height * cos - 1e-6))
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    matrix[:, 2] += (new_width - width) / 2, (new_height - height) / 2
    rim = np.concatenate([film[0], film[-1], film[:, 0], film[:, -1]])
    moved = cv2.warpAffine(
        film,
        matrix,
        (new_width, new_height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=float(np.median(rim)),
    )
    return np.asarray(moved, np.uint8)


def mirrored(film: Film) -> Film:
    """Exchanges left and right."""
    return np.ascontiguousarray(film[:, ::-1])


def inverted(film: Film) -> Film:
    """Makes the negative: bones black on white."""
    return 255 - film


def shifted(film: Film, levels: int) -> Film:
    """Adds to every grey value, and cuts off what leaves 0..255."""
    return np.clip(film.astype(np.int16) + levels, 0, 255).astype(np.uint8)


def compressed(film: Film, factor: float) -> Film:
    """Shrinks the contrast about the darkest grey value, which stays: low + (grey - low) * factor.

    Args:
        film: (height, width) grey.
        factor: 0..1.

    Returns:
        The film, rounded to whole grey values: what lay closer together is lost.
    """
    low = int(film.min())
    smaller = low + (film.astype(np.float32) - low) * factor
    return np.asarray(np.floor(smaller + 0.5), np.uint8)


def blurred(film: Film, share: float) -> Film:
    """Blurs by a Gaussian whose standard deviation is a share of the film's longer side."""
    sigma = max(film.shape) * share
    return np.asarray(cv2.GaussianBlur(film, (0, 0), sigma), np.uint8)


def halved(film: Film) -> Film:
    """Keeps half as many pixels each way, each the mean of those that it stands for."""
    height, width = (max(1, side // 2) for side in film.shape)
    return np.asarray(cv2.resize(film, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def with_marker(film: Film) -> Film:
    """Lays a saturated white lead letter L into the darkest corner, where no hand is."""
    height = min(max(_STROKE, round(max(film.shape) * MARKER_SHARE)), *film.shape)
    width, stroke = max(1, round(height * 0.6)), max(1, height // _STROKE)
    margin = round(max(film.shape) * MARKER_MARGIN)
    bottom, right = (max(0, film.shape[0] - height), max(0, film.shape[1] - width))
    corners = [
        (top, left)
        for top in (min(margin, bottom), max(0, bottom - margin))
        for left in (min(margin, right), max(0, right - margin))
    ]
    top, left = min(corners, key=lambda c: film[c[0] : c[0] + height, c[1] : c[1] + width].mean())
    marked = film.copy()
    marked[top : top + height, left : left + stroke] = 255
    marked[top + height - stroke : top + height, left : left + width] = 255
    return marked


def grainy(film: Film, sd: float) -> Film:
    """Lays quantum mottle over a film: Gaussian, coarse enough for a model to see.

    Args:
        film: (height, width) grey.
        sd: Standard deviation where it is drawn, grey levels; interpolation between these places
            leaves about two thirds of it.
    """
    scale = min(1.0, _GRAIN_SIDE / max(film.shape))
    height, width = (max(1, round(side * scale)) for side in film.shape)
    rng = np.random.default_rng(_GRAIN_SEED)
    grain = rng.normal(0, sd, (height, width)).astype(np.float32)
    full = cv2.resize(grain, film.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(np.rint(film + full), 0, 255), np.uint8)


def framed(film: Film, share: float) -> Film:
    """Puts a white border around a film, as wide as a share of its longer side."""
    return np.pad(film, max(1, round(max(film.shape) * share)), constant_values=255)
