from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from data.images.picture import film_png, fitted, levelled
from data.phantoms.drawing import draw_hand


def pixels_of(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_a_whole_film_keeps_every_pixel() -> None:
    film = np.random.default_rng(0).integers(0, 256, (30, 50), np.uint8)

    np.testing.assert_array_equal(pixels_of(film_png(film)), film)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        pytest.param((400, 200), (100, 50), id="upright"),
        pytest.param((200, 400), (50, 100), id="lying"),
        pytest.param((80, 100), (80, 100), id="small-enough"),
        pytest.param((1000, 3), (100, 1), id="a-line"),
    ],
)
def test_a_small_picture_keeps_the_proportions(
    shape: tuple[int, int], expected: tuple[int, int]
) -> None:
    film = np.zeros(shape, np.uint8)

    assert fitted(film, 100).shape == expected
    assert pixels_of(film_png(film, 100)).shape == expected


def test_each_pixel_of_a_small_picture_is_the_mean_of_its_area() -> None:
    film = np.asarray([[0, 100, 20, 20], [100, 200, 20, 20]], np.uint8)

    np.testing.assert_array_equal(fitted(film, 2), [[100, 20]])


def test_a_dark_film_is_levelled_to_what_the_same_film_well_exposed_shows() -> None:
    bright = draw_hand(110.0, "female", seed=1, size=256)
    dark = (bright * 0.2).astype(np.uint8)

    shown = levelled(dark).astype(float)

    assert dark.max() < 60
    assert np.abs(shown - levelled(bright)).mean() < 6
    assert np.percentile(shown, 99.5) > 180


def test_an_even_film_stays_even() -> None:
    assert np.unique(levelled(np.full((60, 60), 90, np.uint8))).size == 1
