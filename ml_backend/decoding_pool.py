"""Films are read, decoded and prepared here, beside the thread that computes.

While the networks compute one batch, the next films are made ready. Each thread of the pool has a
process that does the work (`preparing_process.py`); on films that come as pixels, and where no
process can be started, it works itself. Decoded films are large (64 million pixels at most, one
byte each), so only as many are held as there are threads; of a prepared film some thousandth is
left.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from data.domain import Prediction
from data.images.decoding import DEFAULT_LIMITS, ImageLimits
from ml_backend.batching import STOPPING, Batcher, BusyError, Film, expected
from ml_backend.film_reading import FilmRequest, Source, read_source
from ml_backend.model_ports import Known, Predictor, Squares
from ml_backend.preparing_process import PreparingProcess

MOST_THREADS = 8
RETRY_S = 30.0
"""Where no process could be started, the next attempt is made after this long."""

log = logging.getLogger(__name__)


def preparing_threads() -> int:
    """Returns how many films are prepared at a time: one per two cores."""
    return max(1, min(MOST_THREADS, len(os.sched_getaffinity(0)) // 2))


@dataclass(frozen=True, slots=True)
class Asked:
    """A film that somebody wants predicted.

    Attributes:
        id: See `Radiograph.id`; a file of the pool must have this hash.
        source: The film; see `ml_backend.film_reading.Source`.
        known: What is known of it before.
    """

    id: str
    source: Source
    known: Known = field(default_factory=dict)


class DecodingPool:
    """Threads that make films ready for the batcher.

    Args:
        batcher: Takes what is ready.
        limits: Largest image that is decoded.
        threads: Films that are prepared at a time.
        use_processes: Each thread has a process that works for it.
    """

    def __init__(
        self,
        batcher: Batcher,
        limits: ImageLimits = DEFAULT_LIMITS,
        threads: int | None = None,
        *,
        use_processes: bool = True,
    ) -> None:
        self._batcher = batcher
        self._limits = limits
        self._threads = threads or preparing_threads()
        self._use_processes = use_processes
        self._retry_at = 0.0
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._mine = threading.local()
        self._processes: list[PreparingProcess] = []

    def submit(
        self, predictor: Predictor, asked: Asked, keep: Callable[[Prediction], None] | None = None
    ) -> Future[Prediction]:
        """Asks a model for a film.

        Args:
            predictor: The model.
            asked: The film.
            keep: Told the prediction before anybody else.

        Returns:
            Told the prediction, or a CarpalError. A film that nobody has begun to read can be
            cancelled.

        Raises:
            BusyError: As many films wait as may.
        """
        self._batcher.expect()
        answer: Future[Prediction] = Future()
        try:
            self._pool().submit(self._prepare, predictor, asked, answer, keep)
        except RuntimeError as error:  # The pool is closed.
            self._batcher.give_up()
            raise BusyError(STOPPING) from error
        return answer

    def warm_up(self) -> None:
        """Starts the processes, so that the first film does not wait for one."""
        if self._use_processes:
            for _ in range(self._threads):
                self._pool().submit(self._process)

    def close(self) -> None:
        """Ends once all films that were submitted are prepared."""
        with self._lock:
            executor = self._executor
        if executor is not None:
            executor.shutdown()
        for process in self._processes:
            process.close()

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:  # Not before the fork of the server's process.
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._threads, "preparing")
            return self._executor

    def _prepare(
        self,
        predictor: Predictor,
        asked: Asked,
        answer: Future[Prediction],
        keep: Callable[[Prediction], None] | None,
    ) -> None:
        if not answer.set_running_or_notify_cancel():
            self._batcher.give_up()
            return
        try:
            squares = self._squares(predictor, asked)
        except Exception as error:  # noqa: BLE001 whatever it is belongs to this film
            self._batcher.give_up()
            answer.set_exception(expected(error, asked.id))
        else:
            self._batcher.put(Film(predictor, squares, asked.id, asked.known, answer, keep))

    def _squares(self, predictor: Predictor, asked: Asked) -> Squares:
        process = self._process()
        if process is None or isinstance(asked.source, np.ndarray):
            pixels = read_source(asked.source, asked.id, self._limits)
            return predictor.prepared(pixels, asked.id)
        return process.prepare(
            FilmRequest(
                asked.id,
                asked.source,
                self._limits,
                predictor.preparations,
                predictor.mask_file(asked.id),
            )
        )

    def _process(self) -> PreparingProcess | None:
        """Returns the process of this thread, ready; None: there is none."""
        if not self._use_processes or time.monotonic() < self._retry_at:
            return None
        process: PreparingProcess | None = getattr(self._mine, "process", None)
        if process is None:
            process = self._mine.process = PreparingProcess()
            with self._lock:
                self._processes.append(process)
        try:
            process.be_ready()
        except OSError as error:
            log.error("The server prepares films itself for %.0f s. %s", RETRY_S, error)
            self._retry_at = time.monotonic() + RETRY_S
            return None
        return process
