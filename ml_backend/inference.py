"""The way of a film through a process: made ready, computed with others, remembered.

Films are decoded and prepared in a pool of threads (`decoding_pool.py`), computed together with
those of other requests (`batching.py`), and what is said of films that the ledger does not keep is
remembered for the next time (`answer_cache.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from data.domain import Prediction
from data.images.decoding import ImageLimits
from ml_backend.answer_cache import AnswerCache
from ml_backend.batching import Batcher, BusyError
from ml_backend.decoding_pool import Asked, DecodingPool
from ml_backend.metrics import PREDICTION_CACHE, Counters
from ml_backend.model_ports import Predictor

MAX_COMPUTING = 16
"""Requests that may wait for the model at the same time. It is half of the server's threads, so
that `/health`, webhooks and stored predictions never wait for a model."""
PREDICT_LIMIT_S = 80.0
"""Longest time that an answer is waited for."""


class Inference:
    """What the requests of a process share.

    Args:
        counters: Told of what the cache knew.
        limits: Largest image that is decoded.
        use_processes: Films are decoded and prepared in processes of their own.
    """

    def __init__(
        self, counters: Counters, limits: ImageLimits, *, use_processes: bool = False
    ) -> None:
        self._counters = counters
        self._batcher = Batcher()
        self._pool = DecodingPool(self._batcher, limits, use_processes=use_processes)
        self._cache = AnswerCache()
        self._places = threading.BoundedSemaphore(MAX_COMPUTING)

    @contextmanager
    def reserve(self) -> Iterator[None]:
        """Holds one of the places for requests that wait for the model.

        Raises:
            BusyError: All places are taken.
        """
        if not self._places.acquire(blocking=False):
            raise BusyError(
                "The backend computes as many predictions as it can; ask again in a moment."
            )
        try:
            yield
        finally:
            self._places.release()

    def submit(
        self, predictor: Predictor, asked: Asked, *, remember: bool = True
    ) -> Future[Prediction]:
        """Asks for one film and does not wait.

        Args:
            predictor: The model; a request takes it once, for all of its films.
            asked: The film.
            remember: Look into the cache first, and keep the answer there; for films that the
                ledger does not keep.

        Returns:
            Told the prediction, or a CarpalError.

        Raises:
            BusyError: As many films wait as may.
        """
        if not remember:
            return self._pool.submit(predictor, asked)
        found = self._cache.get(asked.id, predictor.model_version, asked.known)
        self._counters.add(PREDICTION_CACHE, "miss" if found is None else "hit")
        if found is None:
            keep = self._cache.put
            return self._pool.submit(predictor, asked, lambda said: keep(said, asked.known))
        answer: Future[Prediction] = Future()
        answer.set_result(found)
        return answer

    def warm_up(self) -> None:
        """Starts what the first film would have to wait for."""
        self._pool.warm_up()

    def close(self) -> None:
        """Takes no more films, and returns once those that were asked for are answered."""
        self._pool.close()
        self._batcher.close()


def answer_in_time(answer: Future[Prediction]) -> Prediction:
    """Waits for an answer, `PREDICT_LIMIT_S` at most.

    Raises:
        BusyError: It did not come in time.
        CarpalError: There is an error instead.
    """
    try:
        return answer.result(PREDICT_LIMIT_S)
    except TimeoutError as error:
        answer.cancel()
        raise BusyError("The model did not answer in time; ask again in a moment.") from error
