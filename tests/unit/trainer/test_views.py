from __future__ import annotations

import pytest
import torch

from trainer.answers.views import View, show, views_of


@pytest.mark.parametrize(("tta", "count"), [("none", 1), ("flip", 2), ("rotate", 5), ("full", 10)])
def test_every_word_has_its_views_and_the_film_as_it_is_comes_first(tta: str, count: int) -> None:
    views = views_of(tta, 7.0)

    assert len(set(views)) == count
    assert views[0] == View(0.0, False)


def test_five_rotations_lie_evenly_around_the_film_as_it_is() -> None:
    assert sorted(view.turn_deg for view in views_of("rotate", 7.0)) == [-14, -7, 0, 7, 14]


def test_a_mirrored_view_exchanges_left_and_right() -> None:
    pixels = torch.tensor([[[[0.1, 0.2], [0.3, 0.4]]]])

    assert show(pixels, View(mirrored=True)).tolist() == pixels.flip(3).tolist()


def test_a_quarter_turn_moves_the_top_to_the_side() -> None:
    pixels = torch.zeros(1, 1, 5, 5)
    pixels[0, 0, 0, 2] = 1

    turned = show(pixels, View(turn_deg=90.0))

    torch.testing.assert_close(turned, torch.rot90(pixels, 1, (2, 3)))
