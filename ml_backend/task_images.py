"""From a Label Studio task to the image that the expert sees in it.

Three kinds of address are followed, and no other: files of the pool, which Label Studio serves as
local files and which are read from disk here, and uploads and objects of cloud storages, for which
the configured Label Studio alone is asked. Anything else (another host, `file://`, a path that
leaves the pool) is refused before anything is opened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from data.domain import Radiograph
from data.errors import InvalidInputError, NotFoundError
from labeling_config.codec import local_file_of, radiograph_of_task_data
from labeling_config.image_addresses import (
    is_upload,
    path_on_label_studio,
    require_own_upload,
    resolving_path,
    stored_object,
)
from ml_backend.services import Services

CONTENT_ID = re.compile(r"[0-9a-f]{64}")
NOT_OF_THE_POOL = "The image is not a radiograph of the pool."


@dataclass(frozen=True, slots=True)
class PoolAddress:
    """An address that leads into the pool; whether there is a radiograph is not known yet.

    Attributes:
        file: Where it leads.
        named: The radiograph that the task names beside it; None: it names none.
    """

    file: Path
    named: str | None

    @property
    def id(self) -> str:
        """Id of the radiograph that would lie there."""
        return self.file.stem


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
    """An image that Label Studio hands out; it has not been fetched yet.

    Attributes:
        address: Path on the configured Label Studio, of an upload or of an object of a cloud
            storage (`labeling_config.image_addresses.resolving_path`).
    """

    address: str


def address_of_task(services: Services, task: object) -> PoolAddress | Upload:
    """Returns where the image of a task lies; nothing is read, fetched or looked up yet.

    Args:
        services: Task and settings.
        task: A task as Label Studio sends it: `{"id": 3, "data": {"image": address, ...}}`.

    Raises:
        InvalidInputError: The task has no image, or its address is not one that is followed.
        NotFoundError: The address leads into the pool, to what cannot be a radiograph.
    """
    data = task.get("data") if isinstance(task, Mapping) else None
    if not isinstance(task, Mapping) or not isinstance(data, Mapping):
        raise InvalidInputError("The task is not an object with 'data'.")
    address = data.get(services.spec.image_key)
    if not isinstance(address, str) or not address:
        raise InvalidInputError(f"The task has no {services.spec.image_key!r}.")
    home = services.settings.label_studio
    stored = stored_object(address, home, task.get("id"))
    if stored is not None:
        return Upload(resolving_path(stored, services.project()))
    path = path_on_label_studio(address, home)
    if is_upload(path):
        require_own_upload(path, services.project())
        return Upload(path)
    file = local_file_of(path, services.settings.pool)
    if not CONTENT_ID.fullmatch(file.stem):
        raise NotFoundError(NOT_OF_THE_POOL)
    return PoolAddress(file, radiograph_of_task_data(services.spec, data))


def pool_image(services: Services, address: PoolAddress, known: Radiograph | None) -> PoolImage:
    """Returns the image at an address of the pool.

    Args:
        services: Settings.
        address: The address.
        known: The radiograph of `address.id`; None: the ledger knows none.

    Raises:
        NotFoundError: There is no radiograph that the ledger knows.
        InvalidInputError: The task names another radiograph than it shows.
    """
    if known is None or (services.settings.pool / known.path).resolve() != address.file:
        raise NotFoundError(NOT_OF_THE_POOL)
    if address.named is not None and address.named != known.id:
        raise InvalidInputError("The task names one radiograph and shows another.")
    return PoolImage(known, address.file)
