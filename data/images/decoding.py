"""Bytes from outside to grey pixels.

Input is hostile: byte and pixel limits are checked from the header, before any pixel is decoded.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from data.errors import ImageError, InvalidInputError
from data.images.scans import MAX_SCANS, has_too_many_scans

EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "TIFF": "tif", "BMP": "bmp", "WEBP": "webp"}
"""Pillow's name of a format that is read -> extension of its files in the pool."""

PIXEL_CEILING = 89_478_485
"""Above this many pixels Pillow itself takes an image for a decompression bomb."""

_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_DAMAGE = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    NotImplementedError,
    struct.error,
    zlib.error,
)
"""What Pillow's parsers raise on damaged or hostile bytes (found by fuzzing and in its source)."""

_Turn: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]

_TURNS: dict[int, _Turn] = {
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).T,
    8: np.rot90,
}
"""EXIF orientation (TIFF 6.0, tag 274) -> what puts the first row at the top."""

_ORIENTATION_TAG = 274
_PHOTOMETRIC_TAG = 262
_TILE_TAGS = (322, 323)


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What is still decoded.

    Attributes:
        max_bytes: Largest file, bytes.
        max_pixels: Largest width x height, at most `PIXEL_CEILING`.
    """

    max_bytes: int
    max_pixels: int

    def __post_init__(self) -> None:
        if not 0 < self.max_pixels <= PIXEL_CEILING or self.max_bytes < 1:
            raise InvalidInputError(
                f"The largest image must be set to at least 1 byte and 1 to {PIXEL_CEILING} pixels."
            )


DEFAULT_LIMITS = ImageLimits(max_bytes=64 * 1024 * 1024, max_pixels=64_000_000)


SMALL_SIDE = 24
"""Pixels that each side of a `SmallFilm` keeps at least, if the film has as many."""


REDUCED = 4
"""A film with so many times `SMALL_SIDE` pixels a side is reduced once it is decoded."""


@dataclass(frozen=True, slots=True)
class SmallFilm:
    """A film that was read through to its last byte, at the size that its format offers cheaply.

    Attributes:
        extension: `jpg`, `png`, ...: what fits the content, whatever the file's name.
        width: Pixels of the whole film, as shown.
        height: Pixels of the whole film, as shown.
        pixels: (height, width) grey, 0 black to 255 white, of the small film, as shown.
        rows: Rows of `pixels` that the film fills: the last row may lie partly outside.
        columns: The same of the columns.
    """

    extension: str
    width: int
    height: int
    pixels: NDArray[np.uint8]
    rows: float
    columns: float


def content_id(payload: bytes) -> str:
    """Returns the SHA-256 of a file's bytes, 64 hexadecimal digits."""
    return hashlib.sha256(payload).hexdigest()


def read_grey(path: Path, limits: ImageLimits = DEFAULT_LIMITS) -> NDArray[np.uint8]:
    """Reads one image file; see `decode`.

    Raises:
        ImageError: The file is missing or unreadable, or `decode` refuses its content.
    """
    try:
        if path.stat().st_size > limits.max_bytes:
            raise ImageError(_too_many_bytes(path.stat().st_size, limits))
        payload = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        return decode(payload, limits)
    except ImageError as error:
        raise ImageError(f"{path.name}: {error}") from error


def decode(payload: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> NDArray[np.uint8]:
    """Decodes one still image (JPEG, PNG, TIFF, BMP, WebP) to 8-bit grey.

    Colours become luminance (ITU-R 601), transparency becomes black, more than 8 bits are scaled
    so that the image's own lowest value is 0 and its highest 255. An EXIF orientation is applied,
    because the browser shows the expert the turned image.

    Args:
        payload: The file's bytes.
        limits: What is still decoded; checked before decoding.

    Returns:
        (height, width), 0 black to 255 white, rows from top to bottom.

    Raises:
        ImageError: Not an image, cut off, damaged, too large, or with several frames.
    """
    with _open(payload, limits) as image:
        grey, turn = _read(image)
    return np.array(turn(grey) if turn else grey, order="C")  # a copy: Pillow's is read-only


def read_small(payload: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> SmallFilm:
    """Reads an image through, as `decode` does, and returns it small.

    Of a JPEG only an eighth of each side is made. Whatever `decode` refuses is refused: all bytes
    of the compressed picture are read, only the last step, from frequencies to pixels, is made at
    the lower resolution.

    Raises:
        ImageError: As `decode`.
    """
    with _open(payload, limits) as image:
        extension = EXTENSIONS[str(image.format)]
        width, height = image.size
        columns, rows = _draft(image, extension)
        grey, turn = _read(image)
    if turn:  # It was not drafted.
        grey = turn(grey)
        height, width = rows, columns = grey.shape
    factor = min(grey.shape) // (REDUCED * SMALL_SIDE)
    if factor > 1:
        grey = np.asarray(Image.fromarray(grey).reduce(factor))
        rows, columns = rows / factor, columns / factor
    return SmallFilm(extension, width, height, grey, rows, columns)


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Encodes (height, width) grey pixels as PNG, without loss."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def _open(payload: bytes, limits: ImageLimits) -> Image.Image:
    if len(payload) > limits.max_bytes:
        raise ImageError(_too_many_bytes(len(payload), limits))
    try:
        image = Image.open(io.BytesIO(payload), formats=tuple(EXTENSIONS))
    except _BOMBS as error:
        raise ImageError(
            f"The image has more than the {limits.max_pixels} pixels that are read."
        ) from error
    except _DAMAGE as error:
        raise ImageError(
            "This is not an image that can be read: JPEG, PNG, TIFF, BMP and WebP are."
        ) from error
    _require_bounded(image, payload, limits)
    return image


def _require_bounded(image: Image.Image, payload: bytes, limits: ImageLimits) -> None:
    """Raises ImageError for what would take more time or memory than its bytes and pixels tell."""
    if image.width * image.height > limits.max_pixels:
        raise ImageError(
            f"The image has {image.width} x {image.height} pixels, "
            f"more than the {limits.max_pixels} that are read."
        )
    if image.format not in EXTENSIONS:  # a JPEG with several pictures calls itself MPO
        raise ImageError("The image holds several frames: give one radiograph per file.")
    if image.format == "JPEG" and has_too_many_scans(payload):
        raise ImageError(f"The image has more than the {MAX_SCANS} scans that are read.")
    if isinstance(image, TiffImageFile) and (tile := _tile_pixels(image)) > limits.max_pixels:
        raise ImageError(
            f"The image is stored in tiles of {tile} pixels, "
            f"more than the {limits.max_pixels} that are read."
        )


def _tile_pixels(image: TiffImageFile) -> int:
    """Returns how many pixels of a TIFF are decoded together; 0: it has no tiles."""
    try:
        width, length = (int(image.tag_v2.get(tag, 0)) for tag in _TILE_TAGS)
    except _DAMAGE as error:
        raise ImageError(f"The image is cut off or damaged ({_reason(error)}).") from error
    return width * length


def _too_many_bytes(count: int, limits: ImageLimits) -> str:
    return f"The file has {count} bytes, more than the {limits.max_bytes} that are read."


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _draft(image: Image.Image, extension: str) -> tuple[float, float]:
    """Makes a JPEG decode to fewer pixels; returns (columns, rows) that the film then fills."""
    try:
        if extension == "jpg" and _turn(image) is None:
            drafted = image.draft("L", (SMALL_SIDE, SMALL_SIDE))
            if drafted:
                return drafted[1][2], drafted[1][3]
    except _DAMAGE as error:
        raise ImageError(f"The image is cut off or damaged ({_reason(error)}).") from error
    return image.size


def _read(image: Image.Image) -> tuple[NDArray[np.uint8], _Turn | None]:
    """Decodes an opened image; returns its grey pixels and how to turn them."""
    try:
        if _has_second_frame(image):
            raise ImageError("The image holds several frames: give one radiograph per file.")
        image.load()
        return _to_grey(image), _turn(image)
    except _DAMAGE as error:
        raise ImageError(f"The image is cut off or damaged ({_reason(error)}).") from error


def _turn(image: Image.Image) -> _Turn | None:
    return _TURNS.get(image.getexif().get(_ORIENTATION_TAG, 1))


def _has_second_frame(image: Image.Image) -> bool:
    # Not n_frames: it would walk through every frame that a hostile TIFF declares.
    try:
        image.seek(1)
    except EOFError:
        return False
    return True


def _to_grey(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode == "L" and "transparency" not in image.info:
        return np.asarray(image)
    if image.mode.startswith(("I", "F")):
        grey = _scale_by_range(np.asarray(image))
        return 255 - grey if _is_negative(image) else grey
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", seen.size, (0, 0, 0, 255)), seen)
    return np.asarray(image.convert("L"))


def _is_negative(image: Image.Image) -> bool:
    """Says whether the lowest value is white; Pillow itself sees to it up to 8 bits only."""
    return isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC_TAG) == 0


def _scale_by_range(values: NDArray[Any]) -> NDArray[np.uint8]:
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ImageError("The image holds values that are not finite numbers.")
    if values.dtype.itemsize == 2:  # a table instead of floats: a tenth of the time and memory
        table = (np.arange(2**16) - low) * (255 / max(high - low, 1)) + 0.5
        scaled: NDArray[np.uint8] = np.clip(table, 0, 255).astype(np.uint8)[values]
        return scaled
    span = high - low or 1.0
    return ((values - low) * (255 / span) + 0.5).astype(np.uint8)
