"""Read one item of a source: its bytes, checked, fingerprinted and staged beside the pool.

It knows no ledger and no other item, so that many are read at once in any process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from data.errors import CarpalError, ImageError, InvalidInputError, ServiceUnavailableError
from data.images.decoding import ImageLimits, read_small
from data.images.fingerprint import fingerprint
from data.pool import Pool, StagedImage
from data.sources.item import Delivered, SourceItem

Request: TypeAlias = SourceItem | str
"""What is read: an item, or the path of one that is nothing but a file."""


class Taken(NamedTuple):
    """An item whose image is staged.

    Attributes:
        image: The image, not yet kept.
        width: Pixels, as shown.
        height: Pixels, as shown.
        film: See `image_fingerprint.fingerprint`.
        metadata: Allowed facts.
    """

    image: StagedImage
    width: int
    height: int
    film: bytes
    metadata: Mapping[str, str]


class Refused(NamedTuple):
    """An item that cannot be taken in.

    Attributes:
        reason: A sentence.
    """

    reason: str


class Stopped(NamedTuple):
    """An item at which the import has to end, such as by a full disk.

    Attributes:
        error: Why.
    """

    error: CarpalError


Outcome: TypeAlias = Taken | Refused | Stopped


def request_of(item: SourceItem) -> Request:
    """Returns the least that tells another process what to read."""
    if item.load is None and item.path is not None and not item.metadata and not item.problem:
        return str(item.path)
    return item


def read_requests(pool: Pool, requests: Sequence[Request]) -> list[Outcome]:
    """Reads items in their order; the last outcome is `Stopped` if reading had to end."""
    outcomes: list[Outcome] = []
    for request in requests:
        outcomes.append(read_request(pool, request))
        if isinstance(outcomes[-1], Stopped):
            break
    return outcomes


def read_request(pool: Pool, request: Request) -> Outcome:
    """Reads one item."""
    try:
        delivered = _deliver(request, pool.limits)
        film = read_small(delivered.payload, pool.limits)
        return Taken(
            pool.stage(delivered.payload, film.extension),
            film.width,
            film.height,
            fingerprint(film),
            dict(delivered.metadata),
        )
    except (InvalidInputError, ServiceUnavailableError) as error:
        return Refused(str(error))
    except CarpalError as error:
        return Stopped(error)


def _deliver(request: Request, limits: ImageLimits) -> Delivered:
    if not isinstance(request, str):
        return request.read()
    try:
        with open(request, "rb", buffering=0) as file:  # noqa: PTH123 (a Path takes longer)
            size = os.fstat(file.fileno()).st_size
            if size > limits.max_bytes:
                raise ImageError(
                    f"The file has {size} bytes, more than the {limits.max_bytes} that are read."
                )
            return Delivered(file.read(), {})
    except OSError as error:
        raise InvalidInputError(f"{request} cannot be read: {error.strerror or error}.") from error
