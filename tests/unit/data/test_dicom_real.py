"""Real DICOM files, one for each transfer syntax."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from data.dicom.reading import to_image
from data.errors import ImageError
from data.images.decoding import ImageLimits, decode
from tests.unit.data.dicom_cases import (
    SALT,
)
from tests.unit.data.dicom_reading_cases import refusal

REAL = {
    "CR_CHEST_rsna-pneumonia_jpeg-baseline_MONO2_8bit": (1024, 1024),
    "CR_EXTREMITY_RG3_jpeg-lossless_MONO1": (1760, 1760),
    "CR_EXTREMITY_RG3_jpeg2000-lossless_MONO1": (1760, 1760),
    "CR_EXTREMITY_RG3_rle_MONO1": (1760, 1760),
    "CR_EXTREMITY_RG3_uncompressed_MONO1_10bit": (1760, 1760),
    "CR_HIP_RG2_jpeg2000-lossy_MONO2": (2140, 1760),
}


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "shape"), REAL.items())
def test_real_files_are_decoded(real_data: Path, name: str, shape: tuple[int, int]) -> None:
    payload = (real_data / "dicom" / f"{name}.dcm").read_bytes()

    image = decode(to_image(payload, SALT).payload)

    assert image.shape == shape
    # On all of these films the ground outside the collimator is white, the air beside it dark.
    assert image.min() < 30
    assert image.max() > 220


@pytest.mark.real_data
def test_lossless_variants_of_a_real_film_show_the_same(real_data: Path) -> None:
    variants = ("jpeg-lossless_MONO1", "jpeg2000-lossless_MONO1", "rle_MONO1")
    folder = real_data / "dicom"
    names = [*variants, "uncompressed_MONO1_10bit"]

    images = {
        to_image((folder / f"CR_EXTREMITY_RG3_{name}.dcm").read_bytes(), SALT).payload
        for name in names
    }

    assert len(images) == 1


@pytest.mark.real_data
def test_a_real_film_is_shown_as_its_window_says(real_data: Path) -> None:
    path = real_data / "dicom" / "CR_EXTREMITY_RG3_uncompressed_MONO1_10bit.dcm"
    stored = pydicom.dcmread(path).pixel_array.astype(float)

    image = decode(to_image(path.read_bytes(), SALT).payload)

    # Window 550 +- 512, LINEAR, then MONOCHROME1
    grey = 1 - np.clip((stored - 549.5) / 1023 + 0.5, 0, 1)
    assert np.abs(image - grey * 255).max() <= 0.5 + 1e-6


@pytest.mark.real_data
def test_a_real_file_that_no_plug_in_decodes_is_refused_with_its_transfer_syntax(
    real_data: Path,
) -> None:
    path = real_data / "dicom" / "CR_EXTREMITY_RG3_jpeg-extended12_MONO1.dcm"

    assert refusal(path.read_bytes(), ImageLimits(2**26, 64_000_000)) == (
        "The pixel data cannot be decoded: its transfer syntax is JPEG Extended (Process 2 and "
        "4), with 10 bits per sample."
    )


@pytest.mark.real_data
@pytest.mark.parametrize("name", [name for name in REAL if "uncompressed" not in name])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_real_compressed_file_that_is_cut_off_is_refused(
    real_data: Path, name: str, share: float
) -> None:
    payload = (real_data / "dicom" / f"{name}.dcm").read_bytes()
    frame_end = payload.rindex(b"\xfe\xff\xdd\xe0")

    with pytest.raises(ImageError):
        to_image(payload[: int(frame_end * share)], SALT)
