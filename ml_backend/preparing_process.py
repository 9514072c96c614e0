"""A process that decodes and prepares films for the server.

Preparing a film is some hundred short calls that all want Python's lock, and so does the network's
forward: in one process they take turns, on however many cores. In a process of its own a film that
ends its decoder, or hangs it, costs no answer but its own.
"""

from __future__ import annotations

import subprocess
from contextlib import suppress
from multiprocessing.connection import Connection

from data.child_process import end_with_parent, start_child
from data.errors import CarpalError, ImageError
from data.images.preparation import use_one_thread
from ml_backend.film_reading import FilmRequest, Pixels, prepare_film

FILM_LIMIT_S = 30.0
"""Longest time that a film may take: the largest that is decoded takes some 3 s."""
START_LIMIT_S = 60.0
"""Longest time that a process may take to start; on two idle cores it is half a second."""
STOP_S = 2.0

CRASHED = (
    "Reading it ended the process that read it: the file is damaged in a way that no decoder "
    "expects, or the memory is too small for it."
)


class PreparingProcess:
    """One process; asked by one thread at a time, and started anew when it has ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    @property
    def pid(self) -> int | None:
        """Number of the process; None: it does not run."""
        return None if self._process is None else self._process.pid

    def be_ready(self) -> Connection:
        """Starts the process where it does not run, and returns the way to it.

        Raises:
            OSError: No process can be started.
        """
        if self._process is not None and self._process.poll() is not None:
            self.close()  # It was ended while it had nothing to do.
        if self._connection is None:
            self._process, self._connection = start_child(__name__)
            try:
                if not self._connection.poll(START_LIMIT_S):
                    raise TimeoutError(f"It did not start within {START_LIMIT_S:g} s.")
                self._connection.recv()
            except (EOFError, OSError) as error:
                self.close()
                raise OSError(f"A process that prepares films did not start: {error}") from error
        return self._connection

    def prepare(self, request: FilmRequest) -> tuple[Pixels, ...]:
        """Has a film prepared.

        Raises:
            OSError: No process can be started.
            ImageError: As `prepare_film`; or the film ended the process, or took too long.
            RuntimeError: Something failed that nobody expected.
        """
        answer = self._ask(self.be_ready(), request)
        if isinstance(answer, CarpalError):
            raise answer
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return answer

    def close(self) -> None:
        """Ends the process, whatever it does."""
        process, connection = self._process, self._connection
        self._process, self._connection = None, None
        if connection is not None:
            connection.close()
        if process is not None:
            process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)

    def _ask(
        self, connection: Connection, request: FilmRequest
    ) -> tuple[Pixels, ...] | CarpalError | str:
        try:
            connection.send(request)
            if connection.poll(FILM_LIMIT_S):
                answer: tuple[Pixels, ...] | CarpalError | str = connection.recv()
                return answer
        except (EOFError, OSError) as error:
            self.close()
            raise ImageError(CRASHED) from error
        self.close()
        raise ImageError(f"Reading it took more than {FILM_LIMIT_S:g} s.")


def serve(number: int) -> None:
    """Prepares films that are asked for on the socket with this file descriptor."""
    use_one_thread()
    end_with_parent()
    with Connection(number) as connection, suppress(EOFError, OSError):
        connection.send("ready")
        while True:
            connection.send(_answer(connection.recv()))


def _answer(request: FilmRequest) -> tuple[Pixels, ...] | CarpalError | str:
    try:
        return prepare_film(request)
    except CarpalError as error:
        return error
    except Exception as error:  # noqa: BLE001 the server logs it, and the next film is read
        return f"{type(error).__name__}: {error}"
