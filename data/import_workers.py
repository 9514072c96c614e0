"""Read items on all cores, and hand them back in the order in which they were asked for.

Threads would wait for one another: of the fifth of a millisecond that a film takes, Python itself
needs half. So processes read, and only where there is enough to read: they take longer to start
than a few hundred films to be read.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.connection import wait
from types import TracebackType
from typing import Generic, Self, TypeVar

from data.import_reading import Outcome, Refused, Request, Stopped, read_request, read_requests
from data.pool import Pool

START_AFTER_S = 0.2
"""This long one process reads alone before it asks for help."""

CHUNK_S = 0.03
"""About how long a process reads before it hands over what it has: more chunks cost more."""

LARGEST_CHUNK = 64
CHUNKS_IN_FLIGHT = 3
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
        self._executor: ProcessPoolExecutor | None = None
        self._ready: list[Future[None]] = []
        self._spent_s = 0.0
        self._alone = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def read(
        self, questions: Iterable[tuple[Asked, Request | None]]
    ) -> Iterator[tuple[Asked, Outcome | None]]:
        """Yields what was asked with its outcome, in order; None where nothing is to be read.

        It ends with the first outcome that is `Stopped`.
        """
        rest = iter(questions)
        for asked, request in rest:
            outcome = None if request is None else self._read_alone(request)
            yield asked, outcome
            if isinstance(outcome, Stopped):
                return
            if self._may_share():
                break
        else:
            return
        for asked, outcome in self._read_shared(rest):
            yield asked, outcome
            if isinstance(outcome, Stopped):
                return

    def _read_alone(self, request: Request) -> Outcome:
        began = time.perf_counter()
        outcome = read_request(self._pool, request)
        self._spent_s += time.perf_counter() - began
        self._alone += 1
        return outcome

    def _may_share(self) -> bool:
        """Starts the other processes when it is time, and says whether they are there."""
        if self._workers == 1 or self._spent_s < START_AFTER_S:
            return False
        if self._executor is None:
            try:
                self._executor = _executor(self._workers)
                self._ready = [self._executor.submit(_nothing) for _ in range(self._workers)]
            except (OSError, EOFError, RuntimeError):  # No process can be started here.
                self._give_up()
        if any(future.done() and future.exception() for future in self._ready):
            self._give_up()
        return bool(self._ready) and all(future.done() for future in self._ready)

    def _give_up(self) -> None:
        self._workers = 1
        self._ready = []
        self._end()

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
                waiting.append(_Chunk(chunk, requests, self._submit(requests)))
            yield from self._finish(waiting.popleft())

    def _submit(self, requests: Sequence[Request]) -> Future[list[Outcome]] | None:
        if self._executor is None:
            self._executor = _executor(self._workers)
        try:
            return self._executor.submit(read_requests, self._pool, requests)
        except BrokenProcessPool:
            return None

    def _finish(self, chunk: _Chunk[Asked]) -> Iterator[tuple[Asked, Outcome | None]]:
        try:
            if chunk.future is None:
                raise BrokenProcessPool
            outcomes = iter(chunk.future.result())
        except BrokenProcessPool:
            self._end()
            outcomes = iter([self._read_carefully(request) for request in chunk.requests])
        for asked, request in chunk.questions:
            if request is None:
                yield asked, None
            else:
                outcome = next(outcomes, None)
                if outcome is None:
                    return
                yield asked, outcome

    def _read_carefully(self, request: Request) -> Outcome:
        """Reads an item that may have ended a process in a process of its own."""
        with _executor(1) as executor:
            try:
                return executor.submit(read_request, self._pool, request).result()
            except BrokenProcessPool:
                return Refused(CRASHED)

    def _end(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None


class _Chunk(Generic[Asked]):
    """Questions that are read together, with the promise of their outcomes."""

    def __init__(
        self,
        questions: Sequence[tuple[Asked, Request | None]],
        requests: Sequence[Request],
        future: Future[list[Outcome]] | None,
    ) -> None:
        self.questions = questions
        self.requests = requests
        self.future = future


def _executor(workers: int) -> ProcessPoolExecutor:
    # A fork of this process could inherit a lock that another of its threads holds for ever.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "data.import_reading"])
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)


def _begin() -> None:
    """Prepares a process: Ctrl-C is its parent's, and without parent it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _nothing() -> None:
    """Is done as soon as a process is there."""
