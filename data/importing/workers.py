"""Read items on all cores, and hand them back in the order in which they were asked for.

Threads would wait for one another: of the fifth of a millisecond that a film takes, Python itself
needs half. So other processes read, and only where there is enough to read: they take as long to
start as a thousand films to be read.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue
from types import TracebackType
from typing import Generic, Self, TypeVar

from data.errors import StackError
from data.importing.process import ReadingProcess
from data.importing.reading import Outcome, Refused, Request, Stopped, read_request
from data.pool import Pool

START_AFTER_S = 0.2
"""This long one process reads alone before it asks for help."""

CHUNK_S = 0.03
"""About how long a process reads before it hands over what it has: more chunks cost more."""

LARGEST_CHUNK = 64
CHUNKS_IN_FLIGHT = 10
"""For each process: what bounds the memory, and how far reading is ahead."""

CRASHED = (
    "Reading it ended the process that read it, twice: the file is damaged in a way that no "
    "decoder expects, or the memory is too small for it."
)

Asked = TypeVar("Asked")


class Readers(Generic[Asked]):
    """Processes that read for one import.

    Args:
        pool: Takes the images.
        workers: How many processes; 0: one for each core that may be used; 1: none but this one.
    """

    def __init__(self, pool: Pool, workers: int = 0) -> None:
        self._pool = pool
        self._workers = workers or len(os.sched_getaffinity(0))
        self._processes: list[ReadingProcess] = []
        self._idle: SimpleQueue[ReadingProcess] = SimpleQueue()
        self._threads: ThreadPoolExecutor | None = None
        self._spent_s = 0.0
        self._alone = 0
        self._given_up = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:  # Nobody takes what is being read, and some films take minutes.
            self._given_up = True
            for process in self._processes:
                process.kill()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        while self._processes:
            self._processes.pop().close()

    def read(
        self, questions: Iterable[tuple[Asked, Request | None]]
    ) -> Iterator[tuple[Asked, Outcome | None]]:
        """Yields what was asked with its outcome, in order; None where nothing is to be read.

        It ends with the first outcome that is `Stopped`.

        Raises:
            StackError: A process ended while it read, and no other one can be started.
        """
        rest = iter(questions)
        for asked, outcome in self._read_alone(rest):
            yield asked, outcome
            if isinstance(outcome, Stopped):
                return
            if self.may_share():
                break
        else:
            return
        for asked, outcome in self._read_shared(rest):
            yield asked, outcome
            if isinstance(outcome, Stopped):
                return

    def may_share(self) -> bool:
        """Starts the other processes when it is time, and says whether they can read."""
        if self._workers == 1 or self._spent_s < START_AFTER_S:
            return False
        try:
            if not self._processes:
                for _ in range(self._workers):
                    self._processes.append(ReadingProcess())
            if not all(process.is_ready() for process in self._processes):
                return False
        except (OSError, EOFError):  # No process can be started here: this one goes on alone.
            self._workers = 1
            return False
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._workers)
            for process in self._processes:
                self._idle.put(process)
        return True

    def _read_alone(
        self, questions: Iterator[tuple[Asked, Request | None]]
    ) -> Iterator[tuple[Asked, Outcome | None]]:
        for asked, request in questions:
            if request is None:
                yield asked, None
                continue
            began = time.perf_counter()
            outcome = read_request(self._pool, request)
            self._spent_s += time.perf_counter() - began
            self._alone += 1
            yield asked, outcome

    def _read_shared(
        self, questions: Iterator[tuple[Asked, Request | None]]
    ) -> Iterator[tuple[Asked, Outcome | None]]:
        size = max(1, min(LARGEST_CHUNK, int(CHUNK_S * self._alone / self._spent_s)))
        waiting: deque[_Chunk[Asked]] = deque()
        more = True
        while more or waiting:
            while more and len(waiting) < CHUNKS_IN_FLIGHT * self._workers:
                chunk = list(islice(questions, size))
                more = len(chunk) == size
                requests = [request for _, request in chunk if request is not None]
                waiting.append(_Chunk(chunk, self._submit(requests)))
            yield from waiting.popleft().answers()

    def _submit(self, requests: Sequence[Request]) -> Future[list[Outcome]]:
        if self._threads is None or not requests:
            nothing: Future[list[Outcome]] = Future()
            nothing.set_result([])
            return nothing
        return self._threads.submit(self._ask, requests)

    def _ask(self, requests: Sequence[Request]) -> list[Outcome]:
        """Hands a chunk to a process that is idle; runs in a thread, which only waits for it.

        Raises:
            StackError: The process ended, and no other one can be started.
        """
        process = self._idle.get()
        try:
            return process.read(self._pool, requests)
        except (EOFError, OSError):
            process = self._replaced(process)
            outcomes: list[Outcome] = []
            for request in requests:
                if self._given_up:
                    break
                try:
                    outcomes += process.read(self._pool, [request])
                except (EOFError, OSError):
                    process = self._replaced(process)
                    outcomes.append(Refused(CRASHED))
            return outcomes
        finally:
            self._idle.put(process)

    def _replaced(self, process: ReadingProcess) -> ReadingProcess:
        """Returns a new process in the place of one that has ended."""
        process.close()
        try:
            new = ReadingProcess()
        except OSError as error:
            raise StackError(
                f"No process can be started that reads films: {error.strerror}."
            ) from error
        self._processes[self._processes.index(process)] = new
        if self._given_up:
            new.kill()
        return new


@dataclass(frozen=True, slots=True)
class _Chunk(Generic[Asked]):
    """Questions that are read together, with the promise of their outcomes."""

    questions: Sequence[tuple[Asked, Request | None]]
    future: Future[list[Outcome]]

    def answers(self) -> Iterator[tuple[Asked, Outcome | None]]:
        outcomes = iter(self.future.result())
        for asked, request in self.questions:
            if request is None:
                yield asked, None
                continue
            outcome = next(outcomes, None)
            if outcome is None:  # One before it was `Stopped`.
                return
            yield asked, outcome
