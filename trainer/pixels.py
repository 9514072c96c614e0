"""Prepared pixels: every radiograph is decoded and prepared once, then only memory-mapped."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data import image_preparation, images
from data.atomic import storage_error
from data.errors import ImageError

CHUNK = 64
"""Images that are prepared before they are written and their ids noted."""


def preparation_id() -> str:
    """Names the preprocessing: 16 hexadecimal digits of the hash of the modules that do it."""
    files = (images.__file__, image_preparation.__file__)
    code = (Path(file).read_bytes() for file in files if file)
    return hashlib.sha256(b"".join(code)).hexdigest()[:16]


class PixelStore:
    """Append-only store of prepared radiographs, one per image size and preprocessing.

    Two files: `pixels` holds one (size, size) uint8 square after the other, `ids` one line with
    the radiograph's id per square. A square counts once its line is complete, so a process that
    is killed between the two leaves nothing but a tail that the next one overwrites. Several
    processes may share a store.

    Args:
        cache: Folder that holds the stores; may be deleted at any time that nobody trains.
        size: Side of the square, pixels.
        workers: Threads that decode; 0: one per CPU core.
    """

    def __init__(self, cache: Path, size: int, workers: int = 0) -> None:
        self.size = size
        self.workers = workers or os.cpu_count() or 1
        self.folder = cache / f"pixels-{size}-{preparation_id()}"

    def load(
        self, files: Sequence[tuple[str, Path]]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64], dict[str, ImageError]]:
        """Prepares what is not yet there and maps all of it.

        Args:
            files: (radiograph id, image file) pairs.

        Returns:
            The mapped squares (rows, size, size); the row of each of `files`, -1 where the image
            cannot be read; and why it cannot, by radiograph id.

        Raises:
            StorageError: The disk is full or the cache cannot be written.
        """
        try:
            with self._locked():
                rows = self._read_ids()
                missing = {key: path for key, path in files if key not in rows}
                refused = self._append(missing, rows)
        except OSError as error:
            raise storage_error(error, self.folder) from error
        places = [-1 if key in refused else rows[key] for key, _ in files]
        return self._map(len(rows)), np.asarray(places, np.int64), refused

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _read_ids(self) -> dict[str, int]:
        path = self.folder / "ids"
        text = path.read_text() if path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            path.write_text(whole)
        return {key: row for row, key in enumerate(whole.splitlines())}

    def _append(self, missing: dict[str, Path], rows: dict[str, int]) -> dict[str, ImageError]:
        refused: dict[str, ImageError] = {}
        if not missing:
            return refused
        pixels_file = self.folder / "pixels"
        pixels_file.touch()
        with pixels_file.open("r+b") as pixels, (self.folder / "ids").open("a") as ids:
            pixels.seek(len(rows) * self.size**2)
            for chunk in self._prepared(list(missing.items())):
                good = [(key, item) for key, item in chunk if not isinstance(item, ImageError)]
                refused |= {key: item for key, item in chunk if isinstance(item, ImageError)}
                pixels.write(b"".join(square.tobytes() for _, square in good))
                pixels.flush()
                os.fsync(pixels.fileno())
                ids.write("".join(f"{key}\n" for key, _ in good))
                ids.flush()
                rows.update({key: len(rows) + i for i, (key, _) in enumerate(good)})
        return refused

    def _prepared(
        self, files: list[tuple[str, Path]]
    ) -> Iterator[list[tuple[str, NDArray[np.uint8] | ImageError]]]:
        with ThreadPoolExecutor(self.workers) as pool:
            for start in range(0, len(files), CHUNK):
                chunk = files[start : start + CHUNK]
                squares = pool.map(lambda item: prepare_file(item[1], self.size), chunk)
                yield [(key, square) for (key, _), square in zip(chunk, squares, strict=True)]

    def _map(self, count: int) -> NDArray[np.uint8]:
        shape = (count, self.size, self.size)
        if count == 0:
            return np.zeros(shape, np.uint8)
        return np.memmap(self.folder / "pixels", np.uint8, "r", shape=shape)


def prepare_file(
    path: Path, size: int, limits: images.ImageLimits = images.DEFAULT_LIMITS
) -> NDArray[np.uint8] | ImageError:
    """Reads and prepares one image file; an unreadable one is answered, not raised.

    Returns:
        (size, size) grey, or why there is none.
    """
    try:
        return image_preparation.prepare(images.read_grey(path, limits), size)
    except ImageError as error:
        return error
