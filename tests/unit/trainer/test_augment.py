from __future__ import annotations

import math
from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from trainer.augmentation import geometry, grey, marks
from trainer.augmentation.augment import Ranges, augment, ranges_of
from trainer.augmentation.draws import Draws
from trainer.options import TrainOptions

EVERYTHING = Ranges(
    turn_deg=20.0,
    zoom=0.1,
    shift=0.05,
    shear_deg=5.0,
    flip=True,
    gamma=0.3,
    contrast=0.2,
    brightness=0.1,
    invert=0.5,
    sharpen=0.5,
    clahe=0.5,
    blur=0.5,
    noise=0.03,
    erase=0.5,
    marker=0.5,
)
SHARES = ("invert", "sharpen", "clahe", "blur", "erase", "marker")
RANGES = [field.name for field in fields(Ranges)]
each_range = pytest.mark.parametrize("name", RANGES)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 8, seed: int = 0) -> Tensor:
    """Random images of 64 x 64 in 0.1..0.9, with details of two pixels."""
    coarse = torch.rand(count, 1, 32, 32, generator=generator(seed)) * 0.8 + 0.1
    return torch.nn.functional.interpolate(coarse, (64, 64), mode="bilinear")


def only(name: str) -> Ranges:
    """That change of `EVERYTHING` and no other."""
    return replace(Ranges(), **{name: getattr(EVERYTHING, name)})


def each(*values: float) -> Tensor:
    return torch.tensor([float(value) for value in values]).view(-1, 1, 1, 1)


def one_map(
    turn_deg: float = 0,
    factor: float = 1,
    shift_x: float = 0,
    shift_y: float = 0,
    shear_deg: float = 0,
    mirrored: bool = False,
) -> Tensor:
    numbers = (torch.tensor([v]) for v in (turn_deg, factor, shift_x, shift_y, shear_deg))
    return geometry.affine_maps(*(n.float() for n in numbers), torch.tensor([mirrored]))


# The whole


def test_no_range_returns_the_images_themselves() -> None:
    pixels = images()

    assert augment(pixels, Ranges(), generator()) is pixels


def test_the_same_seed_gives_the_same_images() -> None:
    one, other = (augment(images(), EVERYTHING, generator(7)) for _ in range(2))

    assert torch.equal(one, other)


def test_another_seed_gives_other_images() -> None:
    one, other = (augment(images(), EVERYTHING, generator(seed)) for seed in (7, 8))

    assert not torch.equal(one, other)


@each_range
def test_every_range_changes_images_and_keeps_the_given_ones(name: str) -> None:
    pixels = images()

    changed = augment(pixels, only(name), generator())

    assert changed.shape == pixels.shape
    assert not torch.allclose(changed, pixels, atol=1e-3)
    assert torch.equal(pixels, images())


@pytest.mark.parametrize("name", sorted({*RANGES} - {"brightness", "noise", "invert", "marker"}))
def test_switching_a_change_on_leaves_the_draws_of_the_others(name: str) -> None:
    # None of these changes a black film, on which the markers show what was drawn for them.
    black = torch.zeros(8, 1, 64, 64)
    markers = Ranges(marker=0.5)

    alone = augment(black, markers, generator())
    beside = augment(black, replace(markers, **{name: getattr(EVERYTHING, name)}), generator())

    assert 0 < int(alone.amax((1, 2, 3)).count_nonzero()) < 8
    torch.testing.assert_close(beside, alone)


@pytest.mark.parametrize(
    "pixels",
    [images(), torch.zeros(8, 1, 64, 64), torch.ones(8, 1, 64, 64)],
    ids=["any", "black", "white"],
)
def test_grey_values_stay_between_black_and_white(pixels: Tensor) -> None:
    strong = replace(EVERYTHING, contrast=1.8, brightness=1.0, gamma=2.0, noise=0.5, zoom=1.8)

    changed = augment(pixels, strong, generator())

    assert bool(torch.isfinite(changed).all())
    assert float(changed.min()) >= 0 and float(changed.max()) <= 1


def test_what_becomes_of_an_image_does_not_depend_on_the_others() -> None:
    pixels, others = images(), images(seed=5)
    others[3] = pixels[3]

    one, other = (augment(batch, EVERYTHING, generator()) for batch in (pixels, others))

    torch.testing.assert_close(one[3], other[3], atol=1e-6, rtol=0)
    assert not torch.allclose(one[2], other[2], atol=1e-3)


def test_every_image_is_changed_in_its_own_way() -> None:
    pixels = images(1).expand(8, 1, 64, 64)

    changed = augment(pixels, replace(EVERYTHING, **dict.fromkeys(SHARES, 0.0)), generator())

    for i in range(8):
        for j in range(i):
            assert not torch.allclose(changed[i], changed[j], atol=1e-3)


def test_nothing_that_the_device_computes_is_waited_for() -> None:
    # Tensors on "meta" have no values: whatever looks at one fails.
    changed = augment(images().to("meta"), EVERYTHING, generator(), size=48)

    assert changed.shape == (8, 1, 48, 48)
    assert changed.device.type == "meta"


def test_a_change_may_make_images_smaller() -> None:
    assert augment(images(), EVERYTHING, generator(), size=48).shape == (8, 1, 48, 48)


def test_scaling_down_averages_what_is_finer_than_the_new_pixels() -> None:
    # Columns that are black and white by turns are grey at a quarter of the size.
    stripes = torch.zeros(1, 1, 64, 64)
    stripes[..., ::2] = 1

    small = augment(stripes, Ranges(), generator(), size=16)

    torch.testing.assert_close(small, torch.full((1, 1, 16, 16), 0.5), atol=0.05, rtol=0)


def test_scaling_up_is_refused() -> None:
    with pytest.raises(ValueError, match="64 pixels cannot be scaled down to 65"):
        augment(images(), Ranges(), generator(), size=65)


# Geometry


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


# Grey values


def test_grey_values_are_raised_to_a_power() -> None:
    pixels = torch.tensor([0.0, 0.25, 1.0, 0.5]).view(1, 1, 2, 2)

    changed = grey.expose(pixels, each(2), each(1), each(0))

    torch.testing.assert_close(changed.flatten(), torch.tensor([0.0, 0.0625, 1.0, 0.25]))


def test_contrast_spreads_around_the_mean_and_brightness_is_added() -> None:
    # The mean is 0.5: 0.4 becomes 0.5 - 2 * 0.1 + 0.1; 0.8 would become 1.2 and is white.
    pixels = torch.tensor([0.4, 0.5, 0.3, 0.8]).view(1, 1, 2, 2)

    changed = grey.expose(pixels, each(1), each(2), each(0.1))

    torch.testing.assert_close(changed.flatten(), torch.tensor([0.4, 0.6, 0.2, 1.0]))


def test_a_negative_counts_from_white() -> None:
    pixels = images()

    torch.testing.assert_close(
        augment(pixels, Ranges(invert=1.0), generator()), 1 - pixels, atol=1e-6, rtol=0
    )


def test_grain_is_the_part_of_the_field_at_each_images_place() -> None:
    field = torch.arange(16.0).view(4, 4) / 10

    changed = grey.add_grain(
        torch.zeros(2, 1, 2, 2), field, torch.tensor([0, 2]), torch.tensor([1, 0]), each(1, 0.5)
    )

    expected = torch.tensor([[[[0.4, 0.5], [0.8, 0.9]]], [[[0.1, 0.15], [0.3, 0.35]]]])
    torch.testing.assert_close(changed, expected)


def test_grain_is_at_most_as_strong_as_asked_for_and_without_a_pattern() -> None:
    changed = augment(torch.full((64, 1, 64, 64), 0.5), Ranges(noise=0.1), generator()) - 0.5

    spreads = changed.std((1, 2, 3))
    assert 0.09 < float(spreads.max()) < 0.105 and float(spreads.min()) < 0.01
    beside = torch.corrcoef(torch.stack([changed[..., 1:].flatten(), changed[..., :-1].flatten()]))
    assert abs(float(beside[0, 1])) < 0.03


def test_a_blur_is_a_gaussian_of_each_images_width() -> None:
    # At one standard deviation from an edge, the normal distribution stands at 0.841.
    pixels = torch.zeros(2, 1, 32, 32)
    pixels[..., 16:] = 1

    changed = grey.blur(pixels, torch.tensor([1.5, 2.5]), 2.5)

    assert float(changed[0, 0, 16, 17]) == pytest.approx(0.841, abs=0.01)
    assert float(changed[1, 0, 16, 18]) == pytest.approx(0.841, abs=0.01)
    torch.testing.assert_close(changed, changed[:, :, :1].expand_as(changed), atol=1e-5, rtol=0)


def test_a_blur_does_not_darken_the_edges() -> None:
    pixels = torch.full((1, 1, 16, 16), 0.7)

    torch.testing.assert_close(grey.blur(pixels, torch.tensor([2.0]), 2.0), pixels)


def test_sharpening_adds_what_a_blur_takes_away() -> None:
    pixels, width = images(2), torch.tensor([1.0, 1.5])

    changed = grey.sharpen(pixels, width, 1.5, each(0.5, 2))

    expected = pixels + each(0.5, 2) * (pixels - grey.blur(pixels, width, 1.5))
    torch.testing.assert_close(changed, expected.clamp(0, 1), atol=1e-6, rtol=0)


def halves() -> Tensor:
    """Stripes of two pixels, faint (0.5 ± 0.05) on the left, strong (0.5 ± 0.2) on the right."""
    stripes = (torch.arange(64) // 2 % 2 * 2 - 1).view(1, 1, 64, 1).expand(1, 1, 64, 64)
    return 0.5 + stripes * torch.where(torch.arange(64) < 32, 0.05, 0.2)


def test_even_contrast_brings_every_part_to_the_films_own() -> None:
    changed = grey.even_out(halves(), each(1))

    # The whole film's: sqrt((0.05² + 0.2²) / 2) = 0.1458, a factor of 2.9 and 0.73.
    assert float(changed[..., :24].std()) == pytest.approx(0.1458, rel=0.02)
    assert float(changed[..., 40:].std()) == pytest.approx(0.1458, rel=0.02)
    assert float(changed[..., :24].mean()) == pytest.approx(0.5, abs=1e-3)


def test_the_gain_of_even_contrast_is_limited() -> None:
    pixels = halves()
    pixels[..., :32] = 0.5 + (pixels[..., :32] - 0.5) / 10

    changed = grey.even_out(pixels, each(1))

    assert float(changed[..., :24].std()) == pytest.approx(3 * 0.005, rel=0.02)


def test_even_contrast_may_be_blended_in() -> None:
    changed = grey.even_out(halves(), each(0.25))

    whole = grey.even_out(halves(), each(1))
    torch.testing.assert_close(changed, 0.75 * halves() + 0.25 * whole)


def test_even_contrast_leaves_a_plain_film_as_it_is() -> None:
    plain = torch.full((1, 1, 64, 64), 0.25)

    torch.testing.assert_close(grey.even_out(plain, each(1)), plain)


# Marks


def test_an_erased_rectangle_has_the_images_mean_grey() -> None:
    pixels = images(2)

    changed = marks.erase(
        pixels,
        left=torch.tensor([4.0, 0.0]),
        top=torch.tensor([10.0, 30.0]),
        width=torch.tensor([8.0, 32.0]),
        height=torch.tensor([5.0, 2.0]),
    )

    expected = pixels.clone()
    expected[0, 0, 10:15, 4:12] = pixels[0].mean()
    expected[1, 0, 30:32, :32] = pixels[1].mean()
    torch.testing.assert_close(changed, expected)


def test_a_lead_letter_is_white_where_its_strokes_are() -> None:
    # 14 pixels high: each cell of the letter is 2 x 2; the L's foot is its last row of cells.
    changed = marks.mark(
        torch.full((1, 1, 32, 32), 0.2),
        letter=torch.tensor([0]),
        left=torch.tensor([3.0]),
        top=torch.tensor([5.0]),
        height=torch.tensor([14.0]),
        white=torch.tensor([0.9]),
    )

    expected = torch.full((1, 1, 32, 32), 0.2)
    expected[:, :, 5:19, 3:5] = 0.9
    expected[:, :, 17:19, 3:13] = 0.9
    torch.testing.assert_close(changed, expected)


def test_a_lead_letter_darkens_nothing() -> None:
    pixels = torch.ones(1, 1, 32, 32)

    changed = marks.mark(
        pixels, torch.tensor([1]), *(torch.tensor([v]) for v in (3.0, 5.0, 14.0, 0.9))
    )

    assert torch.equal(changed, pixels)


def test_markers_lie_whole_and_near_all_four_edges() -> None:
    changed = augment(torch.zeros(200, 1, 100, 100), Ranges(marker=1.0), generator())

    nearest = []
    for image in changed[:, 0]:
        rows, columns = (image > 0).nonzero().unbind(1)
        assert 6 <= int(rows.max() - rows.min()) <= 9 and len(rows) >= 7
        gaps = [rows.min(), 99 - rows.max(), columns.min(), 99 - columns.max()]
        nearest.append(int(torch.stack(gaps).argmin()))
        assert int(torch.stack(gaps).min()) <= 10
    assert set(nearest) == {0, 1, 2, 3}


def test_a_marker_is_black_on_a_negative() -> None:
    changed = augment(torch.zeros(20, 1, 64, 64), Ranges(marker=1.0, invert=1.0), generator())

    assert float(changed.amin((1, 2, 3)).max()) <= 0.15 + 1e-6
    assert float(changed.median()) == 1


def test_erased_rectangles_are_drawn_between_a_hundredth_and_a_tenth_of_the_image() -> None:
    pixels = torch.zeros(100, 1, 100, 100)
    pixels[..., ::2, ::2] = 0.4

    changed = augment(pixels, Ranges(erase=1.0), generator())

    areas = ((changed - 0.1).abs() < 1e-6).float().mean((1, 2, 3))
    assert float(areas.min()) > 0.008 and float(areas.max()) < 0.1
    assert float(areas.std()) > 0.01


# Shares


@pytest.mark.parametrize("name", SHARES)
def test_a_share_is_the_share_of_the_images_that_change(name: str) -> None:
    pixels = images(40)

    changed = augment(pixels, replace(Ranges(), **{name: 0.25}), generator())

    differs = ((changed - pixels).abs() > 1e-3).any(-1).any(-1).any(-1)
    assert int(differs.sum()) == 10


def test_a_share_of_less_than_an_image_is_right_in_the_mean() -> None:
    source = generator()

    counts = [len(Draws.of(8, source).chosen("blur", 0.05)) for _ in range(1000)]

    assert set(counts) == {0, 1}
    assert 0.35 < sum(counts) / 1000 < 0.45


def test_every_image_is_chosen_as_often_as_any_other() -> None:
    source = generator()

    chosen = torch.cat([Draws.of(5, source).chosen("erase", 0.4) for _ in range(1000)])

    # 1000 times 2 of 5: each 400 times, with a standard deviation of 15.
    assert all(340 < int(n) < 460 for n in torch.bincount(chosen, minlength=5))


def test_the_draws_of_some_images_are_theirs_in_the_whole_batch() -> None:
    draws, images_taken = Draws.of(6, generator()), torch.tensor([1, 4])

    some = draws.take(images_taken)

    assert torch.equal(some.even("turn", 10), draws.even("turn", 10)[images_taken])


# Options


def test_options_become_ranges_times_their_strength() -> None:
    values = {name: 0.01 * (i + 1) for i, name in enumerate(RANGES) if name != "flip"}

    ranges = ranges_of(TrainOptions(augment=0.5, flip=True, **values))

    assert ranges.flip is True
    for name, value in values.items():
        assert getattr(ranges, name) == pytest.approx(value / 2), name


def test_no_strength_leaves_only_the_flip() -> None:
    assert ranges_of(TrainOptions(augment=0.0, flip=True)) == Ranges(flip=True)
    assert ranges_of(TrainOptions(augment=0.0, flip=False)) == Ranges()


def test_shares_and_shears_of_twice_the_strength_stay_possible() -> None:
    ranges = ranges_of(TrainOptions(augment=2.0, blur=0.8, shear_deg=45.0))

    assert ranges.blur == 1.0
    assert ranges.shear_deg < 90 and math.tan(math.radians(ranges.shear_deg)) < 2
