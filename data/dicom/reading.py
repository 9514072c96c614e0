"""Radiographs in DICOM files: what is known of them, and their pixels as a viewer shows them.

This package is the only code that knows pydicom. Identifying values leave it hashed or not at all;
messages name elements and numbers of pixels, never a value.
"""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from data.dicom.display import FUNCTIONS, Display, Table, Window, show
from data.dicom.elements import READ, number, numbers, shorts, text
from data.dicom.facts import PALETTE, DicomFacts, facts_of
from data.dicom.file import DicomFile, frame_bytes, quoting_nothing, take_apart, value_type
from data.dicom.frame import Layout, decode_frame
from data.errors import ImageError
from data.images.decoding import DEFAULT_LIMITS, ImageLimits, encode_png
from data.images.text import may_hold_text
from data.sources.item import Delivered

HEAD_BYTES = 256 * 1024
"""The elements before the pixels of a radiograph nearly always lie within this."""

LUMINANCE = (0.299, 0.587, 0.114)
"""Of red, green and blue (ITU-R BT.601)."""


def read_header(source: Path | bytes, limits: ImageLimits = DEFAULT_LIMITS) -> DicomFacts:
    """Reads what a file says of itself, without its pixels.

    Args:
        source: The file, or its bytes.
        limits: Largest file and image that are read.

    Returns:
        Facts whose `problem` says why the image cannot be taken, if it cannot.

    Raises:
        ImageError: It cannot be read, is no DICOM file, or is damaged before the pixels.
    """
    file = _head(source, limits) if isinstance(source, Path) else _whole(source, limits)
    return _facts(file, limits)


def read_file(path: Path, limits: ImageLimits = DEFAULT_LIMITS) -> bytes:
    """Returns a file's bytes.

    Raises:
        ImageError: It cannot be read or is too large.
    """
    try:
        size = path.stat().st_size
        if size > limits.max_bytes:
            raise ImageError(_too_many_bytes(size, limits))
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"The file cannot be read: {error.strerror or error}.") from error


def to_image(payload: bytes, salt: str, limits: ImageLimits = DEFAULT_LIMITS) -> Delivered:
    """Returns the radiograph as 8-bit grey PNG, as a viewer shows it first, with its metadata.

    The pixels go through the modality and the VOI transformation of the file (PS3.3 C.11), are
    inverted where its lowest value is meant to be white, and are not resampled.

    Args:
        payload: The whole file.
        salt: The workspace's secret for pseudonyms.
        limits: Largest file and image that are read.

    Raises:
        ImageError: The image is not taken; the sentence says why.
    """
    file = _whole(payload, limits)
    facts = _facts(file, limits)
    if facts.problem or facts.layout is None:
        raise ImageError(facts.problem)
    layout = replace(facts.layout, value_type=value_type(file))
    values = decode_frame(frame_bytes(file), layout, file.syntax)
    metadata = facts.metadata(salt)
    with quoting_nothing("What the file says of its contrast cannot be read."):
        if values.ndim == 2 and layout.photometric != PALETTE:
            display = _display(file.dataset, layout)
            grey = show(values, display)
            metadata["contrast"] = display.contrast
        else:
            grey = _luminance(values, file.dataset, layout)
    if may_hold_text(grey):
        metadata["burned_in_text"] = "possible"
    return Delivered(encode_png(grey), metadata)


def facts_from_json(instance: dict[str, Any]) -> DicomFacts:
    """Judges one instance in the DICOM JSON model (PS3.18 F), as servers describe it.

    Raises:
        ImageError: An element cannot be read.
    """
    wanted = {f"{tag:08X}" for tag in READ.values()}
    with quoting_nothing("The server's description of an image cannot be read."):
        elements = {tag: element for tag, element in instance.items() if tag.upper() in wanted}
        dataset = Dataset.from_json(elements, bulk_data_uri_handler=lambda *_: None)
        return facts_of(dataset, None)


def _head(path: Path, limits: ImageLimits) -> DicomFile:
    """Takes the beginning of a file apart, or all of it where its pixels begin later."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise ImageError(f"The file cannot be read: {error.strerror or error}.") from error
    if size > limits.max_bytes:
        raise ImageError(_too_many_bytes(size, limits))
    if size > HEAD_BYTES:
        try:
            begun = take_apart(head, limits.max_bytes)
        except ImageError:
            return take_apart(read_file(path, limits), limits.max_bytes)
        if begun.pixels_at is None:
            return take_apart(read_file(path, limits), limits.max_bytes)
        return begun
    return take_apart(head, limits.max_bytes)


def _whole(payload: bytes, limits: ImageLimits) -> DicomFile:
    if len(payload) > limits.max_bytes:
        raise ImageError(_too_many_bytes(len(payload), limits))
    return take_apart(payload, limits.max_bytes)


def _facts(file: DicomFile, limits: ImageLimits) -> DicomFacts:
    with quoting_nothing():
        facts = facts_of(file.dataset, file.syntax)
    layout, problem = facts.layout, facts.problem
    if not problem and layout and layout.rows * layout.columns > limits.max_pixels:
        problem = (
            f"The image has {layout.columns} x {layout.rows} pixels, "
            f"more than the {limits.max_pixels} that are read."
        )
    if not problem and file.pixels_at is None:
        problem = "The file ends before any pixel data: it is cut off or holds no image."
    return facts.with_problem(problem)


def _display(dataset: Dataset, layout: Layout) -> Display:
    slope = number(dataset, "RescaleSlope", 1.0)
    if not isfinite(slope) or slope == 0:
        raise ImageError("The rescale slope of the image is no number that can be used.")
    inverse_shape = text(dataset, "PresentationLUTShape").upper() == "INVERSE"
    modality = _table(dataset, "ModalityLUTSequence", layout.signed)
    return Display(
        slope=slope,
        intercept=number(dataset, "RescaleIntercept", 0.0),
        modality_table=modality,
        window=_window(dataset),
        # Values that come out of a table have no sign (C.11.1.1).
        voi_table=_table(dataset, "VOILUTSequence", layout.signed and modality is None),
        # INVERSE says of MONOCHROME1 what is known already (C.8.11.3.1.2): not turned twice.
        inverted=layout.photometric == "MONOCHROME1" or inverse_shape,
        padding=_padding(dataset, layout),
    )


def _window(dataset: Dataset) -> Window | None:
    """The first of the windows."""
    centres, widths = numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth")
    if not centres or not widths:
        return None
    function = text(dataset, "VOILUTFunction").upper() or "LINEAR"
    if function not in FUNCTIONS:
        raise ImageError("The VOI LUT function of the image is none that DICOM defines.")
    return Window(centres[0], widths[0], function)


def _table(dataset: Dataset, sequence: str, signed: bool) -> Table | None:
    """The first look-up table of a sequence (C.11.1.1.1)."""
    items = dataset.get(sequence) or []
    if not items:
        return None
    descriptor, entries = shorts(items[0], "LUTDescriptor"), shorts(items[0], "LUTData")
    if len(descriptor) != 3:
        raise ImageError("A look-up table of the image is damaged.")
    count, first, bits = descriptor[0] or 2**16, descriptor[1], descriptor[2]
    if signed and first >= 2**15:
        first -= 2**16
    if bits <= 8 and len(entries) == (count + 1) // 2 < count:  # two 8-bit entries in a word
        entries = [byte for word in entries for byte in (word & 0xFF, word >> 8)][:count]
    if len(entries) < count or not 1 <= bits <= 16:
        raise ImageError("A look-up table of the image is damaged.")
    needed = max(entries[:count]).bit_length()
    return Table(first, max(bits, needed), tuple(entries[:count]))


def _padding(dataset: Dataset, layout: Layout) -> tuple[int, int] | None:
    """The range of stored values that stand for no pixel (C.7.5.1.1.2)."""
    limits = shorts(dataset, "PixelPaddingValue")[:1]
    if not limits:
        return None
    limits += shorts(dataset, "PixelPaddingRangeLimit")[:1]
    if layout.signed:
        limits = [limit - 2**16 if limit >= 2**15 else limit for limit in limits]
    return min(limits), max(limits)


def _luminance(values: NDArray[Any], dataset: Dataset, layout: Layout) -> NDArray[np.uint8]:
    white = float(2**layout.stored - 1)
    if values.ndim == 2:
        values = apply_color_lut(values.astype(np.uint16), dataset)
        white = float(np.iinfo(values.dtype).max)
    grey = np.clip(values[..., :3] @ np.array(LUMINANCE) * (255 / white), 0, 255)
    luminance: NDArray[np.uint8] = np.floor(grey + 0.5).astype(np.uint8)
    return luminance


def _too_many_bytes(count: int, limits: ImageLimits) -> str:
    return f"The file has {count} bytes, more than the {limits.max_bytes} that are read."
