"""Write a file wholly or not at all, and say in one sentence why it could not be written."""

from __future__ import annotations

import ctypes
import errno
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from data.errors import StorageError

DRAFT_SUFFIX = ".part"
"""Of files that were not completed; a killed process leaves them behind."""

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def write_file(path: Path, payload: bytes, mode: int = 0o644, *, sync: bool = True) -> None:
    """Writes beside `path`, syncs, and renames over it: a reader sees the old file or the new one.

    Args:
        path: The file; its folder is made where it is missing.
        payload: The whole content.
        mode: Permission bits of the file.
        sync: False: where the power may fail, the caller syncs later or can do without the file.

    Raises:
        StorageError: The disk is full or the folder cannot be written.
    """
    draft = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=DRAFT_SUFFIX)
        with os.fdopen(descriptor, "wb") as file:
            file.write(payload)
            file.flush()
            os.fchmod(descriptor, mode)
            if sync:
                os.fsync(descriptor)
        Path(draft).replace(path)
    except OSError as error:
        with suppress(OSError):
            Path(draft).unlink()
        raise storage_error(error, path) from error


def sync_files(paths: Iterable[Path]) -> None:
    """Returns once these files are on the disk.

    Raises:
        StorageError: The disk is full or fails.
    """
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise storage_error(error, path) from error


def sync_file_system(folder: Path) -> None:
    """Returns once all that was written to the file system of `folder` is on the disk.

    One call for many files: a hundred times quicker than to sync each of them. Elsewhere than on
    Linux all file systems are synced.

    Raises:
        StorageError: The disk is full or fails.
    """
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        os.sync()
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if syncfs(descriptor) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise storage_error(error, folder) from error


def storage_error(error: OSError, path: Path) -> StorageError:
    """The sentence for an `OSError` that came up while `path` was written."""
    if error.errno in DISK_FULL:
        return StorageError(
            f"The disk that holds {path.parent} is full: free some space and try again."
        )
    return StorageError(f"{path} cannot be written: {error.strerror or error}.")
