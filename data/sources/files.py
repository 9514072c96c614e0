"""The image files below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from data.errors import NotFoundError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"})


def images_below(folder: Path) -> Iterator[Path]:
    """Yields the image files below a folder, in alphabetical order; hidden ones are left out.

    Raises:
        NotFoundError: There is no such folder.
    """
    if not folder.is_dir():
        raise NotFoundError(f"There is no folder {folder}.")
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith("."):
                yield Path(place, name)
