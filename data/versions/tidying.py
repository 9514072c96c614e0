"""Keep the dataset repository small: of tables that differ little, git needs only the differences.

Each version writes its tables anew, whole and uncompressed. Packed together they take little more
than one of them. Packing costs more than a commit, so it is done now and then, and not in between.
"""

from __future__ import annotations

import re

from data.versions.git_calls import Git

VERSIONS = 8
"""About so many versions lie about unpacked before they are packed."""

SMALLEST = 4 * 2**20
"""Bytes; less than this is not worth packing."""

_LOOSE = re.compile(r"^size: (\d+)$", re.MULTILINE)


def tidy(git: Git, text_bytes: int) -> bool:
    """Packs what has come together, if it is much; the caller holds the writer lock.

    A kill in between leaves everything as it was: git writes the pack beside the rest and removes
    what it replaces at the end.

    Args:
        git: The repository.
        text_bytes: Size of one version's tables.

    Returns:
        Whether it packed.
    """
    found = _LOOSE.search(git.run("count-objects", "-v"))
    loose = int(found.group(1)) * 1024 if found else 0
    if loose < max(SMALLEST, VERSIONS * text_bytes):
        return False
    # Packs of similar size are united; the large old ones are left as they are.
    git.run("repack", "-d", "--quiet", "--geometric=2", "--window=4", "--no-write-bitmap-index")
    git.run("prune", "--expire=2.weeks.ago")
    return True
