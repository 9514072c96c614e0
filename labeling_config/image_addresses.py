"""Where the image of a task may lie: in the pool, or among the uploads of the Label Studio we use.

Nothing else is followed (another host, `file://`, a path that leaves the pool): an address comes
from whoever made the task.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from data.errors import InvalidInputError
from labeling_config.codec import LOCAL_FILES

_UPLOAD = re.compile(r"/data/upload/[0-9]+/(?!\.\.?$)[^/\\\x00-\x1f]+")
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
    try:
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


def is_upload(path: str) -> bool:
    """Says whether a path on Label Studio is that of an uploaded file."""
    return _UPLOAD.fullmatch(unquote(path)) is not None
