"""Films of all requests, computed together by the one thread of a process that computes.

Requests prepare their films elsewhere (`ml_backend/decoding_pool.py`) and leave them here. The
thread takes what waits, as many films of one model as pass its networks together, and answers each
film's future. While it computes, the next ones gather: a lone film goes at once, and the more is
asked, the fuller the batches.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from data.domain import Prediction
from data.errors import CarpalError, ServiceUnavailableError
from ml_backend.model_ports import Known, Predictor, Squares

MOST_WAITING = 1024
"""Films that are prepared, or are being, and not computed yet. Some 10 kB each at 96 pixels."""
LINGER_S = 0.004
"""How long a batch that is not full waits for films that are being prepared at this moment."""
STOPPING = "The backend is being stopped; ask again in a moment."

log = logging.getLogger(__name__)


class BusyError(ServiceUnavailableError):
    """The backend computes as much as it can.

    Attributes:
        retry_after_s: Seconds after which asking again is worth while.
    """

    retry_after_s = 1


class UnexpectedFilmError(CarpalError):
    """Something failed that nobody expected, with one film; the log has the traceback."""


@dataclass(frozen=True, slots=True)
class Film:
    """A prepared film that waits for its answer.

    Attributes:
        predictor: The model that it was prepared for.
        squares: What the model sees of it.
        id: See `Radiograph.id`.
        known: What is known of it before.
        answer: Told the prediction, or the CarpalError that there is instead.
        keep: Told the prediction before anybody else; None: nobody is.
    """

    predictor: Predictor
    squares: Squares
    id: str
    known: Known
    answer: Future[Prediction]
    keep: Callable[[Prediction], None] | None = None


class Batcher:
    """The waiting films of a process, and the thread that computes them.

    Every film is expected (`expect`) before it is prepared, and then either comes (`put`) or does
    not (`give_up`). Films of different models never share a batch; those of one are computed in
    the order in which they came.

    Args:
        most_waiting: Films that may be expected or wait at a time.
        linger_s: See `LINGER_S`.
    """

    def __init__(self, most_waiting: int = MOST_WAITING, linger_s: float = LINGER_S) -> None:
        self._most_waiting = most_waiting
        self._linger_s = linger_s
        self._changed = threading.Condition()
        self._waiting: deque[Film] = deque()
        self._expected = 0
        self._closed = False
        self._thread: threading.Thread | None = None

    def expect(self) -> None:
        """Holds a place for a film that will be prepared.

        Raises:
            BusyError: All places are taken, or the process is ending.
        """
        with self._changed:
            if self._closed:
                raise BusyError(STOPPING)
            if self._expected + len(self._waiting) >= self._most_waiting:
                raise BusyError("As many films wait as may; ask again in a moment.")
            self._expected += 1
            if self._thread is None:  # Not before the fork of the server's process.
                self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
                self._thread.start()

    def put(self, film: Film) -> None:
        """Lets an expected film wait for its turn."""
        with self._changed:
            self._expected -= 1
            self._waiting.append(film)
            self._changed.notify_all()

    def give_up(self) -> None:
        """Gives back the place of a film that does not come."""
        with self._changed:
            self._expected -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """Takes no more films, and returns once all that came or were expected are answered."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while batch := self._next_batch():
            answer_batch(batch)

    def _next_batch(self) -> list[Film]:
        """Returns films of one model; none: there will never be any more."""
        with self._changed:
            while not self._waiting:
                if self._closed and not self._expected:
                    return []
                self._changed.wait()
            predictor = self._waiting[0].predictor
            self._linger(predictor.films_together)
            batch: list[Film] = []
            others: deque[Film] = deque()
            for film in self._waiting:
                fits = film.predictor is predictor and len(batch) < predictor.films_together
                (batch if fits else others).append(film)
            self._waiting = others
            return batch

    def _linger(self, full: int) -> None:
        """Waits a moment for films that are being prepared, unless the batch is full already."""
        end = time.monotonic() + self._linger_s
        while self._expected and len(self._waiting) < full:
            left_s = end - time.monotonic()
            if left_s <= 0:
                return
            self._changed.wait(left_s)


def answer_batch(films: Sequence[Film]) -> None:
    """Computes films of one model; each gets its own answer, or its own error."""
    answers: list[tuple[Film, Prediction]] = []
    try:
        said = films[0].predictor.predict_prepared(
            [film.squares for film in films],
            [film.id for film in films],
            [film.known for film in films],
        )
        answers = list(zip(films, said, strict=True))
    except Exception as error:  # noqa: BLE001 whatever it is belongs to the films, not to the thread
        if len(films) == 1:
            films[0].answer.set_exception(expected(error, films[0].id))
            return
    if not answers:
        # Not in the handler, whose error keeps what the failed batch took of the memory.
        for film in films:
            answer_batch([film])
    for film, prediction in answers:
        if film.keep is not None:
            film.keep(prediction)
        film.answer.set_result(prediction)


def expected(error: Exception, image_id: str) -> CarpalError:
    """Returns an error that a request can tell; what nobody expected is logged with its cause."""
    if isinstance(error, CarpalError):
        return error
    log.error("Film %s failed unexpectedly.", image_id[:12], exc_info=error)
    wrapped = UnexpectedFilmError(
        f"Something unexpected failed with this image ({type(error).__name__}); see the log."
    )
    wrapped.__cause__ = error
    return wrapped
