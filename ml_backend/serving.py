"""The model that serves, replaced while requests run, and the ways to ask it.

Whoever asks takes the predictor from `served` once, calls `submit` for each film and waits for the
answers (`ml_backend.inference.answer_in_time`).

A thread of each process looks at the registry twice a second. A new champion is fetched, checked
and tried out off the request path; then one reference is swapped. A request takes the reference
once and keeps it to its end, so no answer mixes two versions and none waits for a load. A
champion that cannot be loaded changes nothing: the old model goes on serving, and the reason is
on `/health`, on the page and in the metrics.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.domain import Prediction
from data.errors import CarpalError, ModelError, ServiceUnavailableError
from data.images.decoding import DEFAULT_LIMITS, ImageLimits
from ml_backend.decoding_pool import Asked
from ml_backend.inference import Inference
from ml_backend.metrics import MODEL_LOADS, Counters
from ml_backend.model_ports import Predictor, Registry

POLL_S = 0.5
"""A promotion is seen this late at most, plus the time to load."""
RETRY_S = 30.0
"""A champion that could not be loaded is tried again after this long."""
SURPRISE_PAUSES = 10
"""After a failure that nobody expected, looks are this much rarer, and so are its tracebacks."""
FIRST_LOOK_S = 20.0
"""Longest time that a starting process waits for a model before it takes requests: importing torch
and MLflow and loading take 5 s on two idle cores."""
TRIAL_SIZE = 64
"""Edge, in pixels, of the grey ramp that a model has to answer before it serves."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """What serves at one moment.

    Attributes:
        predictor: The model; None: there is none yet.
        error: Why the registry's champion is not the one that serves; empty: it is.
    """

    predictor: Predictor | None = None
    error: str = ""

    @property
    def model_version(self) -> str:
        """Version of the model that serves; empty: there is none."""
        return self.predictor.model_version if self.predictor else ""


class ModelServer:
    """Follows the registry's champion and predicts with it.

    Args:
        open_registry: Called once, in the thread that follows: MLflow takes seconds to import.
        load: Loads the model in a folder.
        task: Name of the task that a model must belong to.
        cache: Folder for fetched models.
        counters: Told of every load, and of what the cache knew.
        poll_s: Seconds between two looks at the registry.
        limits: Under which images are read.
        use_processes: Films are decoded and prepared in processes of their own.
    """

    def __init__(
        self,
        open_registry: Callable[[], Registry],
        load: Callable[[Path], Predictor],
        *,
        task: str,
        cache: Path,
        counters: Counters,
        poll_s: float = POLL_S,
        limits: ImageLimits = DEFAULT_LIMITS,
        use_processes: bool = False,
    ) -> None:
        self._open_registry = open_registry
        self._load = load
        self._task = task
        self._folders = cache
        self._counters = counters
        self._poll_s = poll_s
        self._served = Served()
        self._registry: Registry | None = None
        self._failed: tuple[str, float] = ("", 0.0)
        self._inference = Inference(counters, limits, use_processes=use_processes)
        self._looked = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="model-server", daemon=True)

    def start(self, wait_s: float = FIRST_LOOK_S) -> None:
        """Begins to follow the registry, and returns after the first look at it.

        Args:
            wait_s: The first look is waited for at most this long.
        """
        self._thread.start()
        if wait_s and not self._looked.wait(wait_s):
            log.warning("The model registry has not answered yet; the backend starts without it.")

    def stop(self) -> None:
        """Ends the threads, once every film that was asked for is answered."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._inference.close()

    @property
    def served(self) -> Served:
        """What serves now; a request reads this once."""
        return self._served

    def versions(self) -> list[str]:
        """Returns the versions of all registered models, the one that serves first.

        Raises:
            ServiceUnavailableError: The registry does not answer.
        """
        if self._registry is None:
            raise ServiceUnavailableError("The model registry has not answered yet.")
        serving = self._served.model_version
        names = [model.model_version for model in self._registry.models()]
        return [name for name in names if name == serving] + [n for n in names if n != serving]

    def reserve(self) -> AbstractContextManager[None]:
        """Holds one of the places for requests that wait for the model; see `Inference`."""
        return self._inference.reserve()

    def submit(
        self, predictor: Predictor, asked: Asked, *, remember: bool = True
    ) -> Future[Prediction]:
        """Asks for one film and does not wait; see `Inference`."""
        return self._inference.submit(predictor, asked, remember=remember)

    def look(self) -> None:
        """Looks at the registry once and follows a new champion."""
        try:
            self._look()
        except CarpalError as error:
            self._complain(str(error))
        finally:
            self._looked.set()

    def _follow(self) -> None:
        while not self._stop.is_set():
            pause_s = self._poll_s
            try:
                self.look()
            except Exception:
                # The edge of the thread, where nobody else would notice: the libraries that load a
                # model raise whatever they like, and after any of it the next look is made.
                log.exception("Looking for a new champion failed.")
                self._complain("Looking for a new champion failed unexpectedly; see the log.")
                pause_s *= SURPRISE_PAUSES
            self._stop.wait(pause_s)

    def _look(self) -> None:
        if self._registry is None:
            self._registry = self._open_registry()
        champion = self._registry.champion()
        if champion is None:
            self._serve(None)
            return
        version = champion.model_version
        if version == self._served.model_version:
            self._serve(self._served.predictor)
            return
        failed_version, retry_at = self._failed
        if version == failed_version and time.monotonic() < retry_at:
            return
        self._failed = (version, time.monotonic() + RETRY_S)
        self._serve(self._loaded(self._registry, version))
        self._failed = ("", 0.0)

    def _loaded(self, registry: Registry, version: str) -> Predictor:
        began = time.monotonic()
        self._inference.warm_up()
        try:
            predictor = self._load(registry.fetch(version, self._folders))
            self._try_out(predictor, version)
        except Exception:
            # Nothing is handled here: whatever went wrong is counted and goes on its way.
            self._counters.add(MODEL_LOADS, "failed")
            raise
        self._counters.add(MODEL_LOADS, "loaded")
        log.info("Model %s serves after %.2f s of loading.", version, time.monotonic() - began)
        return predictor

    def _try_out(self, predictor: Predictor, version: str) -> None:
        """Raises ModelError unless the model is the one meant, of our task, and answers."""
        if predictor.model_version != version:
            raise ModelError(f"Model {version} calls itself {predictor.model_version}.")
        if predictor.spec_name != self._task:
            raise ModelError(
                f"Model {version} was trained for {predictor.spec_name!r}, not {self._task!r}."
            )
        predictor.be_quick_with_few()
        if predictor.needs_mask:  # There is none of a ramp.
            return
        ramp = np.tile(np.arange(TRIAL_SIZE, dtype=np.uint8) * 4, (TRIAL_SIZE, 1))
        predictor.predict_prepared([predictor.prepared(ramp, "trial")], ["trial"])

    def _serve(self, predictor: Predictor | None) -> None:
        if predictor is self._served.predictor and not self._served.error:
            return
        self._served = Served(predictor)
        self._counters.set_model_version(self._served.model_version)

    def _complain(self, sentence: str) -> None:
        if self._served.error != sentence:
            log.error("%s Serving: %s.", sentence, self._served.model_version or "no model")
        self._served = Served(self._served.predictor, sentence)
