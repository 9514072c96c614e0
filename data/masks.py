"""Hand masks of a workspace: one PNG per radiograph, white where the hand is."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from pathlib import Path

import numpy as np

from data.atomic import write_file
from data.errors import ImageError, InvalidInputError
from data.images.decoding import DEFAULT_LIMITS, ImageLimits, encode_png, read_grey
from data.images.mask import Mask

_HEXADECIMAL = frozenset("0123456789abcdef")


class Kept(StrEnum):
    """What became of a mask that was brought in."""

    NEW = "new"
    SAME = "same"
    REPLACED = "replaced"


class MaskStore:
    """The masks by radiograph; a mask is replaced wholly or not at all.

    Attributes:
        root: The folder; masks lie below it as `ab/<radiograph id>.png`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, radiograph_id: str) -> Path | None:
        """Returns the file of a radiograph's mask, or None where there is none."""
        if not is_content_id(radiograph_id):
            return None
        path = self._path(radiograph_id)
        return path if path.exists() else None

    def add(self, radiograph_id: str, hand: Mask) -> Kept:
        """Keeps the mask of a radiograph; the same one again changes nothing.

        Args:
            radiograph_id: See `Radiograph.id`.
            hand: As large as the radiograph, checked by `data.images.mask.hand_of`.

        Raises:
            InvalidInputError: It is not the id of a radiograph.
            StorageError: The disk is full or the folder cannot be written.
        """
        if not is_content_id(radiograph_id):
            raise InvalidInputError(f"{radiograph_id!r} is not the hash of an image.")
        payload = encode_png(hand.astype(np.uint8) * np.uint8(255))
        path = self._path(radiograph_id)
        held = path.read_bytes() if path.exists() else None
        if held == payload:
            return Kept.SAME
        write_file(path, payload)
        return Kept.NEW if held is None else Kept.REPLACED

    def _path(self, radiograph_id: str) -> Path:
        return self.root / radiograph_id[:2] / f"{radiograph_id}.png"


def read_mask(path: Path, limits: ImageLimits = DEFAULT_LIMITS) -> Mask:
    """Reads a mask of a store.

    Raises:
        ImageError: It cannot be read.
    """
    return read_grey(path, limits) > 127


def mask_hash(path: Path) -> str:
    """Returns the SHA-256 of a mask's file, 64 hexadecimal digits.

    Raises:
        ImageError: It cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ImageError(f"The hand mask {path} cannot be read: {error.strerror}.") from error


def is_content_id(text: str) -> bool:
    """Says whether a text has the form of a radiograph's id."""
    return len(text) == 64 and _HEXADECIMAL.issuperset(text)
