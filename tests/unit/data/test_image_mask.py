from __future__ import annotations

import numpy as np
import pytest

from data.errors import ImageError
from data.images.mask import Mask, agreed, hand_of


def square(
    top: int = 20, side: int = 40, value: int = 255
) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    mask = np.zeros((100, 80), np.uint8)
    mask[top : top + side, 20 : 20 + side] = value
    return mask


@pytest.mark.parametrize("value", [1, 77, 255], ids=["0 and 1", "grey", "0 and 255"])
def test_what_is_brighter_than_half_of_the_brightest_is_hand(value: int) -> None:
    mask = square(value=value)
    mask[0, 0] = value // 3

    assert np.array_equal(hand_of(mask, 100, 80), square() > 0)


def test_a_mask_of_another_size_is_scaled_to_the_film() -> None:
    hand = hand_of(square(), 200, 160)

    assert hand.shape == (200, 160)
    assert hand.sum() == 4 * 40 * 40


def test_specks_are_left_out_and_holes_filled() -> None:
    mask = square()
    mask[2:5, 2:5] = 255
    mask[30:34, 30:34] = 0

    assert np.array_equal(hand_of(mask, 100, 80), square() > 0)


def test_the_gap_between_two_fingers_is_no_hole() -> None:
    mask = square(top=0)
    mask[0:20, 38:42] = 0

    assert not hand_of(mask, 100, 80)[0:20, 38:42].any()


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (np.zeros((100, 80), np.uint8), "marks nothing"),
        (np.full((100, 80), 255, np.uint8), "marks the whole film"),
        (255 - square(), "hand and background seem exchanged"),
        (square(top=5, side=30) + square(top=60, side=30), "marks 2 parts and no single hand"),
        (np.zeros((80, 100), np.uint8), "other proportions"),
    ],
    ids=["empty", "full", "inverted", "two hands", "turned"],
)
def test_what_marks_no_single_hand_is_refused(mask: Mask, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        hand_of(mask, 100, 80)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("height", "width", "fits"),
    [(1000, 800, True), (1000, 815, True), (1000, 830, False), (97, 80, False)],
    ids=["same", "rounded", "wider", "lower"],
)
def test_proportions_may_differ_by_two_percent(height: int, width: int, fits: bool) -> None:
    if fits:
        assert hand_of(square(), height, width).shape == (height, width)
        return
    with pytest.raises(ImageError, match=f"{width} x {height}"):
        hand_of(square(), height, width)


def test_a_pixel_is_hand_where_at_least_half_of_the_masks_say_so() -> None:
    masks = [square(top=top) > 0 for top in (20, 22, 26)]

    assert np.array_equal(agreed(masks), square(top=22) > 0)


def test_of_two_masks_both_count() -> None:
    masks = [square(top=top) > 0 for top in (20, 22)]

    assert np.array_equal(agreed(masks), masks[0] | masks[1])


def test_masks_that_mean_different_hands_are_refused() -> None:
    with pytest.raises(ImageError, match=r"Dice 0\.50"):
        agreed([square(top=20) > 0, square(top=40) > 0])
