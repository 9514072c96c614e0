from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from data.image_preparation import prepare
from data.images import read_grey
from tests.unit.data.dataset_cases import a_film


def a_hand(background: int, hand: int, bone: int, size: int = 200) -> NDArray[np.uint8]:
    """Five vertical fingers with a bright bone in each, on a plain film."""
    film = np.full((size, size * 3 // 4), background, np.uint8)
    for finger in range(5):
        left = 15 + finger * 26
        film[40:180, left : left + 16] = hand
        film[45:175, left + 5 : left + 11] = bone
    return film


@pytest.mark.parametrize(
    "shape", [(300, 200), (200, 300), (50, 40), (2000, 1500), (1, 1), (1, 500)]
)
def test_any_film_becomes_a_square(shape: tuple[int, int]) -> None:
    square = prepare(a_film(*shape), 128)

    assert square.shape == (128, 128)
    assert square.dtype == np.uint8


@settings(max_examples=50, deadline=None)
@given(
    height=st.integers(1, 400),
    width=st.integers(1, 400),
    size=st.integers(8, 300),
    grey=st.integers(0, 255),
)
def test_every_size_and_every_flat_film_can_be_prepared(
    height: int, width: int, size: int, grey: int
) -> None:
    assert prepare(np.full((height, width), grey, np.uint8), size).shape == (size, size)


def test_the_aspect_ratio_is_kept_and_the_rest_is_black() -> None:
    square = prepare(a_film(400, 200), 100)

    assert square[:, :25].max() == 0
    assert square[:, 75:].max() == 0
    assert np.median(square[:, 25:75]) > 50


def test_left_stays_left() -> None:
    film = a_film(100, 100) // 4
    film[:, :50] += 128

    square = prepare(film, 100)

    assert square[:, :50].mean() > square[:, 50:].mean() + 50


def test_the_same_film_gives_the_same_bytes() -> None:
    film = a_film(300, 220)

    assert np.array_equal(prepare(film, 128), prepare(film.copy(), 128))


def test_the_film_itself_is_not_changed() -> None:
    film = a_film(300, 220)
    before = film.copy()

    prepare(film, 128)

    assert np.array_equal(film, before)


def test_a_dark_film_looks_like_a_well_exposed_one() -> None:
    dark = prepare(a_hand(background=10, hand=18, bone=30), 128)
    bright = prepare(a_hand(background=20, hand=100, bone=220), 128)

    assert dark.max() > 180
    assert np.abs(dark.astype(int) - bright).mean() < 12


def test_a_white_marker_does_not_darken_the_hand() -> None:
    film = a_hand(background=10, hand=18, bone=30)
    marked = film.copy()
    marked[5:30, 5:9] = 255
    marked[26:30, 5:20] = 255

    bones = (film == 30)[40:180]
    plain, with_marker = (prepare(f, 200)[40:180, 25:175] for f in (film, marked))

    assert with_marker[bones].mean() > 0.8 * plain[bones].mean()


@pytest.mark.parametrize("border", [0, 120, 255], ids=["black", "grey", "white"])
def test_a_plain_border_is_cut_off(border: int) -> None:
    film = a_film(120, 90)
    framed = np.full((400, 300), border, np.uint8)
    framed[200:320, 60:150] = film

    assert np.array_equal(prepare(framed, 128), prepare(film, 128))


def test_two_borders_one_within_the_other_are_cut_off() -> None:
    film = a_film(120, 90)
    inner = np.full((160, 130), 255, np.uint8)
    inner[20:140, 20:110] = film
    outer = np.zeros((300, 300), np.uint8)
    outer[50:210, 70:200] = inner

    assert np.array_equal(prepare(outer, 128), prepare(film, 128))


def test_a_faint_hand_is_never_taken_for_a_border() -> None:
    square = prepare(a_hand(background=8, hand=11, bone=14), 200)

    fingers = (square[110] > square[110].max() / 3).astype(int)
    assert np.count_nonzero(np.diff(fingers) == 1) == 5


def test_a_small_spot_on_an_empty_film_is_not_cropped_to() -> None:
    film = np.zeros((300, 300), np.uint8)
    film[100:110, 100:110] = 255

    square = prepare(film, 300)

    assert np.count_nonzero(square) < 300


def test_a_dark_film_keeps_more_than_its_grey_levels() -> None:
    # Given a film with 16 grey levels and noise, averaged down
    ramp = np.linspace(10, 26, 1200)[None, :] + np.random.default_rng(1).uniform(0, 1, (1200, 1200))

    square = prepare(ramp.astype(np.uint8), 100)

    assert len(np.unique(square)) > 60


@pytest.mark.parametrize(
    ("image", "size"),
    [
        (np.zeros((4, 4, 3), np.uint8), 64),
        (np.zeros((4, 4), np.float32), 64),
        (np.zeros((0, 4), np.uint8), 64),
        (np.zeros((4, 4), np.uint8), 4),
    ],
    ids=["colour", "not 8 bit", "empty", "square too small"],
)
def test_what_is_no_film_cannot_be_prepared(image: NDArray[np.uint8], size: int) -> None:
    with pytest.raises(ValueError, match="8-bit grey"):
        prepare(image, size)


@pytest.mark.real_data
def test_real_films_of_any_exposure_fill_the_grey_scale(real_data: Path) -> None:
    folder = real_data / "rsna" / "boneage-training-dataset" / "boneage-training-dataset"
    paths = sorted(folder.iterdir())[::200]

    squares = [prepare(read_grey(path), 128) for path in paths]

    spreads = [np.percentile(square, 99) - np.percentile(square, 1) for square in squares]
    assert np.percentile(spreads, 2) > 120
