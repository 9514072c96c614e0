"""Where the image of a task may lie: in the pool, or among the uploads of the Label Studio we use.

Nothing else is followed (another host, `file://`, a path that leaves the pool): an address comes
from whoever made the task.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from data.errors import InvalidInputError
from labeling_config.codec import LOCAL_FILES

MAX_ADDRESS_CHARS = 4096
"""Longest address that is looked at."""
_UPLOAD = re.compile(r"/data/upload/([0-9]+)/(?!\.\.?$)[^/\\\x00-\x1f]+")
"""Project and file name, with percent escapes undone."""


def path_on_label_studio(address: str, label_studio: str) -> str:
    """Returns path and query of an image address on the configured Label Studio.

    Args:
        address: As a task's `data` says it, with or without scheme and host.
        label_studio: Base URL of the configured Label Studio.

    Raises:
        InvalidInputError: It leads neither to local files nor to an upload of this Label Studio.
    """
    refusal = InvalidInputError(
        "The image address leads neither into the pool nor to an upload of Label Studio."
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
    if not path.startswith(LOCAL_FILES) and not is_upload(path):
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
