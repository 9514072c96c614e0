"""One encoded frame to stored pixel values, with the decoders of pydicom.

Decoders trust what they are given. So everything that decides how much memory they take is
checked before: the size in a compressed stream's own header, the lengths in run lengths.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
)

from data.dicom.file import quoting_nothing
from data.errors import ImageError
from data.images.scans import MAX_SCANS, has_too_many_scans

_JPEG = frozenset({*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes})
_JPEG_2000 = frozenset({*JPEG2000TransferSyntaxes, HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL})
_FRAME_HEADERS = (frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | {0xF7}
"""JPEG markers that are followed by precision, height, width and components (T.81, T.87)."""
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_CUT_OFF = "The pixel data is cut off."


@dataclass(frozen=True, slots=True)
class Layout:
    """How the pixels of a frame are stored (PS3.3 C.7.6.3).

    Attributes:
        rows: Height.
        columns: Width.
        samples: 1 for grey and palettes, 3 for colours.
        photometric: Photometric interpretation.
        allocated: Bits that a sample takes, 8 or 16.
        stored: Bits of it that carry the value.
        high_bit: Place of the highest of them.
        signed: Values are in two's complement.
        planar: 1: colour by plane.
        value_type: Value representation of the pixels, `OB` or `OW`: a big-endian file has the
            bytes of an `OW` in pairs that are turned round.
    """

    rows: int
    columns: int
    samples: int
    photometric: str
    allocated: int
    stored: int
    high_bit: int
    signed: bool
    planar: int = 0
    value_type: str = "OW"

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame that is not compressed."""
        whole = self.rows * self.columns * self.samples * self.allocated // 8
        return whole // 3 * 2 if self.photometric == "YBR_FULL_422" else whole


def can_decode(syntax: UID) -> bool:
    """Says whether a decoder for this transfer syntax is installed."""
    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:
        return False


def decode_frame(frame: bytes, layout: Layout, syntax: UID) -> NDArray[Any]:
    """Returns (height, width) stored values, or (height, width, 3) with RGB for colours.

    Raises:
        ImageError: Cut off, damaged, of another size than the file says, or a variant of the
            transfer syntax that the decoder does not know.
    """
    options: dict[str, Any] = {
        "rows": layout.rows,
        "columns": layout.columns,
        "samples_per_pixel": layout.samples,
        "photometric_interpretation": layout.photometric,
        "bits_allocated": layout.allocated,
        "bits_stored": layout.stored,
        "pixel_representation": int(layout.signed),
        "planar_configuration": layout.planar,
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
        "pixel_vr": layout.value_type,
        "correct_unused_bits": False,  # it takes the value for the lowest bits, wherever it is
    }
    if syntax.is_encapsulated:
        _check_stream(frame, layout, syntax)
        options["decoding_plugin"] = _plugin(syntax)
        frame = encapsulate([frame], has_bot=False)
    elif len(frame) < layout.frame_bytes:
        raise ImageError(_CUT_OFF)
    with quoting_nothing(
        f"The pixel data cannot be decoded: its transfer syntax is {syntax.name}, with "
        f"{layout.stored} bits per sample."
    ):
        decoder = get_decoder(syntax)
        values, _ = decoder.as_array(frame, raw=layout.samples == 1, index=0, **options)
    expected = (layout.rows, layout.columns, 3)[: 2 if layout.samples == 1 else 3]
    if values.shape != expected:
        raise ImageError("The pixel data has another size than the file says.")
    return _only_stored_bits(values, layout, syntax) if layout.samples == 1 else values


def _plugin(syntax: UID) -> str:
    """Returns always the same one where it is installed: always the same pixels."""
    available = get_decoder(syntax).available_plugins
    return "pylibjpeg" if "pylibjpeg" in available else next(iter(available), "")


def _only_stored_bits(values: NDArray[Any], layout: Layout, syntax: UID) -> NDArray[Any]:
    """Clears the bits that are no part of the value: old files keep overlays there."""
    bits = values.astype(np.int32)
    if not syntax.is_encapsulated or syntax == RLELossless:
        bits >>= layout.high_bit + 1 - layout.stored
    bits &= (1 << layout.stored) - 1
    if layout.signed:
        sign = 1 << (layout.stored - 1)
        bits = (bits ^ sign) - sign
    return bits


def _check_stream(frame: bytes, layout: Layout, syntax: UID) -> None:
    if syntax == RLELossless:
        with quoting_nothing(_CUT_OFF):
            _check_run_lengths(frame, layout)
        return
    with quoting_nothing("The compressed pixel data is damaged."):
        if syntax in _JPEG:
            size = _jpeg_size(frame)
            if has_too_many_scans(frame):
                raise ImageError(
                    f"The compressed image has more than the {MAX_SCANS} scans that are read."
                )
        elif syntax in _JPEG_2000:
            size = _jpeg_2000_size(frame)
        else:
            raise ImageError(f"The transfer syntax {syntax.name} cannot be decoded.")
    if size != (layout.rows, layout.columns, layout.samples):
        raise ImageError("The compressed image has another size than the file says.")
    # Without this mark (padding may follow), the decoder fills what is missing with grey.
    if syntax in _JPEG and not frame.rstrip(b"\0\xff").endswith(b"\xff\xd9"):
        raise ImageError(_CUT_OFF)


def _jpeg_size(frame: bytes) -> tuple[int, int, int]:
    """Returns height, width and components by the frame header (T.81 B.2.2)."""
    at = 2
    while frame[:2] == b"\xff\xd8":
        if frame[at] != 0xFF:
            break
        marker = frame[at + 1]
        if marker == 0xFF or marker in _WITHOUT_LENGTH:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _FRAME_HEADERS:
            _, height, width, components = struct.unpack_from(">BHHB", frame, at + 4)
            return height, width, components
        at += 2 + struct.unpack_from(">H", frame, at + 2)[0]
    raise ImageError("The compressed pixel data is damaged.")


def _jpeg_2000_size(frame: bytes) -> tuple[int, int, int]:
    """Returns height, width and components by the SIZ marker (T.800 A.5.1)."""
    at = frame.index(b"\xff\x4f\xff\x51")
    right, bottom, left, top = struct.unpack_from(">4L", frame, at + 8)
    (components,) = struct.unpack_from(">H", frame, at + 40)
    return bottom - top, right - left, components


def _check_run_lengths(frame: bytes, layout: Layout) -> None:
    """Walks the run lengths (PS3.5 G.3): each segment must fill its plane and not more.

    The decoder panics on a segment that is too long, in a way that cannot be caught.
    """
    count, *offsets = struct.unpack_from("<16L", frame)
    if count != layout.samples * layout.allocated // 8:
        raise ImageError("The compressed pixel data is damaged.")
    ends = [*offsets[1:count], len(frame)]
    for start, end in zip(offsets, ends, strict=False):
        _check_segment(frame[start:end], layout.rows * layout.columns)


def _check_segment(segment: bytes, size: int) -> None:
    at = filled = 0
    while filled < size:
        head = segment[at]  # IndexError: cut off
        if head < 128:
            filled, at = filled + head + 1, at + head + 2
        elif head > 128:
            filled, at = filled + 257 - head, at + 2
        else:
            at += 1
    if filled > size or at > len(segment):
        raise ImageError("The compressed pixel data is damaged.")
