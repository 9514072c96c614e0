"""Where the image of a task may lie: in the pool, or where our Label Studio can fetch it from.

That is among its uploads, or in a cloud storage that it knows. Nothing else is followed (another
host, `file://`, a path that leaves the pool): an address comes from whoever made the task.
"""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote, urlsplit

from data.errors import InvalidInputError
from labeling_config.codec import LOCAL_FILES

MAX_ADDRESS_CHARS = 4096
"""Longest address that is looked at."""
_UPLOAD = re.compile(r"/data/upload/([0-9]+)/(?!\.\.?$)[^/\\\x00-\x1f]+")
"""Project and file name, with percent escapes undone."""
STORAGES = ("s3://", "gs://", "azure-blob://")
"""How addresses in the cloud storages begin that Label Studio 1.23 resolves for a browser."""
_OBJECT = re.compile(
    r"(?:s3|gs|azure-blob)://[A-Za-z0-9][A-Za-z0-9._-]{1,221}/"
    r"([^\\?#\x00-\x1f\x7f\ud800-\udfff]+)"
)
"""An object in a bucket (or container); the group is its key."""
_OF_TASK = re.compile(r"/tasks/([0-9]+)/(?:resolve|presign)/\?fileuri=([\w%=-]+)", re.ASCII)
"""How Label Studio rewrites such an address for a browser: task, address in base 64."""
_OF_PROJECT = re.compile(r"/projects/[0-9]+/resolve/\?fileuri=([\w=-]+)", re.ASCII)
"""How Carpal asks for it."""


def path_on_label_studio(address: str, label_studio: str) -> str:
    """Returns path and query of an image address on the configured Label Studio.

    Args:
        address: As a task's `data` says it, with or without scheme and host.
        label_studio: Base URL of the configured Label Studio.

    Raises:
        InvalidInputError: It leads neither to local files nor to an upload of this Label Studio,
            nor is it an object of a cloud storage as Label Studio shows it to a browser.
    """
    refusal = InvalidInputError(
        "The image address leads neither into the pool nor to an upload or a cloud storage of "
        "Label Studio."
    )
    if len(address) > MAX_ADDRESS_CHARS:
        raise refusal
    try:
        address.encode()  # Half a character of a surrogate pair is in no address.
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            home = urlsplit(label_studio)
            if (parts.scheme, parts.netloc) != (home.scheme, home.netloc):
                raise refusal
    except ValueError as error:
        raise refusal from error
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    if not path.startswith(LOCAL_FILES) and not is_upload(path) and not _OF_TASK.fullmatch(path):
        raise refusal
    return path


def require_own_upload(path: str, project: int | None) -> None:
    """Makes sure that an upload belongs to our project: our token could read those of others, too.

    Args:
        path: `/data/upload/<project>/<file>`.
        project: Ours; None: it is not known yet.

    Raises:
        InvalidInputError: It belongs to another project, or is no upload.
    """
    upload = _UPLOAD.fullmatch(unquote(path))
    if upload is None:
        raise InvalidInputError("The image address leads to no upload of Label Studio.")
    if project is not None and upload[1] != str(project):
        raise InvalidInputError(
            f"The image is an upload of another project than {project}, which is ours."
        )


def is_upload(path: str) -> bool:
    """Says whether a path on Label Studio is that of an uploaded file."""
    return _UPLOAD.fullmatch(unquote(path)) is not None


def stored_object(address: str, label_studio: str, task: object) -> str | None:
    """Returns the object of a cloud storage that an image address names; None: it names none.

    Args:
        address: `s3://bucket/key`, or what Label Studio makes of it for a browser
            (`/tasks/3/resolve/?fileuri=...`), or any other address of an image.
        label_studio: Base URL of the configured Label Studio.
        task: Id of the task whose image it is.

    Raises:
        InvalidInputError: The address is none that is followed, or it is another task's.
    """
    if not address.startswith(STORAGES):
        resolved = _OF_TASK.fullmatch(path_on_label_studio(address, label_studio))
        if resolved is None:
            return None
        if resolved[1] != str(task):
            raise InvalidInputError("The image address is that of another task.")
        address = _plain(unquote(resolved[2]))
    found = _OBJECT.fullmatch(address)
    if found is None or len(address) > MAX_ADDRESS_CHARS or _climbs(found[1]):
        raise InvalidInputError("The image address names no object of a cloud storage.")
    return address


def resolving_path(stored: str, project: int | None) -> str:
    """Returns the path on Label Studio that hands out an object of a cloud storage.

    It asks for our project instead of a task: only storages of that project are looked at, while
    our token could read those of others, too.

    Args:
        stored: See `stored_object`.
        project: Ours; None: it is not known yet.

    Raises:
        InvalidInputError: There is no project whose storages could be asked.
    """
    if project is None:
        raise InvalidInputError(
            "The image lies in a cloud storage, and the workspace has no project yet that knows it."
        )
    coded = base64.urlsafe_b64encode(stored.encode()).decode()
    return f"/projects/{project}/resolve/?fileuri={coded}"


def object_behind(path: str) -> str | None:
    """Returns the object that a path of `resolving_path` is for; None: it is no such path."""
    asked = _OF_PROJECT.fullmatch(path)
    return None if asked is None else _plain(asked[1])


def _plain(coded: str) -> str:
    """Undoes base 64."""
    try:
        return base64.b64decode(coded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidInputError("The image address cannot be decoded.") from error


def _climbs(key: str) -> bool:
    """Says whether an address made of this key could lead to another object than it names."""
    return any(part in (".", "..") for part in re.split(r"[/\\]", unquote(key)))
