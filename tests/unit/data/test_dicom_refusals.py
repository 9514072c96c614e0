"""What is no radiograph or no sound DICOM file is refused in one sentence that quotes nothing."""

from __future__ import annotations

import logging
import struct
import warnings
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    MPEG2MPML,
    BasicTextSRStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    GrayscaleSoftcopyPresentationStateStorage,
)

from data.dicom.reading import read_header, to_image
from data.errors import ImageError
from tests.unit.data.dicom_cases import (
    RAMP,
    SALT,
    a_dataset,
    a_deflated_bomb,
    a_file,
    a_table,
    element,
    written,
)
from tests.unit.data.dicom_reading_cases import NAME, SMALL, refusal, seen
from tests.unit.data.test_dicom_compressed import a_compressed_file


@pytest.mark.parametrize(
    ("elements", "sentence"),
    [
        ({"NumberOfFrames": 12}, "The image has 12 frames: give one radiograph per file."),
        (
            {"SOPClassUID": BasicTextSRStorage},
            "This DICOM object is no radiograph: its class is Basic Text SR Storage.",
        ),
        (
            {"SOPClassUID": GrayscaleSoftcopyPresentationStateStorage},
            "This DICOM object is no radiograph: its class is Grayscale Softcopy Presentation "
            "State Storage.",
        ),
        (
            {"SOPClassUID": CTImageStorage},
            "This DICOM object is no radiograph: its class is CT Image Storage.",
        ),
        (
            {"SOPClassUID": "1.2.3.4"},
            "This DICOM object is no radiograph: its class is a private or unknown one.",
        ),
        (
            {"SOPClassUID": DigitalXRayImageStorageForProcessing},
            "The image is raw data for processing: import the image for presentation instead.",
        ),
        (
            {"Rows": 200, "Columns": 100},
            "The image has 100 x 200 pixels, more than the 10000 that are read.",
        ),
        (
            {"PixelData": None},
            "The file ends before any pixel data: it is cut off or holds no image.",
        ),
        ({"Rows": None}, "The file does not say how its pixels are stored."),
        ({"Rows": 2}, "The pixel data is cut off."),
        (
            {"PhotometricInterpretation": "HSV"},
            "The photometric interpretation of the image is none that is read.",
        ),
        ({"BitsStored": 17}, "What the file says of its pixels contradicts itself."),
        ({"SamplesPerPixel": 3}, "What the file says of its pixels contradicts itself."),
        (
            {"VOILUTFunction": "CUBIC", "WindowCenter": 1, "WindowWidth": 1},
            "The VOI LUT function of the image is none that DICOM defines.",
        ),
        ({"RescaleSlope": 0}, "The rescale slope of the image is no number that can be used."),
    ],
    ids=lambda case: (
        next(iter(case)) + "=" + str(next(iter(case.values()))) if isinstance(case, dict) else ""
    ),
)
def test_what_is_no_radiograph_is_refused_in_one_sentence(
    elements: dict[str, Any], sentence: str
) -> None:
    dataset = a_dataset(RAMP, **{k: v for k, v in elements.items() if k != "PixelData"})
    if "PixelData" in elements:
        del dataset.PixelData

    assert refusal(written(dataset)) == sentence


def test_an_image_for_presentation_is_taken() -> None:
    payload = a_file(RAMP, SOPClassUID=DigitalXRayImageStorageForPresentation)

    assert seen(payload) == [[0, 85, 170, 255]]


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        (b"", "This is not a DICOM file."),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 200, "This is not a DICOM file."),
        (b"PK\x03\x04" + b"\0" * 200, "This is a zip archive: unpack it and import the folder."),
        (a_file(RAMP)[:300], "An element of the DICOM file claims to be longer than the file."),
        (
            b"\0" * 1_000_001,
            "The file has 1000001 bytes, more than the 1000000 that are read.",
        ),
        (a_deflated_bomb(2), "The file inflates to more than the 1000000 bytes that are read."),
    ],
    ids=["empty", "PNG", "zip", "cut in the header", "too large", "deflated bomb"],
)
def test_what_is_no_dicom_file_is_refused_in_one_sentence(payload: bytes, sentence: str) -> None:
    assert refusal(payload) == sentence


@pytest.mark.parametrize("length", [0xFFFFFFF0, 0x7FFFFFFF, 100_000])
def test_an_element_that_claims_to_be_longer_than_the_file_is_refused(length: int) -> None:
    whole = a_file(RAMP)
    at = whole.index(b"\x28\x00\x02\x00")
    lie = element((0x0019, 0x1010), b"OB", b"xx", length)

    problem = refusal(whole[:at] + lie + whole[at:])

    assert problem == "An element of the DICOM file claims to be longer than the file."


def test_an_element_of_half_a_number_is_refused_and_not_quoted() -> None:
    rows = element((0x0028, 0x0010), b"US", struct.pack("<H", 1))
    whole = a_file(RAMP)

    damaged = whole.replace(rows, element((0x0028, 0x0010), b"US", b"\1\0\0"))

    assert damaged != whole
    assert refusal(damaged) == "The DICOM file is cut off or damaged."


def test_a_thousand_nested_sequences_do_not_overflow_the_stack() -> None:
    whole = a_file(RAMP)
    at = whole.index(b"\x28\x00\x02\x00")
    nest = element((0x0008, 0x1140), b"SQ", b"", 0xFFFFFFFF) + struct.pack(
        "<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF
    )

    assert "damaged" in refusal(whole[:at] + nest * 2000 + whole[at:])


def test_pixels_that_are_cut_off_are_refused() -> None:
    assert refusal(a_file(np.zeros((50, 50), np.uint16))[:-100]) == "The pixel data is cut off."


def test_a_transfer_syntax_without_a_decoder_is_named_in_words() -> None:
    problem = read_header(a_compressed_file(MPEG2MPML, b"\0\0")).problem

    assert problem == (
        "There is no decoder for its transfer syntax, MPEG2 Main Profile / Main Level."
    )


def test_an_unknown_transfer_syntax_is_not_quoted() -> None:
    whole = a_file(RAMP).replace(b"1.2.840.10008.1.2.1\0", b"1.2.3.4711.471147.11")

    assert refusal(whole) in (
        "There is no decoder for its transfer syntax, a private or unknown one.",
        "The DICOM file is cut off or damaged.",
    )


def test_damaged_files_give_sentences_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    whole = a_file(
        np.arange(100, dtype=np.uint16).reshape(10, 10),
        WindowCenter=50,
        WindowWidth=100,
        VOILUTSequence=a_table([1, 2, 3], 0, 8),
        PatientName=NAME,
    )

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(300):
            damaged = bytearray(whole)
            for at in rng.integers(132, len(whole), 4):
                damaged[at] = rng.integers(0, 256)
            try:
                to_image(bytes(damaged), SALT, SMALL)
            except ImageError as error:
                assert NAME not in str(error)
                assert error.__cause__ is None


def test_nothing_of_a_file_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    whole = a_file(RAMP, WindowCenter=2, WindowWidth=4)
    broken = whole.replace(b"DS\x04\x002.0 ", b"DS\x04\x00DOE^")
    assert broken != whole

    with caplog.at_level(logging.DEBUG):
        to_image(broken, SALT)

    assert caplog.text == ""


def test_the_writer_of_these_tests_is_read_by_pydicom() -> None:
    assert pydicom.dcmread(BytesIO(a_file(RAMP))).pixel_array.tolist() == RAMP.tolist()
