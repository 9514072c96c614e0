from __future__ import annotations

import pytest
import torch

from tests.unit.trainer.augmented_images import generator, images, one_map
from trainer.augmentation import geometry
from trainer.augmentation.augment import Ranges, augment


def test_a_quarter_turn_is_counter_clockwise() -> None:
    moved = geometry.move(images(1), one_map(turn_deg=90))

    torch.testing.assert_close(moved, torch.rot90(images(1), 1, (2, 3)), atol=1e-4, rtol=0)


def test_a_mirrored_image_has_left_and_right_exchanged() -> None:
    moved = geometry.move(images(1), one_map(mirrored=True))

    torch.testing.assert_close(moved, images(1).flip(3), atol=1e-4, rtol=0)


def test_a_shift_moves_to_the_right_and_down_by_its_share_of_the_side() -> None:
    # 1/8 of 64 pixels is 8, 1/16 is 4; what comes in is black.
    expected = torch.zeros(1, 1, 64, 64)
    expected[:, :, 4:, 8:] = images(1)[:, :, :-4, :-8]

    moved = geometry.move(images(1), one_map(shift_x=1 / 8, shift_y=1 / 16))

    torch.testing.assert_close(moved, expected, atol=1e-4, rtol=0)


def test_an_image_of_twice_the_size_shows_its_middle() -> None:
    # A square of 8 x 8 pixels around the centre becomes 16 x 16; edges fade over a pixel.
    pixels = torch.zeros(1, 1, 32, 32)
    pixels[:, :, 12:20, 12:20] = 1

    moved = geometry.move(pixels, one_map(factor=2))

    assert float(moved[:, :, 9:23, 9:23].min()) == pytest.approx(1, abs=1e-4)
    assert float(moved.sum()) == pytest.approx(16 * 16, rel=0.02)


def test_a_shear_moves_lower_rows_to_the_right() -> None:
    # 45°: row r, whose middle is r - 15.5 pixels below the centre, moves by as much.
    pixels = torch.zeros(1, 1, 32, 32)
    pixels[:, :, :, 16] = 1

    moved = geometry.move(pixels, one_map(shear_deg=45))

    # At rows 11.5 pixels above and below, the column of middle 16.5 lies at 5 and at 28.
    assert moved[0, 0, 4].nonzero().flatten().tolist() == [4, 5]
    assert moved[0, 0, 27].nonzero().flatten().tolist() == [27, 28]


def test_an_image_is_mirrored_before_it_is_turned_and_turned_before_it_is_shifted() -> None:
    expected = torch.zeros(1, 1, 64, 64)
    expected[..., 8:] = torch.rot90(images(1).flip(3), 1, (2, 3))[..., :-8]

    moved = geometry.move(images(1), one_map(turn_deg=90, shift_x=1 / 8, mirrored=True))

    torch.testing.assert_close(moved, expected, atol=1e-4, rtol=0)


def test_a_zoom_is_drawn_from_its_range_on_both_sides() -> None:
    factors = geometry.zoom_factors(torch.tensor([-1.0, 0.0, 1.0]), 0.25)

    torch.testing.assert_close(factors, torch.tensor([0.8, 1.0, 1.25]))


def test_flipping_mirrors_about_half_of_the_images() -> None:
    pixels = images(200)

    changed = augment(pixels, Ranges(flip=True), generator())

    mirrored = (changed - pixels.flip(3)).abs().amax((1, 2, 3)) < 1e-4
    untouched = (changed - pixels).abs().amax((1, 2, 3)) < 1e-4
    assert bool((mirrored ^ untouched).all())
    assert 70 < int(mirrored.sum()) < 130


def test_a_shift_moves_by_at_most_its_share_of_the_side_in_every_direction() -> None:
    pixels = torch.zeros(100, 1, 32, 32)
    pixels[:, :, 12:20, 12:20] = 1

    changed = augment(pixels, Ranges(shift=0.125), generator())

    steps = torch.arange(32.0)
    for axis in (2, 3):
        place = (changed.sum(5 - axis).squeeze(1) * steps).sum(1) / changed.sum((1, 2, 3))
        moved = place - 15.5
        assert -4.01 <= float(moved.min()) < -3 and 3 < float(moved.max()) <= 4.01
