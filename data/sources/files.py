"""The files below a folder that somebody else filled: found without following it anywhere else."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from data.errors import InvalidInputError, NotFoundError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"})
TABLE_SUFFIXES = frozenset({".csv", ".tsv"})
NOT_IN_NAMES = frozenset({"Cc", "Cs"})
"""Unicode categories: control characters, and bytes that are no UTF-8 (as Python reads them)."""
NO_FILE = "It is a pipe, a socket or a device, and no file."
"""Why such a thing is refused; it is never opened."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file below a folder.

    Attributes:
        path: Where it is read; of a link, what it points to.
        name: Its path below the folder, with `/`; escaped where it cannot be printed.
        stamp: Size, time of its last change, inode: another one whenever it was written again,
            and for another file of the same name.
        problem: Why it cannot be taken; empty if it can.
    """

    path: Path
    name: str
    stamp: str = ""
    problem: str = ""


def files_below(
    folder: Path, suffixes: Collection[str] | None = IMAGE_SUFFIXES
) -> Iterator[FoundFile]:
    """Yields the files below a folder: those of a folder by name, then those of its folders.

    Hidden files and folders are left out. What has a wanted name but must not be read is yielded
    with a `problem`: names that are no UTF-8, links that leave the folder or lead nowhere, pipes
    and devices, folders that cannot be read. Links to folders are not followed, so there are no
    loops; a link to a file inside the folder is that file.

    Args:
        folder: Looked through at any depth.
        suffixes: Of the wanted files, in small letters with their dot; None: every file.

    Raises:
        NotFoundError: There is no such folder.
        InvalidInputError: It cannot be read, or its own path is no UTF-8.
    """
    root = require_folder(folder).resolve()
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        try:
            with os.scandir(place) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if place == folder:
                raise InvalidInputError(f"{folder} cannot be read: {error.strerror}.") from error
            yield _refused(place, folder, f"The folder cannot be read: {error.strerror}.")
            continue
        inner: list[Path] = []
        for entry in found:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False) and printable(entry.name) == entry.name:
                inner.append(Path(entry.path))
            elif _is_wanted(entry, suffixes):
                yield _found(entry, folder, root)
        waiting += reversed(inner)


def require_folder(folder: Path) -> Path:
    """Returns the folder if it is one whose path can be printed.

    Raises:
        NotFoundError: There is no such folder.
        InvalidInputError: Its path is no UTF-8, or it may not be looked at.
    """
    if printable(str(folder)) != str(folder):
        raise InvalidInputError(
            f"The path {printable(str(folder))} is no UTF-8 text or holds control characters: "
            "rename the folder."
        )
    status = status_of(folder)
    if status is not None and stat.S_ISREG(status.st_mode):
        raise NotFoundError(f"{folder} is a file: name the folder that holds the images.")
    if status is None or not stat.S_ISDIR(status.st_mode):
        raise NotFoundError(f"There is no folder {folder}.")
    return folder


def status_of(path: Path) -> os.stat_result | None:
    """Returns what the system says of a file or folder; None: it is not there.

    Raises:
        InvalidInputError: It may not be looked at, or its name is too long for any file.
    """
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InvalidInputError(
            f"{printable(str(path))} cannot be read: {error.strerror}."
        ) from error


def printable(name: str) -> str:
    """Escapes control characters and bytes that are no UTF-8; other text is kept."""
    if name.isprintable() or not any(unicodedata.category(c) in NOT_IN_NAMES for c in name):
        return name
    text = os.fsencode(name).decode("utf-8", errors="backslashreplace")
    return "".join(
        letter.encode("unicode_escape").decode()
        if unicodedata.category(letter) in NOT_IN_NAMES
        else letter
        for letter in text
    )


def stamp_of(status: os.stat_result) -> str:
    """Returns size, time of the last change (nanoseconds) and inode as text."""
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}"


def _is_wanted(entry: os.DirEntry[str], suffixes: Collection[str] | None) -> bool:
    if suffixes is None or Path(entry.name).suffix.lower() in suffixes:
        return True
    # Folders that are not looked through are named, for somebody may count on them.
    return _leads_to_folder(entry)


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _found(entry: os.DirEntry[str], folder: Path, root: Path) -> FoundFile:
    path = Path(entry.path)
    if printable(entry.name) != entry.name:
        return _refused(path, folder, "The name is no UTF-8 text or holds control characters.")
    try:
        if entry.is_symlink():
            path = path.resolve(strict=True)
            if not path.is_relative_to(root) or printable(str(path)) != str(path):
                return _refused(Path(entry.path), folder, "It is a link that leaves the folder.")
        status = path.stat(follow_symlinks=False)
    except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads to itself.
        if entry.is_symlink():
            return _refused(Path(entry.path), folder, "It is a link that leads nowhere.")
        reason = getattr(error, "strerror", None) or error
        return _refused(path, folder, f"It cannot be read: {reason}.")
    if stat.S_ISDIR(status.st_mode):
        return _refused(Path(entry.path), folder, "It is a link to a folder: not followed.")
    if not stat.S_ISREG(status.st_mode):
        return _refused(path, folder, NO_FILE)
    return FoundFile(path, _name(Path(entry.path), folder), stamp_of(status))


def _refused(path: Path, folder: Path, problem: str) -> FoundFile:
    return FoundFile(path, _name(path, folder), problem=problem)


def _name(path: Path, folder: Path) -> str:
    return printable(path.relative_to(folder).as_posix())
