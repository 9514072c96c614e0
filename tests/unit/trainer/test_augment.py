from __future__ import annotations

import math
from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from tests.unit.trainer.augmented_images import EVERYTHING, generator, images, only
from trainer.augmentation.augment import Ranges, augment, ranges_of
from trainer.augmentation.draws import Draws
from trainer.options import TrainOptions

SHARES = ("invert", "sharpen", "clahe", "blur", "posterise", "erase", "marker")
RANGES = [field.name for field in fields(Ranges)]
each_range = pytest.mark.parametrize("name", RANGES)


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
