from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from data.images import alteration

Film = NDArray[np.uint8]

FILM = np.asarray([[10, 20, 30], [40, 50, 60]], np.uint8)

CHANGES: dict[str, Callable[[Film], Film]] = {
    "turned": partial(alteration.turned, degrees=20),
    "mirrored": alteration.mirrored,
    "inverted": alteration.inverted,
    "shifted": partial(alteration.shifted, levels=64),
    "compressed": partial(alteration.compressed, factor=0.25),
    "blurred": partial(alteration.blurred, share=1 / 64),
    "halved": alteration.halved,
    "with a marker": alteration.with_marker,
    "grainy": partial(alteration.grainy, sd=16),
    "framed": partial(alteration.framed, share=0.05),
}
every_change = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


def noise(height: int = 90, width: int = 60) -> Film:
    return np.random.default_rng(3).integers(0, 255, (height, width), np.uint8)


@every_change
def test_a_change_is_the_same_every_time_and_leaves_its_film_alone(
    change: Callable[[Film], Film],
) -> None:
    film = noise()

    one, other = change(film), change(film)

    assert np.array_equal(one, other)
    assert one.dtype == np.uint8 and one.ndim == 2
    assert not np.array_equal(one, film)
    assert np.array_equal(film, noise())


@every_change
def test_a_change_takes_a_film_of_one_pixel(change: Callable[[Film], Film]) -> None:
    assert change(np.full((1, 1), 200, np.uint8)).size >= 1


def test_a_quarter_turn_is_counter_clockwise_and_keeps_every_pixel() -> None:
    assert alteration.turned(FILM, 90).tolist() == [[30, 60], [20, 50], [10, 40]]


def test_a_turned_film_lies_on_a_larger_sheet_of_the_grey_of_its_rim() -> None:
    film = np.full((100, 60), 33, np.uint8)
    film[20:80, 20:40] = 200

    turned = alteration.turned(film, 30)

    # 60 cos 30° + 100 sin 30° = 101.96 and 60 sin 30° + 100 cos 30° = 116.6
    assert turned.shape == (117, 102)
    assert turned[0, 0] == 33 and turned[58, 51] == 200
    assert np.count_nonzero(turned > 116) == pytest.approx(60 * 20, rel=0.05)


def test_mirroring_exchanges_left_and_right() -> None:
    assert alteration.mirrored(FILM).tolist() == [[30, 20, 10], [60, 50, 40]]


def test_a_negative_counts_from_white() -> None:
    assert alteration.inverted(FILM).tolist() == [[245, 235, 225], [215, 205, 195]]


@pytest.mark.parametrize(
    ("levels", "expected"),
    [(-25, [[0, 0, 5], [15, 25, 35]]), (200, [[210, 220, 230], [240, 250, 255]])],
    ids=["darker", "lighter"],
)
def test_a_shift_of_the_grey_values_cuts_off_at_black_and_white(
    levels: int, expected: list[list[int]]
) -> None:
    assert alteration.shifted(FILM, levels).tolist() == expected


def test_a_compressed_film_keeps_its_darkest_grey_and_is_rounded() -> None:
    # 10 + 10 / 4 = 12.5 and 10 + 30 / 4 = 17.5: halves go up.
    assert alteration.compressed(FILM, 0.25).tolist() == [[10, 13, 15], [18, 20, 23]]


def test_a_blur_spreads_a_point_by_its_share_of_the_longer_side() -> None:
    film = np.zeros((64, 128), np.uint8)
    film[:, 64:] = 200

    blurred = alteration.blurred(film, 2 / 128)

    # Two pixels: one standard deviation beside the edge, the normal distribution is at 0.841;
    # pixel 66 has its middle 2.5 pixels, or 1.25 of them, from the edge at 64: 0.894.
    assert blurred[32, 66] == pytest.approx(200 * 0.894, abs=3)
    assert blurred[32, 61] == pytest.approx(200 * 0.106, abs=3)


def test_half_the_resolution_is_the_mean_of_four_pixels() -> None:
    film = np.asarray([[10, 20, 1, 1], [30, 40, 3, 3]], np.uint8)

    assert alteration.halved(film).tolist() == [[25, 2]]


def test_a_marker_lies_white_in_the_darkest_corner_and_nowhere_else() -> None:
    film = np.full((200, 100), 80, np.uint8)
    film[150:, :50] = 20

    marked = alteration.with_marker(film)

    # 6 % of 200 pixels high, 3 % of them from the edges, strokes of a fifth: an L.
    rows, columns = np.nonzero(marked != film)
    assert (rows.min(), rows.max()) == (182, 193)
    assert (columns.min(), columns.max()) == (6, 12)
    assert marked[182:194, 6:8].min() == 255 and marked[192:194, 6:13].min() == 255
    assert len(rows) == 12 * 2 + 2 * 5


def test_mottle_is_as_strong_as_it_should_be_and_does_not_shift_the_mean() -> None:
    film = np.full((512, 256), 128, np.uint8)

    change = alteration.grainy(film, 16).astype(np.float64) - 128

    assert change.std() == pytest.approx(16, rel=0.02)
    assert abs(change.mean()) < 0.2


def test_mottle_of_a_large_film_is_coarse_enough_to_be_left_when_it_is_scaled_down() -> None:
    film = np.full((2048, 2048), 128, np.uint8)

    grain = alteration.grainy(film, 16).astype(np.float64).reshape(512, 4, 512, 4) - 128

    assert grain.mean((1, 3)).std() > 8


def test_a_border_is_white_around_the_whole_film() -> None:
    framed = alteration.framed(np.full((100, 60), 7, np.uint8), 0.05)

    assert framed.shape == (110, 70)
    assert np.all(framed[5:-5, 5:-5] == 7)
    assert int((framed == 255).sum()) == 110 * 70 - 100 * 60
