"""The images of a workspace, stored under the hash of their content."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import NamedTuple

from data.atomic import DRAFT_SUFFIX, storage_error, sync_file_system
from data.domain import Radiograph
from data.errors import InvalidInputError
from data.images.decoding import DEFAULT_LIMITS, ImageLimits, content_id, read_small

FOLDER = "images"
"""Label Studio serves sub-folders of its document root, never the root itself."""

DRAFTS = ".drafts"
"""Folder beside `FOLDER` of files that no radiograph has yet."""

STALE_DRAFT_S = 24 * 3600.0
"""A draft of this age was left behind by a process that was killed."""

_HEXADECIMAL = frozenset("0123456789abcdef")
_numbers = count()


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


class StagedImage(NamedTuple):
    """An image file that was written beside the pool and belongs to it once it is kept.

    Attributes:
        id: SHA-256 of the file's bytes, 64 hexadecimal digits.
        path: Where it belongs, relative to the pool.
        draft: Where it lies, relative to the pool; empty if the pool holds these bytes already.
    """

    id: str
    path: str
    draft: str


class Pool:
    """Content-addressed image files; what is there never changes and is never overwritten.

    What `add` has returned from is on the disk. Many files are added faster by `stage` (in any
    process), `keep` and one `flush`: until it has returned, a power cut may leave a file with the
    right name and wrong content. Such a file is never trusted: whoever stages those bytes again
    compares them with the file and replaces it, and nobody else may count on a file before the
    ledger names it, which it must not before the flush.

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
        film = read_small(payload, self.limits)
        staged = self.stage(payload, film.extension)
        self.keep(staged)
        self.flush()
        return PooledImage(staged.id, staged.path, film.width, film.height, bool(staged.draft))

    def stage(self, payload: bytes, extension: str) -> StagedImage:
        """Writes an image file beside the pool, unless the pool holds it.

        Args:
            payload: Bytes of an image that was read before; nothing is checked here.
            extension: See `images.SmallFilm.extension`.

        Raises:
            StorageError: The disk is full or the pool cannot be written.
        """
        key = content_id(payload)
        name = f"{key}.{extension}"
        path = f"{FOLDER}/{key[:2]}/{name}"
        if _holds(f"{self.root}/{path}", payload):
            return StagedImage(key, path, "")
        draft = f"{DRAFTS}/{name}.{os.getpid()}-{next(_numbers)}{DRAFT_SUFFIX}"
        place = f"{self.root}/{draft}"
        try:
            try:
                _write(place, payload)
            except FileNotFoundError:
                (self.root / DRAFTS).mkdir(parents=True, exist_ok=True)
                _write(place, payload)
        except OSError as error:
            with suppress(OSError):
                Path(place).unlink()
            raise storage_error(error, self.root / path) from error
        return StagedImage(key, path, draft)

    def keep(self, staged: StagedImage) -> None:
        """Moves a staged image into the pool; once more does nothing.

        Raises:
            StorageError: The pool cannot be written, or the draft is gone.
        """
        if not staged.draft:
            return
        draft, place = f"{self.root}/{staged.draft}", f"{self.root}/{staged.path}"
        try:
            try:
                os.replace(draft, place)  # noqa: PTH105 (a Path takes longer)
            except FileNotFoundError:
                if Path(place).exists() and not Path(draft).exists():
                    return
                Path(place).parent.mkdir(parents=True, exist_ok=True)
                os.replace(draft, place)  # noqa: PTH105
        except OSError as error:
            raise storage_error(error, Path(place)) from error

    def drop(self, staged: StagedImage) -> None:
        """Removes a staged image that was not kept."""
        if staged.draft:
            (self.root / staged.draft).unlink(missing_ok=True)

    def staged_path(self, staged: StagedImage) -> Path:
        """Returns where the bytes of a staged image lie, kept or not."""
        draft = self.root / staged.draft
        return draft if staged.draft and draft.exists() else self.root / staged.path

    def flush(self) -> None:
        """Returns once all that was kept is on the disk.

        Raises:
            StorageError: The disk is full or fails.
        """
        sync_file_system(self.root)

    def remove_stale_drafts(self) -> None:
        """Removes what killed processes left behind a day ago or earlier."""
        before = time.time() - STALE_DRAFT_S
        for draft in (self.root / DRAFTS).glob(f"*{DRAFT_SUFFIX}"):
            with suppress(OSError):  # Another process may remove or keep it.
                if draft.stat().st_mtime < before:
                    draft.unlink()

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


def _holds(place: str, payload: bytes) -> bool:
    """Says whether a file has this content; what a power cut left behind has not."""
    try:
        with open(place, "rb", buffering=0) as file:  # noqa: PTH123 (a Path takes longer)
            return os.fstat(file.fileno()).st_size == len(payload) and file.read() == payload
    except OSError:
        return False


def _write(place: str, payload: bytes) -> None:
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
    try:
        rest = memoryview(payload)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fchmod(descriptor, 0o444)  # whatever the umask
    finally:
        os.close(descriptor)
