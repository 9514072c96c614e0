"""The same film in other files: what hospitals, archives and challenges do to their copies."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from data.images.decoding import read_small
from data.images.fingerprint import fingerprint
from data.phantoms.drawing import draw_hand
from tests.unit.data.dataset_cases import encoded

Film = NDArray[np.uint8]


@cache
def a_hand(seed: int = 1, size: int = 256) -> Film:
    """A drawn hand; every seed is another child."""
    return draw_hand(60 + 7 * seed % 120, "female" if seed % 2 else "male", seed, size)


def cut(film: Film, share: float) -> Film:
    height, width = film.shape
    rows, columns = round(height * share), round(width * share)
    return film[rows : height - rows, columns : width - columns]


def adjusted(film: Film, contrast: float, brightness: float) -> Film:
    return np.clip(film * contrast + brightness, 0, 255).astype(np.uint8)


def halved(film: Film) -> Film:
    return np.asarray(cv2.resize(film, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))


COPIES: dict[str, Callable[[Film], bytes]] = {
    "PNG": encoded,
    "JPEG": lambda film: encoded(film, "JPEG", quality=90),
    "JPEG of low quality": lambda film: encoded(film, "JPEG", quality=40),
    "half the size": lambda film: encoded(halved(film)),
    "cut by 2.5 % at each side": lambda film: encoded(cut(film, 0.025)),
    "cut by 3 % at one side": lambda film: encoded(film[:, round(film.shape[1] * 0.03) :]),
    "brighter": lambda film: encoded(adjusted(film, 0.8, 30)),
    "more contrast": lambda film: encoded(adjusted(film, 1.2, -20)),
    "all of it": lambda film: encoded(
        adjusted(halved(cut(film, 0.02)), 0.85, 15), "JPEG", quality=75
    ),
}
"""What was done to a film -> the bytes of its copy."""


def print_of(payload: bytes) -> Film:
    """The fingerprint of a file."""
    return np.frombuffer(fingerprint(read_small(payload)), np.uint8)
