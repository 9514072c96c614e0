"""DICOM files for tests, written by pydicom."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    generate_uid,
)

SALT = "salt of the tests"
LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT"})
RAMP = np.array([[0, 1, 2, 3]], np.uint16)


def uid_of(*words: object) -> str:
    """The same UID for the same words."""
    return str(generate_uid(entropy_srcs=[str(word) for word in words]))


def a_dataset(
    values: NDArray[Any], syntax: UID = ExplicitVRLittleEndian, number: int = 1, **other: Any
) -> FileDataset:
    """A CR image with these stored values (MONOCHROME2, all bits of the type used).

    Args:
        values: (rows, columns) or (rows, columns, 3).
        syntax: Native transfer syntax.
        number: Tells images apart: each is another patient's.
        other: Elements by keyword; None leaves one out.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = uid_of("instance", number)
    meta.TransferSyntaxUID = syntax
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    bits = values.dtype.itemsize * 8
    colours = values.ndim == 3
    elements: Mapping[str, Any] = {
        "SOPClassUID": ComputedRadiographyImageStorage,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": uid_of("study", number),
        "SeriesInstanceUID": uid_of("series", number),
        "StudyDate": "20240131",
        "StudyTime": "",
        "PatientID": f"patient {number}",
        "PatientName": "",
        "Modality": "CR",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "Rows": values.shape[0],
        "Columns": values.shape[1],
        "SamplesPerPixel": 3 if colours else 1,
        "PlanarConfiguration": 0 if colours else None,
        "PhotometricInterpretation": "RGB" if colours else "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(values.dtype.kind == "i"),
        "PixelData": padded(values.tobytes()),
        **other,
    }
    for keyword, value in elements.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    return dataset


def written(dataset: FileDataset) -> bytes:
    """The bytes of the file."""
    syntax = dataset.file_meta.TransferSyntaxUID
    buffer = BytesIO()
    # Said outright, for the pixels are in the byte order of the syntax already.
    dcmwrite(
        buffer,
        dataset,
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
        enforce_file_format=True,
    )
    return buffer.getvalue()


def a_file(
    values: NDArray[Any], syntax: UID = ExplicitVRLittleEndian, number: int = 1, **other: Any
) -> bytes:
    """See `a_dataset`."""
    return written(a_dataset(values, syntax, number, **other))


def a_table(entries: list[int], first: int, bits: int) -> Sequence:
    """A sequence with one look-up table."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US" if first >= 0 else "SS", [len(entries), first, bits])
    item.add_new("LUTData", "OW", struct.pack(f"<{len(entries)}H", *entries))
    return Sequence([item])


def padded(value: bytes) -> bytes:
    return value + b"\0" * (len(value) % 2)


def element(tag: tuple[int, int], vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """An element in explicit VR little endian whose length may be a lie."""
    claimed = len(value) if length is None else length
    if vr in LONG_VRS:
        return struct.pack("<HH2s2xL", *tag, vr, claimed) + value
    return struct.pack("<HH2sH", *tag, vr, claimed) + value


def a_deflated_bomb(megabytes: int) -> bytes:
    """A small file whose data set inflates to that much."""
    whole = a_file(RAMP, DeflatedExplicitVRLittleEndian)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    start = whole.index(b"1.2.840.10008.1.2.1.99")
    at = _after_meta(whole)
    assert start < at
    body = inflater.decompress(whole[at:])
    bomb = body + element((0x7FE1, 0x0010), b"OB", b"\0" * (megabytes * 2**20))
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return whole[:at] + deflater.compress(bomb) + deflater.flush()


def _after_meta(whole: bytes) -> int:
    (length,) = struct.unpack_from("<L", whole, 128 + 4 + 8)
    return 128 + 4 + 12 + int(length)
