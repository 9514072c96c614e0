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

import numpy as np
from numpy.typing import NDArray

from data.domain import Radiograph
from data.errors import ImageError, InvalidInputError, NotFoundError
from data.images.decoding import content_id, decode
from labeling_config.codec import local_file_of, radiograph_of_task_data
from labeling_config.image_addresses import is_upload, path_on_label_studio
from ml_backend.services import Services

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
    path = path_on_label_studio(address, services.settings.label_studio)
    if is_upload(path):
        return Upload(path)
    return _pool_image(services, path, data)


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
