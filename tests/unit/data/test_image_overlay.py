from __future__ import annotations

import io

import numpy as np
from PIL import Image

from data.images.box import Box
from data.images.overlay import encode_colour_png, layer, overlay
from data.images.preparation import CROPS, Preparation, place_of, prepare

FILM = np.tile(np.linspace(10, 60, 200).astype(np.uint8), (100, 1))


def test_without_heat_the_film_stays_grey_from_black_to_white() -> None:
    picture = overlay(FILM, np.zeros(FILM.shape, np.float32))

    assert picture.shape == (100, 200, 3)
    assert (picture == picture[..., :1]).all()
    assert (picture.min(), picture.max()) == (0, 255)
    assert (np.diff(picture[0, :, 0].astype(int)) >= 0).all()


def test_where_it_matters_most_the_picture_is_red_and_elsewhere_it_is_not() -> None:
    heat = np.zeros(FILM.shape, np.float32)
    heat[20:40, 90:110] = 1

    picture = overlay(FILM, heat).astype(int)

    red, _, blue = (picture[30, 100, channel] for channel in range(3))
    assert red > blue + 50
    np.testing.assert_array_equal(picture[60], overlay(FILM, heat * 0)[60])


def test_a_layer_over_the_film_looks_as_the_overlay_does() -> None:
    heat = np.random.default_rng(0).random(FILM.shape, np.float32)
    grey = overlay(FILM, heat * 0).astype(float)

    shown = layer(heat)

    opacity = shown[..., 3:] / 255
    laid_over = grey * (1 - opacity) + shown[..., :3] * opacity
    np.testing.assert_allclose(laid_over, overlay(FILM, heat), atol=1.5)
    assert not layer(np.zeros(FILM.shape, np.float32))[..., 3].any()


def test_a_picture_is_written_without_loss() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)

    again = np.asarray(Image.open(io.BytesIO(encode_colour_png(picture))))

    np.testing.assert_array_equal(again, picture)


def test_a_place_says_where_the_film_lies_in_the_square() -> None:
    # 100 x 200 pixels become 32 x 64, in the middle of the square.
    place = place_of(FILM, Preparation(64, "whole"))

    assert place == (Box(0, 100, 0, 200), Box(16, 48, 0, 64))


def test_beside_its_place_a_square_is_black_whatever_the_crop() -> None:
    rng = np.random.default_rng(0)
    for crop in CROPS:
        for shape in ((90, 150), (151, 80), (64, 64)):
            film = rng.integers(40, 255, shape, np.uint8)
            mask = np.zeros(shape, bool)
            mask[5:40, 20:50] = True  # The square around it leaves the film.
            preparation = Preparation(48, crop, mask_crop=1.6)

            square, (_, part) = prepare(film, preparation, mask), place_of(film, preparation, mask)

            inside = np.zeros((48, 48), bool)
            inside[part.top : part.bottom, part.left : part.right] = True
            assert not square[~inside].any()
            rim = square[part.top], square[part.bottom - 1], square[:, part.left]
            assert all(line.any() for line in (*rim, square[:, part.right - 1]))
