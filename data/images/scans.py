"""How many scans a JPEG has: a few bytes each, though every one goes over the whole picture."""

from __future__ import annotations

import re

MAX_SCANS = 100
"""Progressive JPEGs have about ten; at 64 million pixels each takes a tenth of a second."""

_SCAN, _END = b"\xda", b"\xd9"
_MARKER = re.compile(rb"\xff+([\xc0-\xcf\xd9-\xfe])")
"""A marker that is followed by a length, or the end of the picture (T.81 B.1.1, table B.1)."""


def has_too_many_scans(jpeg: bytes) -> bool:
    """Says whether a JPEG has more than `MAX_SCANS` scans; those of a preview do not count."""
    if jpeg.count(b"\xff" + _SCAN) <= MAX_SCANS:
        return False
    at = scans = 0
    while scans <= MAX_SCANS:
        marker = _MARKER.search(jpeg, at)
        if marker is None or marker[1] == _END:
            return False
        scans += marker[1] == _SCAN
        at = marker.end() + int.from_bytes(jpeg[marker.end() : marker.end() + 2])
    return True
