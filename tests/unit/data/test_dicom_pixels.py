"""The pixels of DICOM files, as a viewer shows them (PS3.3 C.11), worked out by hand."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from tests.unit.data.dicom_cases import (
    RAMP,
    a_dataset,
    a_file,
    a_table,
    padded,
    written,
)
from tests.unit.data.dicom_reading_cases import seen


@pytest.mark.parametrize(
    ("values", "bits"),
    [
        (np.array([[0, 128, 255]], np.uint8), 8),
        (np.array([[0, 512, 1023]], np.uint16), 10),
        (np.array([[0, 2048, 4095]], np.uint16), 12),
        (np.array([[0, 32768, 65535]], np.uint16), 16),
        (np.array([[-128, 0, 127]], np.int8), 8),
        (np.array([[-2048, 0, 2047]], np.int16), 12),
        (np.array([[-32768, 0, 32767]], np.int16), 16),
    ],
    ids=["8", "10", "12", "16", "8 signed", "12 signed", "16 signed"],
)
@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
    ids=["implicit", "big endian", "deflated"],
)
def test_every_bit_depth_and_sign_is_read(values: NDArray[Any], bits: int, syntax: UID) -> None:
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    cells = (values.astype(int) & ((1 << bits) - 1)).astype(f"{order}u{values.dtype.itemsize}")
    pixels = padded(cells.tobytes())
    dataset = a_dataset(values, syntax, BitsStored=bits, HighBit=bits - 1, PixelData=pixels)

    assert seen(written(dataset)) == [[0, 128, 255]]


def test_bits_above_the_value_are_no_part_of_it() -> None:
    overlay = np.array([[0, 512, 1023]], np.uint16) | 0xF000

    assert seen(a_file(overlay, BitsStored=10, HighBit=9)) == [[0, 128, 255]]


def test_a_value_in_the_high_bits_is_shifted() -> None:
    shifted = np.array([[0, 512, 1023]], np.uint16) << 6

    # A window of 1024 around 512: x / 1023
    payload = a_file(shifted, BitsStored=10, HighBit=15, WindowCenter=512, WindowWidth=1024)

    assert seen(payload) == [[0, 128, 255]]


def test_monochrome1_is_inverted() -> None:
    assert seen(a_file(RAMP, PhotometricInterpretation="MONOCHROME1")) == [[255, 170, 85, 0]]


@pytest.mark.parametrize(
    ("photometric", "shape", "pixels"),
    [
        ("MONOCHROME1", "INVERSE", [255, 170, 85, 0]),
        ("MONOCHROME2", "IDENTITY", [0, 85, 170, 255]),
        ("MONOCHROME2", "INVERSE", [255, 170, 85, 0]),
    ],
)
def test_the_presentation_shape_inverts_once(
    photometric: str, shape: str, pixels: list[int]
) -> None:
    payload = a_file(RAMP, PhotometricInterpretation=photometric, PresentationLUTShape=shape)

    assert seen(payload) == [pixels]


def test_the_first_of_several_windows_counts() -> None:
    payload = a_file(RAMP, WindowCenter=[2, 100], WindowWidth=[4, 200])

    # (x - 1.5) / 3 + 0.5
    assert seen(payload) == [[0, 85, 170, 255]]


def test_the_window_applies_after_the_rescale() -> None:
    elements = {"RescaleSlope": 2, "RescaleIntercept": -3, "VOILUTFunction": "LINEAR_EXACT"}

    # -3, -1, 1, 3 of a window from -3 to 3
    assert seen(a_file(RAMP, WindowCenter=0, WindowWidth=6, **elements)) == [[0, 85, 170, 255]]


def test_a_voi_table_comes_before_a_window() -> None:
    table = a_table([0, 255, 100], first=1, bits=8)

    assert seen(a_file(RAMP, VOILUTSequence=table, WindowCenter=2, WindowWidth=4)) == [
        [0, 0, 255, 100]
    ]


def test_a_table_for_signed_values_may_begin_below_zero() -> None:
    values = np.array([[-2, -1, 0]], np.int16)

    assert seen(a_file(values, VOILUTSequence=a_table([10, 20, 30], -2, 8))) == [[10, 20, 30]]


def test_a_modality_table_is_applied() -> None:
    table = a_table([300, 200, 100, 0], first=0, bits=16)

    assert seen(a_file(RAMP, ModalityLUTSequence=table)) == [[255, 170, 85, 0]]


def test_padding_is_black_and_left_out_of_the_range() -> None:
    values = np.array([[5000, 0, 1, 2]], np.uint16)

    assert seen(a_file(values, PixelPaddingValue=5000)) == [[0, 0, 128, 255]]


@pytest.mark.parametrize(
    ("photometric", "sample"),
    # 0.299 * 255 = 76.2; Y is the luminance already
    [("RGB", (255, 0, 0)), ("YBR_FULL", (76, 85, 255))],
)
def test_colours_become_luminance(photometric: str, sample: tuple[int, int, int]) -> None:
    values = np.array([[sample]], np.uint8)

    (pixels,) = seen(a_file(values, PhotometricInterpretation=photometric))

    assert abs(pixels[0] - 76) <= 1


def test_a_palette_becomes_luminance() -> None:
    palette = {
        f"{colour}PaletteColorLookupTableDescriptor": [2, 0, 16]
        for colour in ("Red", "Green", "Blue")
    }
    data = {
        "RedPaletteColorLookupTableData": struct.pack("<2H", 0, 65535),
        "GreenPaletteColorLookupTableData": struct.pack("<2H", 0, 0),
        "BluePaletteColorLookupTableData": struct.pack("<2H", 0, 0),
    }
    values = np.array([[0, 1]], np.uint8)

    payload = a_file(values, PhotometricInterpretation="PALETTE COLOR", **palette, **data)

    assert seen(payload) == [[0, 76]]
