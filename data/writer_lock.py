"""A lock on a file that lets one process write at a time, and survives none of them."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.atomic import storage_error
from data.errors import VersionError

POLL_S = 0.05


@contextmanager
def writer_lock(path: Path, wait_s: float) -> Iterator[int]:
    """Holds the lock and yields its file descriptor.

    Child processes that inherit the descriptor (`pass_fds`) hold the lock too. So if this process
    is killed while a child still writes, nobody else starts before the child has ended; and once
    all of them are gone the kernel frees the lock, whatever happened to them.

    Args:
        path: The lock's file; made where it is missing, and left there.
        wait_s: Longest wait for another holder, seconds.

    Raises:
        VersionError: Another process holds the lock for longer.
        StorageError: The file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise storage_error(error, path) from error
    try:
        _acquire(descriptor, path, time.monotonic() + wait_s, wait_s)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, deadline: float, wait_s: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise VersionError(
                    f"Another process has been writing the dataset for more than {wait_s:g} s "
                    f"(it holds {path}); try again when it has ended."
                ) from error
            time.sleep(POLL_S)
        else:
            return
