"""A process that reads items for another one; see `import_workers`."""

from __future__ import annotations

import gc
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection

from data.child_process import end_with_parent, start_child
from data.importing.reading import Outcome, Request, read_requests
from data.pool import Pool

GARBAGE_AFTER = 20_000
"""Objects after which a reading process looks for garbage: reading a film makes few cycles."""

STOP_S = 10.0
"""A process that has nothing more to read ends at once; after this time it is ended."""


class ReadingProcess:
    """A process that reads what it is asked for, and ends with the process that asks.

    Raises:
        OSError: No process can be started.
    """

    def __init__(self) -> None:
        self._process, self._connection = start_child(__name__)
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
    end_with_parent()
    with Connection(number) as connection, suppress(EOFError, OSError):
        connection.send("ready")
        while True:
            pool, requests = connection.recv()
            outcomes = read_requests(pool, requests)
            connection.send(outcomes)
