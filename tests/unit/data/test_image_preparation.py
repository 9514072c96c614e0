from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from data.errors import ImageError
from data.images.decoding import read_grey
from data.images.preparation import CROPS, Preparation, prepare
from tests.unit.data.dataset_cases import a_film
from tests.unit.data.hand_cases import expose, framed_hand, hand_mask

LEVELLED = Preparation(128, exposure="levelled")


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean absolute difference in grey levels."""
    return float(np.abs(one.astype(int) - other).mean())


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
    square = prepare(a_film(*shape), Preparation(128))

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
    assert prepare(np.full((height, width), grey, np.uint8), Preparation(size)).shape == (
        size,
        size,
    )


def test_the_aspect_ratio_is_kept_and_the_rest_is_black() -> None:
    square = prepare(a_film(400, 200), Preparation(100))

    assert square[:, :25].max() == 0
    assert square[:, 75:].max() == 0
    assert np.median(square[:, 25:75]) > 50


def test_left_stays_left() -> None:
    film = a_film(100, 100) // 4
    film[:, :50] += 128

    square = prepare(film, Preparation(100))

    assert square[:, :50].mean() > square[:, 50:].mean() + 50


def test_the_same_film_gives_the_same_bytes() -> None:
    film = a_film(300, 220)

    assert np.array_equal(prepare(film, Preparation(128)), prepare(film.copy(), Preparation(128)))


def test_the_film_itself_is_not_changed() -> None:
    film = a_film(300, 220)
    before = film.copy()

    prepare(film, Preparation(128))

    assert np.array_equal(film, before)


def test_a_dark_film_looks_like_a_well_exposed_one() -> None:
    dark = prepare(a_hand(background=10, hand=18, bone=30), Preparation(128))
    bright = prepare(a_hand(background=20, hand=100, bone=220), Preparation(128))

    assert dark.max() > 180
    assert np.abs(dark.astype(int) - bright).mean() < 12


def test_a_white_marker_does_not_darken_the_hand() -> None:
    film = a_hand(background=10, hand=18, bone=30)
    marked = film.copy()
    marked[5:30, 5:9] = 255
    marked[26:30, 5:20] = 255

    bones = (film == 30)[40:180]
    plain, with_marker = (prepare(f, Preparation(200))[40:180, 25:175] for f in (film, marked))

    assert with_marker[bones].mean() > 0.8 * plain[bones].mean()


@pytest.mark.parametrize("border", [0, 120, 255], ids=["black", "grey", "white"])
def test_a_plain_border_is_cut_off(border: int) -> None:
    film = a_film(120, 90)
    framed = np.full((400, 300), border, np.uint8)
    framed[200:320, 60:150] = film

    assert np.array_equal(prepare(framed, Preparation(128)), prepare(film, Preparation(128)))


def test_two_borders_one_within_the_other_are_cut_off() -> None:
    film = a_film(120, 90)
    inner = np.full((160, 130), 255, np.uint8)
    inner[20:140, 20:110] = film
    outer = np.zeros((300, 300), np.uint8)
    outer[50:210, 70:200] = inner

    assert np.array_equal(prepare(outer, Preparation(128)), prepare(film, Preparation(128)))


@pytest.mark.parametrize("border", [0, 60, 255], ids=["black", "grey", "white"])
def test_a_levelled_film_loses_its_plain_border(border: int) -> None:
    film = expose(hand_mask(240, 180))
    framed = np.full((400, 300), border, np.uint8)
    framed[100:340, 60:240] = film

    assert difference(prepare(framed, LEVELLED), prepare(film, LEVELLED)) < 0.5


def test_a_levelled_film_loses_two_borders_one_within_the_other() -> None:
    film = expose(hand_mask(240, 180))
    inner = np.full((280, 220), 255, np.uint8)
    inner[20:260, 20:200] = film
    outer = np.zeros((400, 400), np.uint8)
    outer[50:330, 70:290] = inner

    assert difference(prepare(outer, LEVELLED), prepare(film, LEVELLED)) < 0.5


def test_a_faint_hand_is_never_taken_for_a_border() -> None:
    square = prepare(a_hand(background=8, hand=11, bone=14), Preparation(200))

    fingers = (square[110] > square[110].max() / 3).astype(int)
    assert np.count_nonzero(np.diff(fingers) == 1) == 5


def test_a_small_spot_on_an_empty_film_is_not_cropped_to() -> None:
    film = np.zeros((300, 300), np.uint8)
    film[100:110, 100:110] = 255

    square = prepare(film, Preparation(300))

    assert np.count_nonzero(square) < 300


def test_a_dark_film_keeps_more_than_its_grey_levels() -> None:
    # Given a film with 16 grey levels and noise, averaged down
    ramp = np.linspace(10, 26, 1200)[None, :] + np.random.default_rng(1).uniform(0, 1, (1200, 1200))

    square = prepare(ramp.astype(np.uint8), Preparation(100))

    assert len(np.unique(square)) > 60


@pytest.mark.parametrize(
    ("image", "size"),
    [
        (np.zeros((4, 4, 3), np.uint8), 64),
        (np.zeros((4, 4), np.float32), 64),
        (np.zeros((0, 4), np.uint8), 64),
    ],
    ids=["colour", "not 8 bit", "empty"],
)
def test_what_is_no_film_cannot_be_prepared(image: NDArray[np.uint8], size: int) -> None:
    with pytest.raises(ValueError, match="8-bit grey"):
        prepare(image, Preparation(size))


@pytest.mark.parametrize(
    "content",
    [
        {"size": 4},
        {"size": 64, "crop": "square"},
        {"size": 64, "background": "blur"},
        {"size": 64, "exposure": "bright"},
        {"size": 64, "mask_crop": 0.9},
        {"size": 64, "mask_edge": 0.5},
    ],
    ids=lambda content: "-".join(map(str, content)),
)
def test_an_impossible_preparation_is_refused(content: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"preparation|must lie"):
        Preparation.from_json(content)


def test_a_preparation_is_read_as_it_was_written() -> None:
    preparation = Preparation(96, "mask", 1.3, "remove", 0.02)

    assert Preparation.from_json(preparation.to_json()) == preparation


def test_a_preparation_of_before_there_were_exposures_levels_nothing() -> None:
    content = Preparation(96).to_json()
    del content["exposure"]

    assert Preparation.from_json(content).exposure == "as_is"


@pytest.mark.parametrize("crop", CROPS)
def test_every_crop_shows_other_pixels(crop: str) -> None:
    film, mask = framed_hand()

    squares = {c: prepare(film, Preparation(96, c), mask).tobytes() for c in CROPS}

    assert [c for c in CROPS if squares[c] == squares[crop]] == [crop]


@pytest.mark.parametrize(
    "changed",
    [{"mask_crop": 1.5}, {"background": "remove"}, {"background": "remove", "mask_edge": 0.05}],
    ids=lambda changed: "-".join(changed),
)
def test_every_mask_option_changes_the_pixels(changed: dict[str, Any]) -> None:
    film, mask = framed_hand()
    plainer = dict(list(changed.items())[:-1])

    one = prepare(film, Preparation(96, "mask", **plainer), mask)
    other = prepare(film, Preparation(96, "mask", **changed), mask)

    assert not np.array_equal(one, other)


def test_the_square_around_a_mask_has_its_hand_in_the_middle() -> None:
    # Given a mask of 40 x 80 pixels in a corner, and a square of 1.5 x 80 pixels around it
    film = np.full((200, 160), 60, np.uint8)
    mask = np.zeros((200, 160), bool)
    mask[10:90, 5:45] = True
    film[mask] = 200

    square = prepare(film, Preparation(120, "mask", mask_crop=1.5), mask)

    # Then the hand lies at 20..100 x 40..80, and what the square has beyond the film is black
    hand = square > 150
    assert (np.flatnonzero(hand.any(1))[[0, -1]] == [20, 99]).all()
    assert (np.flatnonzero(hand.any(0))[[0, -1]] == [40, 79]).all()
    assert square[:10].max() == 0 and square[:, :35].max() == 0


def test_a_removed_background_is_black_and_the_hand_stays() -> None:
    film, mask = framed_hand()

    kept = prepare(film, Preparation(96, "whole"), mask)
    removed = prepare(film, Preparation(96, "whole", background="remove"), mask)

    shown = prepare(mask * np.uint8(255), Preparation(96, "whole"))
    hand, outside = shown == shown.max(), shown == 0
    assert removed[outside].max() == 0
    assert kept[outside].max() > 100
    assert removed[hand].std() > 20


def test_the_seam_of_a_removed_background_fades_outside_the_hand_alone() -> None:
    film, mask = framed_hand()

    hard = prepare(film, Preparation(96, "mask", background="remove"), mask)
    soft = prepare(film, Preparation(96, "mask", background="remove", mask_edge=0.05), mask)

    assert (soft >= hard).all()
    assert np.count_nonzero(soft > hard) > 100


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (None, "no hand mask"),
        (np.ones((30, 20), bool), "20 x 30 pixels"),
        (np.zeros((300, 240), bool), "no hand"),
    ],
    ids=["absent", "of another film", "empty"],
)
@pytest.mark.parametrize(
    "how", [{"crop": "mask"}, {"background": "remove"}], ids=lambda how: "-".join(how)
)
def test_a_film_whose_mask_is_missing_is_never_prepared_without_it(
    how: dict[str, Any], mask: NDArray[np.bool_] | None, reason: str
) -> None:
    film, _ = framed_hand()

    with pytest.raises(ImageError, match=reason):
        prepare(film, Preparation(96, **how), mask)


def test_models_of_before_get_the_pixels_of_before() -> None:
    # Given the bytes that the preprocessing of the first models made of this film
    film = a_hand(background=10, hand=100, bone=200)
    film[:, :20] = 255

    square = prepare(film, Preparation(32, "plain"))

    assert hashlib.sha256(square.tobytes()).hexdigest()[:16] == "eb67b88f6cd49210"


@pytest.mark.real_data
def test_real_films_of_any_exposure_fill_the_grey_scale(real_data: Path) -> None:
    folder = real_data / "rsna" / "boneage-training-dataset" / "boneage-training-dataset"
    paths = sorted(folder.iterdir())[::200]

    squares = [prepare(read_grey(path), Preparation(128)) for path in paths]

    spreads = [np.percentile(square, 99) - np.percentile(square, 1) for square in squares]
    assert np.percentile(spreads, 2) > 120
