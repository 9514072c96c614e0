"""The crops on real films, where they are at hand (CARPAL_TEST_DATA)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data.images.box import AS_IS, LEVELLED, Box, Sensitivity
from data.images.crop import field_box, hand_box, plain_box
from data.images.decoding import read_grey
from data.images.markers import without_markers

pytestmark = pytest.mark.real_data
EXPOSURES = pytest.mark.parametrize("how", [AS_IS, LEVELLED], ids=["as it is", "levelled"])


def film_of(real_data: Path, number: int, how: Sensitivity) -> NDArray[np.uint8]:
    folder = real_data / "rsna" / "boneage-training-dataset" / "boneage-training-dataset"
    return searched(read_grey(folder / f"{number}.jpg"), how)


def searched(film: NDArray[np.uint8], how: Sensitivity) -> NDArray[np.uint8]:
    """The film in which `how` is meant to look; as large, if its long side is up to 512 pixels."""
    return film if how is AS_IS else without_markers(film).film


@EXPOSURES
@pytest.mark.parametrize(
    ("number", "field"),
    [
        (10315, Box(30, 266, 45, 201)),
        (15520, Box(10, 293, 6, 219)),
        (3304, Box(54, 291, 0, 231)),
        (2316, Box(61, 299, 25, 194)),
        (13900, Box(0, 285, 0, 242)),
    ],
    ids=["shadow", "four white rims", "askew", "grey surroundings", "white strip"],
)
def test_borders_are_found_where_one_sees_them(
    real_data: Path, number: int, field: Box, how: Sensitivity
) -> None:
    found = field_box(film_of(real_data, number, how), how)

    assert np.abs(np.subtract(found, field)).max() <= 12


@EXPOSURES
@pytest.mark.parametrize(
    ("number", "hand"),
    [
        (12659, Box(22, 299, 62, 168)),
        (2086, Box(36, 299, 70, 200)),
        (4072, Box(82, 280, 72, 180)),
        (10331, Box(37, 299, 58, 178)),
        (11439, Box(44, 275, 36, 196)),
    ],
    ids=["closed fingers", "hand at the rim", "small child", "marker beside", "thumb spread"],
)
def test_the_hand_stays_whole(real_data: Path, number: int, hand: Box, how: Sensitivity) -> None:
    film = film_of(real_data, number, how)

    for box in (plain_box(film, how), field_box(film, how), hand_box(film, how)):
        assert box.top <= hand.top and box.left <= hand.left
        assert box.bottom >= hand.bottom and box.right >= hand.right


@EXPOSURES
def test_a_chest_keeps_its_lungs(real_data: Path, how: Sensitivity) -> None:
    paths = sorted((real_data / "chest_xray" / "train").rglob("*.jp*g"))[::40]

    left = [
        box.height * box.width / film.size
        for film in (searched(read_grey(path), how) for path in paths)
        for box in (field_box(film, how), hand_box(film, how))
    ]

    assert min(left) > 0.7
    assert np.mean(left) > 0.97
