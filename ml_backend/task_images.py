"""From a Label Studio task to the image that the expert sees in it.

Two kinds of address are followed, and no other: files of the pool, which Label Studio serves as
local files and which are read from disk here, and uploads, which are fetched from the configured
Label Studio alone. Anything else (another host, `file://`, a path that leaves the pool) is refused
before anything is opened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from data.domain import Radiograph
from data.errors import ImageError, InvalidInputError, NotFoundError
from data.images import content_id, decode
from labeling_config.codec import LOCAL_FILES, local_file_of, radiograph_of_task_data
from ml_backend.services import Services

UPLOAD = re.compile(r"/data/upload/[0-9]+/(?!\.\.?$)[^/\\\x00-\x1f]+")
"""Project and file name, with percent escapes undone."""
CONTENT_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class PoolImage:
    """An image of the pool; its file has not been read yet.

    Attributes:
        radiograph: What the ledger knows of it.
        path: Its file.
    """

    radiograph: Radiograph
    path: Path


@dataclass(frozen=True, slots=True)
class Upload:
    """An image that was uploaded into Label Studio; it has not been fetched yet.

    Attributes:
        address: Path below `/data/upload/` on the configured Label Studio.
    """

    address: str


def image_of_task(services: Services, task: object) -> PoolImage | Upload:
    """Returns which image a task shows; nothing is read or fetched yet.

    Args:
        services: Ledger and settings.
        task: A task as Label Studio sends it: `{"id": 3, "data": {"image": address, ...}}`.

    Raises:
        InvalidInputError: The task has no image, or its address is not one that is followed.
        NotFoundError: The address leads into the pool, to no radiograph that the ledger knows.
    """
    data = task.get("data") if isinstance(task, Mapping) else None
    if not isinstance(data, Mapping):
        raise InvalidInputError("The task is not an object with 'data'.")
    address = data.get(services.spec.image_key)
    if not isinstance(address, str) or not address:
        raise InvalidInputError(f"The task has no {services.spec.image_key!r}.")
    path = _path_on_label_studio(services, address)
    if path.startswith(LOCAL_FILES):
        return _pool_image(services, path, data)
    if UPLOAD.fullmatch(unquote(path)):
        return Upload(path)
    raise _refused()


def read_pool_image(services: Services, image: PoolImage) -> NDArray[np.uint8]:
    """Returns the decoded image (height, width) after checking that it is the one imported.

    Raises:
        ImageError: The file cannot be read or decoded, is too large, or was changed.
    """
    try:
        if image.path.stat().st_size > services.limits.max_bytes:
            raise ImageError(f"The file is larger than {services.limits.max_bytes} bytes.")
        payload = image.path.read_bytes()
    except OSError as error:
        raise ImageError(f"The file cannot be read: {error.strerror}.") from error
    if content_id(payload) != image.radiograph.id:
        raise ImageError("The file is not the one that was imported: its content has changed.")
    return decode(payload, services.limits)


def _pool_image(services: Services, path: str, data: Mapping[str, object]) -> PoolImage:
    file = local_file_of(path, services.settings.pool)
    known = services.ledger.radiograph(file.stem) if CONTENT_ID.fullmatch(file.stem) else None
    if known is None or (services.settings.pool / known.path).resolve() != file:
        raise NotFoundError("The image is not a radiograph of the pool.")
    named = radiograph_of_task_data(services.spec, data)
    if named is not None and named != known.id:
        raise InvalidInputError("The task names one radiograph and shows another.")
    return PoolImage(known, file)


def _path_on_label_studio(services: Services, address: str) -> str:
    """Returns path and query of an address on the configured Label Studio."""
    try:
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            home = urlsplit(services.settings.label_studio)
            if (parts.scheme, parts.netloc) != (home.scheme, home.netloc):
                raise _refused()
    except ValueError as error:
        raise _refused() from error
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _refused() -> InvalidInputError:
    return InvalidInputError(
        "The image address leads neither into the pool nor to an upload of Label Studio."
    )
