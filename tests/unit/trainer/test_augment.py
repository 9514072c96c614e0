from __future__ import annotations

import torch

from trainer.augment import Ranges, augment

NOTHING = Ranges(0, 0, 0, 0, 0, 0, 0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def hands(count: int = 4) -> torch.Tensor:
    images = torch.zeros(count, 1, 32, 32)
    images[:, :, 8:24, 4:12] = 0.5
    return images


def test_strength_zero_changes_nothing() -> None:
    assert torch.equal(augment(hands(), 0.0, False, generator()), hands())


def test_the_same_seed_gives_the_same_images() -> None:
    one, other = (augment(hands(), 1.0, True, generator(7)) for _ in range(2))

    assert torch.equal(one, other)


def test_every_image_is_changed_in_its_own_way() -> None:
    changed = augment(hands(), 1.0, False, generator())

    assert not torch.equal(changed[0], changed[1])


def test_grey_values_stay_between_black_and_white() -> None:
    changed = augment(torch.rand(16, 1, 32, 32), 2.0, True, generator())

    assert float(changed.min()) >= 0 and float(changed.max()) <= 1


def test_flipping_mirrors_about_half_of_the_images_left_to_right() -> None:
    changed = augment(hands(200), 0.0, True, generator())

    mirrored = (changed - hands(200).flip(3)).abs().amax((1, 2, 3)) < 1e-4
    untouched = (changed - hands(200)).abs().amax((1, 2, 3)) < 1e-4
    assert bool((mirrored ^ untouched).all())
    assert 70 < int(mirrored.sum()) < 130


def test_a_shift_moves_by_at_most_its_part_of_the_side() -> None:
    # A tenth of 32 pixels: the bright block begins at most 3.2 pixels from where it was.
    changed = augment(hands(50), 1.0, False, generator(), Ranges(0, 0, 0.1, 0, 0, 0, 0))

    first_rows = [int((image[0].amax(1) > 0.25).nonzero()[0]) for image in changed]
    assert min(first_rows) >= 4 and max(first_rows) <= 12
    assert len(set(first_rows)) > 3


def test_no_range_is_no_change() -> None:
    changed = augment(hands(), 1.0, False, generator(), NOTHING)

    torch.testing.assert_close(changed, hands(), atol=1e-4, rtol=0)
