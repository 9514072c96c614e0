"""What tests of the reading of DICOM files share."""

from __future__ import annotations

from typing import Any

import pytest

from data.dicom.reading import to_image
from data.errors import ImageError
from data.images.decoding import ImageLimits, decode
from tests.unit.data.dicom_cases import (
    RAMP,
    SALT,
    a_file,
)

SMALL = ImageLimits(max_bytes=1_000_000, max_pixels=10_000)


NAME = "DOE^JANE"


def seen(payload: bytes) -> list[list[int]]:
    """The pixels that the image shows."""
    pixels: list[list[int]] = decode(to_image(payload, SALT).payload).tolist()
    return pixels


def metadata(**elements: Any) -> dict[str, str]:
    return dict(to_image(a_file(RAMP, **elements), SALT).metadata)


def refusal(payload: bytes, limits: ImageLimits = SMALL) -> str:
    """Why the file is not taken."""
    with pytest.raises(ImageError) as caught:
        to_image(payload, SALT, limits)
    return str(caught.value)
