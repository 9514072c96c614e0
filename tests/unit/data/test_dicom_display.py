"""What a viewer shows, against numbers worked out by hand from PS3.3 C.11."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.dicom.display import Display, Table, Window, show

RAMP = np.array([[0, 1, 2, 3, 4]])


@pytest.mark.parametrize(
    ("window", "seen"),
    [
        # C.11.2.1.2.1 with c = 2, w = 4: below 0 black, above 3 white, else (x - 1.5) / 3 + 0.5
        (Window(2, 4), [0, 85, 170, 255, 255]),
        # C.11.2.1.3.2: (x - 2) / 4 + 0.5
        (Window(2, 4, "LINEAR_EXACT"), [0, 64, 128, 191, 255]),
        # C.11.2.1.3.1: 1 / (1 + exp(-4 (x - 2) / 4)); exp(1) = 2.71828, exp(2) = 7.38906
        (Window(2, 4, "SIGMOID"), [30, 69, 128, 186, 225]),
        # The narrowest window: black up to the centre less a half, white above.
        (Window(2, 1), [0, 0, 255, 255, 255]),
    ],
    ids=["linear", "linear exact", "sigmoid", "one value wide"],
)
def test_a_window_spreads_its_values_over_the_greys(window: Window, seen: list[int]) -> None:
    assert show(RAMP, Display(window=window)).tolist() == [seen]


@pytest.mark.parametrize(
    "window",
    [Window(2, 0), Window(2, 0.5), Window(2, -4, "SIGMOID"), Window(float("nan"), 4)],
    ids=["no width", "less than one value", "negative", "no number"],
)
def test_a_window_that_the_standard_forbids_is_left_out(window: Window) -> None:
    display = Display(window=window)

    # x * 255 / 4
    assert show(RAMP, display).tolist() == [[0, 64, 128, 191, 255]]
    assert display.contrast == "full range"


def test_without_a_window_the_lowest_value_is_black_and_the_highest_white() -> None:
    assert show(np.array([[100, 150, 300]]), Display()).tolist() == [[0, 64, 255]]


def test_the_lowest_value_of_an_inverted_image_is_white() -> None:
    assert show(np.array([[100, 150, 300]]), Display(inverted=True)).tolist() == [[255, 191, 0]]


@pytest.mark.parametrize("inverted", [False, True])
def test_padding_is_black_and_does_not_stretch_the_range(inverted: bool) -> None:
    values = np.array([[-2000, 100, 300, -1999]])

    seen = show(values, Display(inverted=inverted, padding=(-2000, -1999)))

    assert seen.tolist() == [[0, 255, 0, 0] if inverted else [0, 0, 255, 0]]


def test_an_image_of_nothing_but_padding_is_black() -> None:
    assert show(np.full((2, 2), 7), Display(padding=(7, 7))).max() == 0


def test_a_flat_image_does_not_divide_by_zero() -> None:
    assert show(np.full((1, 2), 4000), Display()).tolist() == [[0, 0]]


def test_the_window_applies_to_rescaled_values() -> None:
    # 0, 2, 4, 6, 8 less 4: -4, -2, 0, 2, 4; (x + 0) / 8 + 0.5
    display = Display(slope=2, intercept=-4, window=Window(0, 8, "LINEAR_EXACT"))

    assert show(RAMP, display).tolist() == [[0, 64, 128, 191, 255]]


def test_a_negative_slope_turns_the_greys_round() -> None:
    assert show(np.array([[0, 1, 2]]), Display(slope=-1)).tolist() == [[255, 128, 0]]


def test_a_table_of_values_of_interest_comes_before_a_window() -> None:
    # First entry for 1 and below, last one for 3 and above; 8 bits: 255 is white.
    table = Table(first=1, bits=8, entries=(10, 200, 250))

    display = Display(voi_table=table, window=Window(2, 4))

    assert show(RAMP, display).tolist() == [[10, 10, 200, 250, 250]]
    assert display.contrast == "voi lut"


def test_sixteen_bits_of_a_table_are_scaled_to_eight() -> None:
    table = Table(first=0, bits=12, entries=(0, 4095, 2048))

    # 2048 * 255 / 4095 = 127.53
    assert show(np.array([[0, 1, 2]]), Display(voi_table=table)).tolist() == [[0, 255, 128]]


def test_a_modality_table_comes_before_the_window() -> None:
    table = Table(first=0, bits=16, entries=(1000, 0, 500))

    seen = show(
        np.array([[0, 1, 2]]),
        Display(modality_table=table, window=Window(500, 1000, "LINEAR_EXACT")),
    )

    assert seen.tolist() == [[255, 0, 128]]


@given(
    st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=30),
    st.floats(-1e5, 1e5),
    st.floats(1, 1e5),
    st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
)
def test_a_window_never_turns_dark_and_bright_round(
    values: list[int], centre: float, width: float, function: str
) -> None:
    ordered = np.array([sorted(values)])

    seen = show(ordered, Display(window=Window(centre, width, function)))

    assert (np.diff(seen.astype(int)) >= 0).all()
