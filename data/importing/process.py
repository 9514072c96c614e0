"""A process that reads items for another one; see `import_workers`."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from threading import Thread

from data.importing.reading import Outcome, Request, read_requests
from data.pool import Pool

START = (
    "import os, sys; os.environ['OPENBLAS_NUM_THREADS'] = '1'; sys.path[:] = {path!r}; "
    "from data.importing.process import serve; serve({number})"
)
"""One thread of the linear algebra library: each core has a process that reads already."""

GARBAGE_AFTER = 20_000
"""Objects after which a reading process looks for garbage: reading a film makes few cycles."""

ORPHAN_S = 1.0
"""How often a reading process looks whether it has lost the one that asked for it."""

STOP_S = 10.0
"""A process that has nothing more to read ends at once; after this time it is ended."""


class ReadingProcess:
    """A process that reads what it is asked for, and ends with the process that asks.

    It is a program of its own, not a fork: a fork could inherit a lock that another thread holds
    for ever, and would begin with the whole of its parent. Ctrl-C reaches the parent alone.

    Raises:
        OSError: No process can be started.
    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            number = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-c", START.format(path=sys.path, number=number)],
                pass_fds=[number],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._connection = Connection(ours.detach())
        self._started = False

    def is_ready(self) -> bool:
        """Says whether the process has started and can read.

        Raises:
            EOFError: It has ended.
        """
        if not self._started and self._connection.poll():
            self._connection.recv()
            self._started = True
        return self._started

    def read(self, pool: Pool, requests: Sequence[Request]) -> list[Outcome]:
        """Reads items as `read_requests` does.

        Raises:
            EOFError: The process ended meanwhile.
            OSError: So it did.
        """
        if not self._started:
            self._connection.recv()
            self._started = True
        self._connection.send((pool, list(requests)))
        outcomes: list[Outcome] = self._connection.recv()
        return outcomes

    def kill(self) -> None:
        """Ends the process whatever it reads; whoever waits for its answer is told EOFError."""
        self._process.kill()

    def close(self) -> None:
        """Ends the process."""
        self._connection.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def serve(number: int) -> None:
    """Answers requests on the socket with this file descriptor until the other end is gone."""
    gc.freeze()  # What was imported stays: it need not be looked through again and again.
    gc.set_threshold(GARBAGE_AFTER)
    Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    with Connection(number) as connection, suppress(EOFError, OSError):
        connection.send("ready")
        while True:
            pool, requests = connection.recv()
            outcomes = read_requests(pool, requests)
            connection.send(outcomes)


def _end_with(parent: int) -> None:
    """Ends this process when its parent is gone, also while a film that hangs is being read."""
    while os.getppid() == parent:
        time.sleep(ORPHAN_S)
    os._exit(1)
