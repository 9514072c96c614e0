"""Prepared pixels: every radiograph is decoded and prepared once, then only memory-mapped."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import zlib
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from data import masks
from data.atomic import storage_error
from data.errors import ImageError
from data.images import box as image_box
from data.images import crop as image_crop
from data.images import decoding as images
from data.images import edges as image_edges
from data.images import markers as image_markers
from data.images import preparation as image_preparation
from data.images import window as image_window
from data.images.preparation import Preparation
from trainer.options import TrainOptions

CHUNK = 64
"""Images that are prepared before they are written and their ids noted."""
KEPT_STORES = 3
"""Stores that stay on the disk: those used last. 12,611 films of 512 pixels take 3.3 GB each."""

LOCK = "lock"
PREPARING = (
    images,
    image_box,
    image_edges,
    image_crop,
    image_markers,
    image_window,
    image_preparation,
    masks,
)
"""The modules that decide about pixels: another version of one of them makes a new store."""

Square = NDArray[np.uint8]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Film:
    """A radiograph whose pixels are wanted.

    Attributes:
        id: See `Radiograph.id`.
        path: The image file.
        mask: Its hand mask, or None where there is none.
    """

    id: str
    path: Path
    mask: Path | None = None


def preparation_of(options: TrainOptions) -> Preparation:
    """Returns what decides which pixels of a film a model with these options sees."""
    return Preparation(
        size=options.image_size,
        crop=options.crop,
        mask_crop=options.mask_crop,
        background=options.background,
        mask_edge=options.mask_edge,
        exposure=options.exposure,
    )


def preparation_id() -> str:
    """Names the preprocessing: 16 hexadecimal digits of the hash of the modules that do it."""
    code = (Path(module.__file__ or "").read_bytes() for module in PREPARING)
    return hashlib.sha256(b"".join(code)).hexdigest()[:16]


class PixelStore:
    """Append-only store of prepared radiographs, one per preparation and code that prepares.

    Two files: `pixels` holds one (size, size) uint8 square after the other, `ids` one line per
    square: its key and checksum. The key is the radiograph's id, with the hash of the mask where
    the preparation uses one. A square counts once its line is complete, so a process that is
    killed between the two leaves nothing but a tail that the next one overwrites. A square that
    is not what its checksum says is prepared again. Several processes may share a store.

    Args:
        cache: Folder that holds the stores; may be deleted at any time that nobody trains. Stores
            of other code, and all but the `KEPT_STORES` used last, are removed.
        preparation: What is done to the films.
        workers: Threads that decode; 0: one per CPU core.
        limits: Largest image that is decoded.
    """

    def __init__(
        self,
        cache: Path,
        preparation: Preparation,
        workers: int = 0,
        limits: images.ImageLimits = images.DEFAULT_LIMITS,
    ) -> None:
        self.preparation = preparation
        self.size = preparation.size
        self.workers = workers or os.cpu_count() or 1
        self.limits = limits
        text = json.dumps(preparation.to_json(), sort_keys=True)
        self._code = preparation_id()
        name = f"{self._code}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        self.folder = cache / f"pixels-{self.size}-{name}"

    def load(
        self, films: Sequence[Film]
    ) -> tuple[Square, NDArray[np.int64], dict[str, ImageError]]:
        """Prepares what is not yet there and maps all of it.

        Returns:
            The mapped squares (rows, size, size); the row of each of `films`, -1 where it cannot
            be prepared; and why it cannot, by radiograph id.

        Raises:
            StorageError: The disk is full or the cache cannot be written.
        """
        keys, refused = self._keys(films)
        try:
            with self._locked():
                lines = self._read_lines()
                rows = self._sound_rows(lines, set(keys.values()))
                missing = {f: key for f, key in keys.items() if key not in rows}
                refused |= self._append(missing, rows, len(lines))
                squares = self._map()
            _remove_stale(self.folder, self._code)
        except OSError as error:
            raise storage_error(error, self.folder) from error
        places = [-1 if f.id in refused else rows[keys[f]] for f in films]
        return squares, np.asarray(places, np.int64), refused

    def _keys(self, films: Sequence[Film]) -> tuple[dict[Film, str], dict[str, ImageError]]:
        """Returns the key of each film, and why a film has none."""
        keys: dict[Film, str] = {}
        refused: dict[str, ImageError] = {}
        for film in films:
            keys[film] = film.id
            if self.preparation.needs_mask and film.mask is not None:
                try:
                    keys[film] = f"{film.id}:{masks.mask_hash(film.mask)}"
                except ImageError as error:
                    refused[film.id] = error
        return {film: key for film, key in keys.items() if film.id not in refused}, refused

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with _lock(self.folder):
            os.utime(self.folder / LOCK)
            yield

    def _read_lines(self) -> list[str]:
        """Returns the complete lines of `ids`, one per square, and cuts off a started one."""
        path = self.folder / "ids"
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            path.write_bytes(whole)
        return whole.decode(errors="replace").split("\n")[:-1]

    def _sound_rows(self, lines: Sequence[str], wanted: Collection[str]) -> dict[str, int]:
        """Returns key -> row of the wanted squares that are what their checksum says."""
        squares = self._map()
        rows: dict[str, int] = {}
        for row, line in enumerate(lines[: len(squares)]):
            key, _, checksum = line.partition(" ")
            if key in wanted and checksum == _checksum(squares[row]):
                rows[key] = row
            elif key in wanted:
                log.warning("A prepared image in %s is damaged: it is prepared again.", self.folder)
        return rows

    def _append(
        self, missing: dict[Film, str], rows: dict[str, int], end: int
    ) -> dict[str, ImageError]:
        """Prepares films, writes them behind the first `end` squares and adds them to `rows`."""
        refused: dict[str, ImageError] = {}
        if not missing:
            return refused
        pixels_file = self.folder / "pixels"
        pixels_file.touch()
        with pixels_file.open("r+b") as pixels, (self.folder / "ids").open("a") as ids:
            pixels.seek(end * self.size**2)
            for chunk in self._prepared(list(missing)):
                refused |= {f.id: item for f, item in chunk if isinstance(item, ImageError)}
                good = [(missing[f], s) for f, s in chunk if not isinstance(s, ImageError)]
                pixels.write(b"".join(square.tobytes() for _, square in good))
                pixels.flush()
                os.fsync(pixels.fileno())
                ids.write("".join(f"{key} {_checksum(square)}\n" for key, square in good))
                ids.flush()
                rows.update({key: end + i for i, (key, _) in enumerate(good)})
                end += len(good)
        return refused

    def _prepared(self, films: Sequence[Film]) -> Iterator[list[tuple[Film, Square | ImageError]]]:
        image_preparation.use_one_thread()
        with ThreadPoolExecutor(self.workers) as pool:
            for start in range(0, len(films), CHUNK):
                chunk = films[start : start + CHUNK]
                squares = pool.map(lambda f: prepare_file(f, self.preparation, self.limits), chunk)
                yield list(zip(chunk, squares, strict=True))

    def _map(self) -> Square:
        """Maps all squares that the file holds wholly."""
        path = self.folder / "pixels"
        count = path.stat().st_size // self.size**2 if path.exists() else 0
        shape = (count, self.size, self.size)
        return np.memmap(path, np.uint8, "r", shape=shape) if count else np.zeros(shape, np.uint8)


def prepare_file(
    film: Film, preparation: Preparation, limits: images.ImageLimits = images.DEFAULT_LIMITS
) -> Square | ImageError:
    """Reads and prepares one image file; an unreadable one is answered, not raised.

    Returns:
        (size, size) grey, or why there is none.
    """
    prepared = prepare_image(film, [preparation], limits)
    return prepared if isinstance(prepared, ImageError) else prepared[preparation]


def prepare_image(
    film: Film,
    preparations: Sequence[Preparation],
    limits: images.ImageLimits = images.DEFAULT_LIMITS,
) -> dict[Preparation, Square] | ImageError:
    """Reads one image file once and prepares it in several ways.

    Returns:
        Preparation -> (size, size) grey, or why there is none.
    """
    try:
        mask = None
        if film.mask is not None and any(p.needs_mask for p in preparations):
            mask = masks.read_mask(film.mask, limits)
        grey = images.read_grey(film.path, limits)
        return {p: image_preparation.prepare(grey, p, mask) for p in preparations}
    except ImageError as error:
        return error


def _checksum(square: Square) -> str:
    return f"{zlib.crc32(square.tobytes()):08x}"


def _lock(folder: Path) -> IO[str]:
    """Waits until this process alone writes in a store; closing what is returned ends that."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError), ExitStack() as stack:
            file = stack.enter_context((folder / LOCK).open("a"))
            fcntl.flock(file, fcntl.LOCK_EX)
            # Whoever tidied up meanwhile took folder and lock away: then a new one is made.
            if os.path.samestat(os.fstat(file.fileno()), (folder / LOCK).stat()):
                stack.pop_all()
                return file


def _remove_stale(folder: Path, code: str) -> None:
    """Removes the stores beside `folder` that other code made or that were not used lately.

    A store in which a process writes is left; one that a process only reads may go: what is
    mapped stays readable to the end.
    """
    others = [path for path in folder.parent.glob("pixels-*") if path != folder]
    ours = [path for path in others if code in path.name]
    kept = sorted(ours, key=_used_at, reverse=True)[: KEPT_STORES - 1]
    for path in others:
        if path not in kept:
            with suppress(OSError), (path / LOCK).open("a") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)


def _used_at(store: Path) -> float:
    try:
        return (store / LOCK).stat().st_mtime
    except OSError:
        return 0.0
