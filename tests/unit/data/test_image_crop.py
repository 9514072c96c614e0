from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from data.images.box import Box, whole
from data.images.crop import field_box, hand_box, plain_box
from tests.unit.data.hand_cases import Film, Mask, expose, framed_hand, hand_mask

Finder = Callable[[NDArray[np.uint8]], Box]
FINDERS = pytest.mark.parametrize(
    "find", [plain_box, field_box, hand_box], ids=lambda find: find.__name__
)


def cut(mask: Mask, box: Box) -> int:
    """How many pixels of the hand lie outside a box."""
    return int(mask.sum() - mask[box.top : box.bottom, box.left : box.right].sum())


@FINDERS
@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(150, 420),
    width=st.integers(150, 420),
    left=st.floats(0.02, 0.35),
    reach=st.floats(0.45, 0.62),
    background=st.integers(5, 90),
    contrast=st.integers(12, 80),
    glow=st.integers(0, 60),
    frame=st.sampled_from(["none", "white", "black", "askew"]),
    marker=st.booleans(),
)
def test_a_drawn_hand_is_never_cut(
    find: Finder,
    height: int,
    width: int,
    left: float,
    reach: float,
    background: int,
    contrast: int,
    glow: int,
    frame: str,
    marker: bool,
) -> None:
    # In the wedge between an askew rim and the cut, a finger tip would be lost.
    assume(frame != "askew" or (left >= 0.08 and left + reach <= 0.92))
    mask = hand_mask(height, width, left, reach)
    film = expose(mask, background, background + contrast, min(255, background + 2 * contrast))
    mask[-height // 12 :] = False  # where a plate lies askew, the end of the forearm may be cut
    film = lit(film, glow)
    if marker:
        film[10:40, 4:9] = 255
    if frame != "none":
        film, mask = framed(film, mask, frame)

    assert cut(mask, find(film)) <= 0.004 * mask.sum()


@FINDERS
@settings(max_examples=100, deadline=None)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    seed=st.integers(0, 2**32 - 1),
    levels=st.sampled_from([1, 2, 8, 256]),
)
def test_of_any_image_a_part_is_kept_and_the_same_one_each_time(
    find: Finder, height: int, width: int, seed: int, levels: int
) -> None:
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, levels, (1 + height // 9, 1 + width // 7)) * (
        255 // max(1, levels - 1)
    )
    size = (width, height)
    film = np.asarray(
        cv2.resize(blocks.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST), np.uint8
    )

    box = find(film)

    assert 0 <= box.top < box.bottom <= height
    assert 0 <= box.left < box.right <= width
    assert find(film.copy()) == box


def test_the_field_ends_at_the_rim_of_the_plate() -> None:
    film, mask = framed_hand()

    box = field_box(film)

    assert cut(mask, box) == 0
    assert np.abs(np.subtract(box, (36, 280, 36, 224))).max() <= 4


def test_the_crop_to_the_hand_leaves_the_marker_out() -> None:
    mask = hand_mask(300, 300, left=0.4, reach=0.55)
    film = lit(expose(mask), 60)
    film[120:180, 20:28] = 255
    film[172:180, 20:50] = 255

    box = hand_box(film)

    assert cut(mask, box) == 0
    assert box.left > 50
    assert box.top > 20


@pytest.mark.parametrize("shift", [0, 4, 8], ids=["straight", "askew", "more askew"])
def test_a_plate_that_lies_askew_loses_its_white_rim(shift: int) -> None:
    # Given a white strip on the left whose width changes by `shift` pixels from top to bottom
    mask = hand_mask(320, 260, left=0.25)
    film = lit(expose(mask), 60)
    for row in range(320):
        film[row, : 20 + shift * row // 320] = 250

    box = field_box(film)

    assert cut(mask, box) == 0
    assert box.left <= 20 + shift + 8
    rest = film[box.top : box.bottom, box.left : box.right]
    assert np.count_nonzero(rest == 250) < 0.02 * rest.size


def test_a_dim_collimator_shadow_is_cut_off() -> None:
    mask = hand_mask(300, 260)
    film = expose(mask, background=70, tissue=120, bone=200)
    film[:30] = film[:30] // 5
    film[:, 240:] = film[:, 240:] // 5

    box = field_box(film)

    assert abs(box.top - 30) <= 4
    assert abs(box.right - 240) <= 4


def test_the_straight_side_of_an_arm_is_no_edge() -> None:
    # Given a forearm along the whole film, brighter towards its middle
    across = np.abs(np.arange(200) - 120.0)
    film = np.tile(np.clip(220 - across * 2.6, 12, 255), (300, 1)).astype(np.uint8)

    box = field_box(film)

    assert film[0, box.left] <= 20
    assert film[0, box.right - 1] <= 20


def test_an_edge_across_the_hand_is_no_border() -> None:
    # Given two exposures on one film, the fingers in the darker one
    mask = hand_mask(300, 260)
    film = expose(mask, background=100, tissue=150, bone=220)
    film[:120] = film[:120] // 3

    for find in (field_box, hand_box):
        assert cut(mask, find(film)) <= 0.004 * mask.sum()


def test_what_covers_little_of_the_film_is_not_taken_for_the_hand() -> None:
    film = np.full((300, 300), 30, np.uint8)
    film[140:160, 140:160:2] = 90

    assert hand_box(film) == plain_box(film)


def test_noise_alone_is_kept_whole() -> None:
    film = np.random.default_rng(0).integers(0, 255, (200, 160)).astype(np.uint8)

    assert hand_box(film) == whole(film)


def lit(film: Film, glow: int) -> Film:
    """Adds light that grows towards the lower right, as behind a hand that scatters."""
    y, x = np.mgrid[: film.shape[0], : film.shape[1]]
    light = glow * (y / film.shape[0] + x / film.shape[1]) / 2
    return np.asarray(np.clip(film + light, 0, 255), np.uint8)


def framed(film: Film, mask: Mask, kind: str) -> tuple[Film, Mask]:
    """Puts a film on a larger sheet."""
    edge = 24
    outside = {"white": 255, "black": 0, "askew": 0}[kind]
    padded = np.pad(film, edge, constant_values=outside)
    where = np.pad(mask.astype(np.uint8), edge)
    if kind == "askew":
        size = (padded.shape[1], padded.shape[0])
        turn = cv2.getRotationMatrix2D((size[0] / 2, size[1] / 2), 4, 1)
        padded, where = (
            np.asarray(cv2.warpAffine(image, turn, size), np.uint8) for image in (padded, where)
        )
    return padded, where.astype(bool)
