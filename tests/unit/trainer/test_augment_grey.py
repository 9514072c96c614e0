from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.unit.trainer.augmented_images import each, generator, images
from trainer.augmentation import grey
from trainer.augmentation.augment import Ranges, augment


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


def test_posterising_leaves_as_many_steps_as_it_is_told() -> None:
    ramp = torch.linspace(0, 1, 64 * 64).view(1, 1, 64, 64).repeat(2, 1, 1, 1)

    changed = grey.posterise(ramp, each(8, 64))

    assert [len(image.unique()) for image in changed] == [9, 65]
    assert (changed - ramp).abs().amax((1, 2, 3)).tolist() == pytest.approx(
        [1 / 16, 1 / 128], abs=1e-3
    )


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
