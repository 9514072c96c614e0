"""The picture of a standard is small, without borders, and never too dark to compare."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from data.images.standard import standard_jpeg

Film = NDArray[np.uint8]


def hand(height: int = 400, width: int = 300, black: int = 20, white: int = 220) -> Film:
    """Five bright fingers on a darker palm: something is shown nearly everywhere."""
    film = np.full((height, width), black, np.uint8)
    middle = (black + white) // 2
    cv2.rectangle(film, (width // 8, height // 2), (7 * width // 8, height - 1), middle, -1)
    for finger in range(5):
        left = width * (1 + 3 * finger) // 16
        cv2.rectangle(film, (left, height // 12), (left + width // 9, height), middle, -1)
        cv2.rectangle(film, (left + 6, height // 10), (left + width // 16, height), white, -1)
    return film


def opened(film: Film) -> Film:
    with Image.open(io.BytesIO(standard_jpeg(film))) as picture:
        assert (picture.format, picture.mode) == ("JPEG", "L")
        return np.asarray(picture)


@pytest.mark.parametrize("shape", [(2000, 1500), (1500, 2000)], ids=["tall", "wide"])
def test_the_longer_side_is_bounded(shape: tuple[int, int]) -> None:
    assert max(opened(hand(*shape)).shape) == 800


def test_no_film_is_enlarged() -> None:
    height, width = opened(hand(300, 200)).shape

    assert (height <= 300, width <= 200) == (True, True)


def test_a_dark_film_is_as_bright_as_another() -> None:
    bright, dark = opened(hand()), opened(hand(black=10, white=40))

    assert np.percentile(dark, 95) == pytest.approx(np.percentile(bright, 95), abs=30)
    assert np.percentile(dark, 95) > 150
    assert np.percentile(dark, 2) < 30


def test_a_black_border_is_cut_off() -> None:
    film = np.zeros((800, 900), np.uint8)
    film[200:600, 300:600] = hand()

    assert opened(film).shape[1] < 400


@pytest.mark.parametrize("grey", [0, 7, 255])
def test_a_plain_film_is_a_plain_picture(grey: int) -> None:
    assert np.ptp(opened(np.full((50, 40), grey, np.uint8))) == 0
