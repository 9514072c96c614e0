"""From an image file to what the members of a model see of it; needs no model and no server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from data.errors import ImageError
from data.images.decoding import ImageLimits, content_id, decode
from data.images.preparation import Preparation, prepare
from data.masks import read_mask

Pixels: TypeAlias = NDArray[np.uint8]

Source: TypeAlias = bytes | Path | Pixels
"""Where a film comes from: the bytes of its file, its file in the pool, or grey pixels."""


@dataclass(frozen=True, slots=True)
class FilmRequest:
    """Everything that decides what a model sees of a film.

    Attributes:
        id: See `Radiograph.id`; a file of the pool must have this hash.
        source: The film.
        limits: Largest image that is decoded.
        preparations: One per member.
        mask: File of the hand mask; None: there is none.
    """

    id: str
    source: bytes | Path
    limits: ImageLimits
    preparations: tuple[Preparation, ...]
    mask: Path | None = None


def prepare_film(request: FilmRequest) -> tuple[Pixels, ...]:
    """Returns what each member sees, as `trainer.predictor.Predictor.prepared` does.

    Raises:
        ImageError: The film cannot be read or was changed, or has no mask that fits.
    """
    grey = read_source(request.source, request.id, request.limits)
    mask = None if request.mask is None else read_mask(request.mask)
    seen = {one: prepare(grey, one, mask) for one in dict.fromkeys(request.preparations)}
    return tuple(seen[one] for one in request.preparations)


def read_source(source: Source, radiograph_id: str, limits: ImageLimits) -> Pixels:
    """Returns the grey pixels (height, width) of a film.

    Raises:
        ImageError: It cannot be read or decoded, is too large, or was changed since its import.
    """
    if isinstance(source, np.ndarray):
        return source
    if isinstance(source, bytes):
        return decode(source, limits)
    try:
        if source.stat().st_size > limits.max_bytes:
            raise ImageError(f"The file is larger than {limits.max_bytes} bytes.")
        payload = source.read_bytes()
    except OSError as error:
        raise ImageError(f"The file cannot be read: {error.strerror}.") from error
    if content_id(payload) != radiograph_id:
        raise ImageError("The file is not the one that was imported: its content has changed.")
    return decode(payload, limits)
