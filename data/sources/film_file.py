"""One radiograph in a file of its own, whatever its form: an image, or DICOM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.dicom.facts import values_of
from data.dicom.file import PREAMBLE_BYTES, is_dicom
from data.dicom.reading import read_header, to_image
from data.errors import ImageError
from data.images.decoding import DEFAULT_LIMITS, ImageLimits, content_id, decode

HEAD_BYTES = PREAMBLE_BYTES + 4
_NOT_KEPT = "not kept"
"""Salt of pseudonyms that nobody sees: the metadata are thrown away."""


@dataclass(frozen=True, slots=True)
class FilmFile:
    """What a file holds.

    Attributes:
        pixels: (height, width) grey.
        id: The radiograph's id, were it imported; see `Radiograph.id`.
        recorded: Target name -> what the file says of it, such as the sex in a DICOM header.
    """

    pixels: NDArray[np.uint8]
    id: str
    recorded: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FilmImage:
    """A file as an image that is not decoded yet.

    Attributes:
        payload: The image: the file itself, or the PNG that a DICOM file becomes.
        id: See `FilmFile`.
        recorded: See `FilmFile`.
    """

    payload: bytes
    id: str
    recorded: Mapping[str, str] = field(default_factory=dict)


def read_film(path: Path, limits: ImageLimits = DEFAULT_LIMITS) -> FilmFile:
    """Reads a file: DICOM, if it begins so, or else an image as `data.images.decoding` reads them.

    Raises:
        ImageError: It cannot be read or is refused; the sentence says why.
    """
    try:
        with path.open("rb") as file:
            payload = file.read(limits.max_bytes + 1)
    except OSError as error:
        raise ImageError(f"The file cannot be read: {error.strerror or error}.") from error
    return film_of(payload, limits)


def film_of(payload: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> FilmFile:
    """Reads a file's bytes, as `read_film` does.

    Raises:
        ImageError: They are refused; the sentence says why.
    """
    image = image_of(payload, limits)
    return FilmFile(decode(image.payload, limits), image.id, image.recorded)


def image_of(payload: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> FilmImage:
    """Returns the image that a file would be in the pool; one that is no DICOM is not looked at.

    Raises:
        ImageError: The DICOM file is refused; the sentence says why.
    """
    recorded: Mapping[str, str] = {}
    if is_dicom(payload):
        recorded = {name: str(v) for name, v in values_of(read_header(payload, limits)).items()}
        payload = to_image(payload, _NOT_KEPT, limits).payload
    return FilmImage(payload, content_id(payload), recorded)


def looks_like_dicom(path: Path) -> bool:
    """Says whether a file is in the DICOM file format; one that cannot be read is not."""
    try:
        with path.open("rb") as file:
            return is_dicom(file.read(HEAD_BYTES))
    except OSError:
        return False


def recorded_values(path: Path, limits: ImageLimits = DEFAULT_LIMITS) -> Mapping[str, str]:
    """Returns `FilmFile.recorded` without reading the pixels; nothing of what cannot be read."""
    if not looks_like_dicom(path):
        return {}
    try:
        return {name: str(v) for name, v in values_of(read_header(path, limits)).items()}
    except ImageError:
        return {}
