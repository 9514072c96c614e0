"""The serving model once more, for questions about itself.

An explanation hooks into the network while it computes. So it has a copy of its own: what is asked
of the model that serves meanwhile neither waits for it nor is mixed up with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from workers.assembly import mask_store, registry
from workers.settings import Settings

if TYPE_CHECKING:
    from trainer.predictor import Predictor


class ExplainingModel:
    """One model at a time, loaded when it is first asked, for one thread at a time.

    Args:
        load: Loads the model of a version.
    """

    def __init__(self, load: Callable[[str], Predictor]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._loaded: Predictor | None = None

    @contextmanager
    def use(self, model_version: str) -> Iterator[Predictor]:
        """Holds the model of that version; others wait.

        Raises:
            NotFoundError: No such model is registered.
            ModelError: It is damaged.
            ServiceUnavailableError: MLflow does not answer.
        """
        with self._lock:
            if self._loaded is None or self._loaded.model_version != model_version:
                self._loaded = self._load(model_version)
            yield self._loaded


def load_explaining(settings: Settings, model_version: str) -> Predictor:
    """Loads a registered model; errors as of `ExplainingModel.use`."""
    from trainer.predictor import Predictor

    folder = registry(settings).fetch(model_version, settings.cache / "models")
    return Predictor.load(folder, settings.device, find_mask=mask_store(settings).find)
