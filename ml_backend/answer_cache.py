"""The latest predictions of films that the ledger does not know.

What is said of a film of the pool is kept in the ledger for ever. An upload, or an image that
somebody sends, leaves nothing behind, but is often asked for again at once: by the page that is
opened a second time, or by the script that is run again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TypeAlias

from data.domain import Prediction
from ml_backend.model_ports import Known

MOST_KEPT = 4096
"""Some 2 kB each."""

Key: TypeAlias = tuple[str, str, frozenset[tuple[str, str]]]


class AnswerCache:
    """Remembers predictions by image, model version and what was told; may be shared by threads.

    Args:
        most_kept: Predictions that are remembered; beyond, those go that were asked for the
            longest time ago.
    """

    def __init__(self, most_kept: int = MOST_KEPT) -> None:
        self._most_kept = most_kept
        self._answers: OrderedDict[Key, Prediction] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, image_id: str, model_version: str, known: Known) -> Prediction | None:
        """Returns what a model version said of an image when it was told the same."""
        key = image_id, model_version, frozenset(known.items())
        with self._lock:
            found = self._answers.get(key)
            if found is not None:
                self._answers.move_to_end(key)
            return found

    def put(self, prediction: Prediction, known: Known) -> None:
        """Remembers a prediction, made by a model that was told `known`."""
        key = prediction.radiograph_id, prediction.model_version, frozenset(known.items())
        with self._lock:
            self._answers[key] = prediction
            self._answers.move_to_end(key)
            if len(self._answers) > self._most_kept:
                self._answers.popitem(last=False)
