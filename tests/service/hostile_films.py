"""Films that somebody has damaged on purpose: cut, flipped, spliced, or lying about their size."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
)

from tests.unit.data.dicom_cases import a_deflated_bomb, a_file

SIDE = 64
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
"""What sizes and offsets are replaced with."""


def film(seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Returns something with flat parts and noise, (SIDE, SIDE)."""
    grey = np.random.default_rng(seed).integers(0, 255, (SIDE, SIDE), dtype=np.uint8)
    grey[: SIDE // 2] = seed % 200
    return grey


def corpus() -> dict[str, bytes]:
    """Returns name -> a sound film in every form that is read, and one that is not."""
    grey, deep = film(1), film(2).astype(np.uint16) * 257
    files = {
        name: _saved(grey, *how)
        for name, *how in (
            ("png", "PNG", {}),
            ("jpeg", "JPEG", {}),
            ("progressive", "JPEG", {"progressive": True}),
            ("tiff", "TIFF", {}),
            ("tiff-lzw", "TIFF", {"compression": "tiff_lzw"}),
            ("bmp", "BMP", {}),
            ("webp", "WEBP", {}),
            ("gif", "GIF", {}),
        )
    }
    return {
        **files,
        "png16": _saved(deep, "PNG", {}),
        "dicom": a_file(deep),
        "dicom-implicit": a_file(deep, ImplicitVRLittleEndian),
        "dicom-deflated": a_file(deep, DeflatedExplicitVRLittleEndian),
        "dicom-jpeg": _compressed(JPEGBaseline8Bit, _saved(grey, "JPEG", {})),
        "dicom-jpeg2000": _compressed(JPEG2000Lossless, _saved(grey, "JPEG2000", {"no_jp2": True})),
    }


def bombs() -> dict[str, bytes]:
    """Returns name -> a small file that claims, or becomes, a very large film."""
    return {
        "png of 65,535 x 65,535": _png_of(65_535, 65_535),
        "png of 2**31 - 1 wide": _png_of(2**31 - 1, 1),
        "gif of 65,535 x 65,535": b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + b"\x80\0\0" * 9,
        "bmp of 2**31 - 1 high": b"BM" + struct.pack("<LLLLll", 99, 0, 54, 40, 1, 2**31 - 1) * 2,
        "deflated DICOM": a_deflated_bomb(64),
        "DICOM of 65,535 x 65,535": a_file(film(1), Rows=65_535, Columns=65_535),
        "nothing": b"",
        "one byte": b"\xff",
        "the magic word alone": b"\0" * 128 + b"DICM",
    }


def endless() -> bytes:
    """Returns a small film with compressed pixels for a very large one behind its own."""
    return _png_of(SIDE, SIDE, zlib.compress(b"\0" * 200_000_000))


def mutants(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yields (what it was, bytes): films of the corpus, each damaged in up to three ways."""
    draw = np.random.default_rng(seed)
    files = list(corpus().items())
    for number in range(count):
        name, payload = files[number % len(files)]
        damaged = bytearray(payload)
        for _ in range(int(draw.integers(1, 4))):
            _damage(damaged, draw)
        yield f"{name} {number}", bytes(damaged)


def _damage(payload: bytearray, draw: np.random.Generator) -> None:
    at = int(draw.integers(0, max(1, len(payload))))
    kind = int(draw.integers(0, 6))
    if kind == 0:
        del payload[at:]
    elif kind == 1 and payload:
        payload[at] ^= 1 << int(draw.integers(0, 8))
    elif kind == 2:
        packed = struct.pack(
            ">L" if draw.integers(0, 2) else "<L", NUMBERS[int(draw.integers(0, len(NUMBERS)))]
        )
        payload[at : at + 4] = packed
    elif kind == 3:
        payload[at:at] = draw.bytes(int(draw.integers(1, 64)))
    elif kind == 4:
        payload[at : at + int(draw.integers(1, 64))] = b""
    else:  # the heads of files are where the sizes stand
        near = int(draw.integers(0, max(1, min(200, len(payload)))))
        payload[near : near + 4] = draw.bytes(4)


def _compressed(syntax: UID, frame: bytes) -> bytes:
    return a_file(film(1), syntax, PixelData=encapsulate([frame]))


def _saved(pixels: object, form: str, options: dict[str, object]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def _png_of(width: int, height: int, pixels: bytes = zlib.compress(b"\0" * 99)) -> bytes:
    head = struct.pack(">LLBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))
        for name, body in parts
    )
