"""The elements of a DICOM file that are read, and their values in plain types."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

_IDENTITY = (
    "PatientID",
    "IssuerOfPatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
)
_FACTS = (
    "SpecificCharacterSet",
    "SOPClassUID",
    "Modality",
    "PatientSex",
    "BodyPartExamined",
    "ViewPosition",
    "Laterality",
    "ImageLaterality",
    "SharedFunctionalGroupsSequence",
    "BurnedInAnnotation",
    "LossyImageCompression",
    "ImagerPixelSpacing",
    "PixelSpacing",
    "PixelAspectRatio",
)
_PIXELS = (
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
    "PresentationLUTShape",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
)
READ = {name: BaseTag(tag_for_keyword(name) or 0) for name in _IDENTITY + _FACTS + _PIXELS}
"""Keyword -> tag of the only elements that are read besides the pixels."""

_UNREADABLE = (ValueError, TypeError, ArithmeticError, LookupError, struct.error)


def text(dataset: Dataset, keyword: str) -> str:
    """Returns a value as text, of several the first; empty where it is absent."""
    value = dataset.get(keyword)
    if isinstance(value, (list, tuple)) or hasattr(value, "append"):
        value = next(iter(value), None)
    return "" if value is None else str(value).strip(" \0")


def numbers(dataset: Dataset, keyword: str) -> list[float]:
    """Returns all values as numbers; none where one of them is no number."""
    value = dataset.get(keyword)
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    try:
        return [float(one) for one in values if one is not None and str(one).strip()]
    except _UNREADABLE:
        return []


def number(dataset: Dataset, keyword: str, default: float) -> float:
    """Returns the first value as a number, or the default where there is none."""
    return next(iter(numbers(dataset, keyword)), default)


def whole(dataset: Dataset, keyword: str, default: int) -> int:
    """Returns the first value as a whole number, or the default where there is none."""
    found = number(dataset, keyword, default)
    return int(found) if abs(found) < 2**32 else default


def shorts(dataset: Dataset, keyword: str) -> list[int]:
    """Returns 16-bit numbers without sign, also where the file gives them as bytes."""
    value: Any = dataset.get(keyword)
    if value is None:
        return []
    if isinstance(value, bytes):
        order = "<" if dataset.original_encoding[1] is not False else ">"
        return list(struct.unpack(f"{order}{len(value) // 2}H", value[: len(value) // 2 * 2]))
    values = value if hasattr(value, "__iter__") else [value]
    return [int(one) & 0xFFFF for one in values]
