"""The bytes of a DICOM file, taken apart within bounds (DICOM PS3.5 and PS3.10).

Nothing of a file is looked at but the elements of `data.dicom.elements.READ`: names, dates and free
text are never even decoded. What pydicom says of a damaged file may quote its values, so its
warnings, log lines and error texts stay here.
"""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import DecimalException
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from data.dicom.elements import READ
from data.errors import ImageError

PREAMBLE_BYTES = 128
MAGIC = b"DICM"
UNDEFINED_LENGTH = 0xFFFFFFFF

_FIRST_PIXELS = 0x7FE00008
"""Float Pixel Data; Double Float Pixel Data and Pixel Data follow."""
_PIXEL_DATA = 0x7FE00010
_ITEM, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE0DD
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT"})

_DAMAGE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    DecimalException,
    NotImplementedError,
    RecursionError,
    RuntimeError,
    EOFError,
    MemoryError,
    OSError,
    struct.error,
    BytesLengthException,
    InvalidDicomError,
)
"""What pydicom and its plug-ins raise on damaged or hostile bytes (found by fuzzing)."""

_CUT_OFF = "The DICOM file is cut off or damaged."


@dataclass(frozen=True, slots=True)
class DicomFile:
    """What a file holds.

    Attributes:
        dataset: The elements of `READ`, no others.
        syntax: Transfer syntax.
        body: The data set's bytes, inflated where they were deflated.
        pixels_at: Where in `body` the element with the pixels begins; None if there is none.
    """

    dataset: Dataset
    syntax: UID
    body: bytes
    pixels_at: int | None


@contextmanager
def quoting_nothing(sentence: str = _CUT_OFF) -> Iterator[None]:
    """Runs pydicom without a word: its warnings go nowhere, its errors become `sentence`.

    Raises:
        ImageError: pydicom failed; the cause is not kept, because it may quote the file.
    """
    logging.getLogger("pydicom").propagate = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except ImageError:
            raise
        except _DAMAGE:
            raise ImageError(sentence) from None


def is_dicom(head: bytes) -> bool:
    """Says whether a file that begins so (132 bytes are enough) is in the DICOM file format."""
    return head[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] == MAGIC


def take_apart(payload: bytes, max_bytes: int) -> DicomFile:
    """Reads the elements of `READ` and finds the pixels.

    Args:
        payload: The whole file, or its beginning as far as the pixels.
        max_bytes: Most bytes that a deflated data set may inflate to.

    Raises:
        ImageError: Not a DICOM file, an element that is longer than the file, damaged, or
            inflated beyond the limit.
    """
    if payload[:4] == b"PK\x03\x04":
        raise ImageError("This is a zip archive: unpack it and import the folder.")
    if not is_dicom(payload):
        raise ImageError("This is not a DICOM file.")
    with quoting_nothing():
        syntax, start = _transfer_syntax(payload)
        body = payload[start:]
        if syntax == DeflatedExplicitVRLittleEndian:
            body = _inflated(body, max_bytes)
        return _elements(body, syntax)


def frame_bytes(file: DicomFile) -> bytes:
    """Returns the encoded bytes of the only frame: native pixels, or one compressed stream.

    Raises:
        ImageError: There are none, or they are cut off.
    """
    if file.pixels_at is None:
        raise ImageError("The file ends before any pixel data: it is cut off or holds no image.")
    with quoting_nothing():
        tag, length, at = _element_head(file)
        if tag != _PIXEL_DATA:
            raise ImageError("The pixels are floating-point numbers, which are not read.")
        if length == UNDEFINED_LENGTH:
            return b"".join(_fragments(file.body, at))
        if length > len(file.body) - at:
            raise ImageError("The pixel data is cut off.")
        if file.syntax.is_compressed and file.syntax != DeflatedExplicitVRLittleEndian:
            raise ImageError("The pixel data is not in the form that its transfer syntax demands.")
        return file.body[at : at + length]


def value_type(file: DicomFile) -> str:
    """Returns the value representation of the pixels, `OB` or `OW`."""
    at = file.pixels_at or 0
    implicit, _ = file.dataset.original_encoding
    return "OB" if not implicit and file.body[at + 4 : at + 6] == b"OB" else "OW"


def _transfer_syntax(payload: bytes) -> tuple[UID, int]:
    """Returns the transfer syntax and where the data set begins."""
    at, syntax = PREAMBLE_BYTES + 4, str(ImplicitVRLittleEndian)
    while payload[at : at + 2] == b"\x02\x00":
        element, vr, length = struct.unpack_from("<2xH2sH", payload, at)
        at += 8
        if vr in _LONG_VRS:
            (length,) = struct.unpack_from("<L", payload, at)
            at += 4
        if length > len(payload) - at:
            raise _too_long()
        if element == 0x0010:
            syntax = payload[at : at + length].rstrip(b"\0 ").decode("ascii")
        at += length
    return UID(syntax), at


def _inflated(deflated: bytes, max_bytes: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        body = inflater.decompress(deflated, max_bytes)
    except zlib.error:
        raise ImageError(_CUT_OFF) from None
    if not inflater.eof and len(body) >= max_bytes:
        raise ImageError(f"The file inflates to more than the {max_bytes} bytes that are read.")
    if not inflater.eof:
        raise ImageError(_CUT_OFF)
    return body


def _elements(body: bytes, syntax: UID) -> DicomFile:
    stream, reached = BytesIO(body), []

    def at_the_end(tag: BaseTag, _vr: str | None, length: int) -> bool:
        if tag >= _FIRST_PIXELS:
            reached.append(int(tag))
            return True
        if length != UNDEFINED_LENGTH and length > len(body) - stream.tell():
            raise _too_long()
        return False

    dataset = read_dataset(
        stream,
        is_implicit_VR=syntax == ImplicitVRLittleEndian,
        is_little_endian=syntax.is_little_endian if syntax.is_transfer_syntax else True,
        stop_when=at_the_end,
        specific_tags=list(READ.values()),
    )
    found = bool(reached) and _FIRST_PIXELS <= reached[-1] <= _PIXEL_DATA
    return DicomFile(dataset, syntax, body, stream.tell() if found else None)


def _element_head(file: DicomFile) -> tuple[int, int, int]:
    """Returns tag and length of the pixels and where their value begins."""
    implicit, little = file.dataset.original_encoding
    order, at = "<" if little else ">", file.pixels_at or 0
    group, element = struct.unpack_from(f"{order}HH", file.body, at)
    if implicit:
        (length,) = struct.unpack_from(f"{order}L", file.body, at + 4)
        value = at + 8
    elif file.body[at + 4 : at + 6] in _LONG_VRS:
        (length,) = struct.unpack_from(f"{order}L", file.body, at + 8)
        value = at + 12
    else:
        (length,) = struct.unpack_from(f"{order}H", file.body, at + 6)
        value = at + 8
    return group << 16 | element, length, value


def _fragments(body: bytes, at: int) -> Iterator[bytes]:
    """Yields the fragments of encapsulated pixels (PS3.5 A.4), without the offset table."""
    first = True
    while at < len(body):
        group, element, length = struct.unpack_from("<HHL", body, at)
        at += 8
        if group << 16 | element == _SEQUENCE_END:
            return
        if group << 16 | element != _ITEM:
            raise ImageError(_CUT_OFF)
        if length > len(body) - at:
            raise ImageError("The pixel data is cut off.")
        if not first:
            yield body[at : at + length]
        first, at = False, at + length


def _too_long() -> ImageError:
    return ImageError("An element of the DICOM file claims to be longer than the file.")
