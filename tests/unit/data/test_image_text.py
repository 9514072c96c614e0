"""Burned-in text is noticed, lead markers and anatomy are not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from data.images.decoding import read_grey
from data.images.text import may_hold_text
from data.phantoms.drawing import draw_phantoms


def a_film_with(text: str, height_px: int, at: tuple[int, int], grey: int) -> NDArray[np.uint8]:
    """A smooth ramp, 400 x 500, with text whose baseline begins at (x, y)."""
    film = np.tile(np.linspace(20, 90, 400, dtype=np.uint8), (500, 1))
    size = height_px / 22  # cv2's plain letters are 22 pixels high at size 1
    thickness = max(1, round(size * 2))
    cv2.putText(film, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, grey, thickness, cv2.LINE_AA)
    return film


@pytest.mark.parametrize("text", ["DOE JANE", "12/03/2014", "ID 471108"])
@pytest.mark.parametrize("height_px", [10, 16, 28])
@pytest.mark.parametrize("at", [(8, 40), (8, 490)], ids=["top", "bottom"])
def test_a_printed_line_is_noticed(text: str, height_px: int, at: tuple[int, int]) -> None:
    assert may_hold_text(a_film_with(text, height_px, at, 255))


def test_dark_text_on_a_bright_border_is_noticed() -> None:
    film = 255 - a_film_with("DOE JANE", 16, (8, 40), 255)

    assert may_hold_text(film)


@pytest.mark.parametrize("text", ["L", "R", "L  AB"])
def test_a_lead_marker_is_not_taken_for_text(text: str) -> None:
    assert not may_hold_text(a_film_with(text, 28, (8, 60), 255))


def test_text_in_the_middle_is_left_alone() -> None:
    assert not may_hold_text(a_film_with("ABCDEF", 10, (160, 250), 255))


def test_drawn_hands_hold_no_text() -> None:
    assert not any(may_hold_text(image) for _, _, image in draw_phantoms(20, 0, 256))


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 2)])
def test_an_image_of_any_shape_is_looked_at(shape: tuple[int, int]) -> None:
    assert not may_hold_text(np.zeros(shape, np.uint8))


@pytest.mark.real_data
def test_hardly_any_real_film_is_flagged(real_data: Path) -> None:
    paths = sorted((real_data / "hands512").glob("*.jpg"))[:300]

    flagged = [path.name for path in paths if may_hold_text(read_grey(path))]

    # Of all 1,273, four are: 3292, 4165, 3052 and 3767, and each does carry printed text.
    assert len(flagged) <= 3
