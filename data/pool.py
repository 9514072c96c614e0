"""The images of a workspace, stored under the hash of their content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data.atomic import write_file
from data.domain import Radiograph
from data.errors import InvalidInputError
from data.images import DEFAULT_LIMITS, ImageLimits, content_id, decode, extension_of

FOLDER = "images"
"""Label Studio serves sub-folders of its document root, never the root itself."""

_HEXADECIMAL = frozenset("0123456789abcdef")


def pool_path(root: Path, radiograph_id: str, name: str) -> Path:
    """Returns where the image file `name` (`<id>.<extension>`) of a radiograph lies in a pool."""
    return root / FOLDER / radiograph_id[:2] / name


@dataclass(frozen=True, slots=True)
class PooledImage:
    """An image that lies in the pool.

    Attributes:
        id: SHA-256 of the file's bytes, 64 hexadecimal digits.
        path: `images/ab/<id>.<extension>`, relative to the pool.
        width: Pixels, as shown.
        height: Pixels, as shown.
        new: It was not in the pool before.
    """

    id: str
    path: str
    width: int
    height: int
    new: bool


class Pool:
    """Content-addressed image files; what is there never changes and is never overwritten.

    Attributes:
        root: The pool's folder.
        limits: Largest image that is taken in.
    """

    def __init__(self, root: Path, limits: ImageLimits = DEFAULT_LIMITS) -> None:
        self.root = root
        self.limits = limits

    def add(self, payload: bytes) -> PooledImage:
        """Takes in an image file, byte for byte; the same bytes again change nothing.

        Raises:
            ImageError: It is not a whole, readable image within the limits.
            StorageError: The disk is full or the pool cannot be written.
        """
        image = decode(payload, self.limits)
        radiograph_id = content_id(payload)
        name = f"{radiograph_id}.{extension_of(payload, self.limits)}"
        path = pool_path(self.root, radiograph_id, name)
        # A file of another length is what a power cut left: it is written again.
        new = not path.exists() or path.stat().st_size != len(payload)
        if new:
            write_file(path, payload, mode=0o444)
        height, width = image.shape
        return PooledImage(
            radiograph_id, path.relative_to(self.root).as_posix(), width, height, new
        )

    def contains(self, radiograph_id: str) -> bool:
        """Says whether the image with this content hash is in the pool."""
        return self.find(radiograph_id) is not None

    def find(self, radiograph_id: str) -> Path | None:
        """Returns the file with this content hash, or None.

        Raises:
            InvalidInputError: It is not a content hash.
        """
        if len(radiograph_id) != 64 or not _HEXADECIMAL.issuperset(radiograph_id):
            raise InvalidInputError(f"{radiograph_id!r} is not the hash of an image.")
        folder = self.root / FOLDER / radiograph_id[:2]
        return next(iter(folder.glob(f"{radiograph_id}.*")), None)

    def path(self, radiograph: Radiograph) -> Path:
        """Returns where the radiograph's file lies, absolute."""
        return (self.root / radiograph.path).resolve()
