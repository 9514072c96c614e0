"""Compressed pixels of DICOM files: nothing is decoded that could take more than it says."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    RLELossless,
)

from tests.unit.data.dataset_cases import encoded
from tests.unit.data.dicom_cases import (
    a_dataset,
    written,
)
from tests.unit.data.dicom_reading_cases import refusal, seen


def a_compressed_file(syntax: UID, frame: bytes, **elements: Any) -> bytes:
    dataset = a_dataset(np.zeros((10, 10), np.uint8), **elements)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return written(dataset)


def a_jpeg_header(height: int, width: int) -> bytes:
    frame = struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00"
    return b"\xff\xd8\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + b"\xff\xd9"


def a_jpeg_2000_header(height: int, width: int) -> bytes:
    size = struct.pack(">HH8LH", 41, 0, width, height, 0, 0, width, height, 0, 0, 1)
    return b"\xff\x4f\xff\x51" + size + b"\x07\x01\x01\xff\xd9"


@pytest.mark.parametrize(
    ("syntax", "frame"),
    [
        (JPEGBaseline8Bit, a_jpeg_header(60_000, 60_000)),
        (JPEGLossless, a_jpeg_header(60_000, 60_000)),
        (JPEG2000Lossless, a_jpeg_2000_header(60_000, 60_000)),
    ],
    ids=["JPEG", "JPEG lossless", "JPEG 2000"],
)
def test_a_compressed_image_that_is_larger_than_it_says_is_not_decoded(
    syntax: UID, frame: bytes
) -> None:
    problem = refusal(a_compressed_file(syntax, frame))

    assert problem == "The compressed image has another size than the file says."


def test_a_jpeg_with_thousands_of_scans_is_not_decoded() -> None:
    jpeg = encoded(np.zeros((10, 10), np.uint8), "JPEG", progressive=True)
    last_scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    bomb = jpeg[:-2] + last_scan * 5000 + jpeg[-2:]

    problem = refusal(a_compressed_file(JPEGBaseline8Bit, bomb))

    assert problem == "The compressed image has more than the 100 scans that are read."


@pytest.mark.parametrize(
    "segment",
    [b"\x81\x00" * 50_000, b"\x00", b"\x81"],
    ids=["64 times too long", "too short", "cut off"],
)
def test_run_lengths_that_do_not_fit_are_not_decoded(segment: bytes) -> None:
    frame = struct.pack("<16L", 1, 64, *[0] * 14) + segment

    assert "pixel data" in refusal(a_compressed_file(RLELossless, frame))


def test_run_lengths_are_decoded() -> None:
    # 100 pixels: 50 of 0, then 50 of 200
    frame = struct.pack("<16L", 1, 64, *[0] * 14) + b"\xcf\x00\xcf\xc8"

    assert seen(a_compressed_file(RLELossless, frame)) == [[0] * 10] * 5 + [[255] * 10] * 5
