from __future__ import annotations

import torch

from tests.unit.trainer.augmented_images import generator, images
from trainer.augmentation import marks
from trainer.augmentation.augment import Ranges, augment


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
