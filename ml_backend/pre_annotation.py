"""Answers a batch of Label Studio tasks: what is stored first, then what can be computed in time.

One model version answers the whole batch. Each task is answered for itself: an image that cannot
be read costs its own task the prediction, never the others theirs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.domain import Prediction
from data.errors import (
    AccessError,
    CarpalError,
    ImageError,
    InvalidInputError,
    NotFoundError,
    ServiceUnavailableError,
)
from data.images.decoding import content_id, decode
from ml_backend.metrics import PRE_ANNOTATIONS, REFUSED_TASKS
from ml_backend.services import Services
from ml_backend.serving import BusyError, Predictor
from ml_backend.task_images import PoolImage, Upload, image_of_task, read_pool_image

BUDGET_S = 80.0
"""Label Studio gives a batch up 100 s after asking; what is not computed by then is postponed."""
BATCH_IMAGES = 16
"""Images that go through the model together."""
BATCH_PIXELS = 128_000_000
"""Decoded pixels (one byte each) that a request holds at most, one image more at the edge."""

TASK_ERRORS = (InvalidInputError, NotFoundError, AccessError, ServiceUnavailableError)
"""What can be wrong with one task. Other errors, such as a broken ledger, end the request."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TaskAnswer:
    """The answer for one task.

    Attributes:
        prediction: What the model says; None: nothing.
        error: Why there is no prediction; empty if there is one, or if there is no model yet.
    """

    prediction: Prediction | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """The answers for a batch.

    Attributes:
        model_version: The version that answered; empty: there is no model yet.
        answers: One per task, in order.
    """

    model_version: str
    answers: list[TaskAnswer]


def answer_tasks(services: Services, tasks: Sequence[object]) -> BatchAnswer:
    """Answers tasks as Label Studio sends them.

    Raises:
        LedgerError, StorageError: Predictions cannot be looked up or kept; what could not be
            traced later is not shown.
    """
    served = services.models.served
    if served.predictor is None:
        services.counters.add(PRE_ANNOTATIONS, "no_model", amount=len(tasks))
        return BatchAnswer("", [TaskAnswer() for _ in tasks])
    return _Batch(services, served.predictor, tasks).run()


class _Batch:
    """One batch on its way; the answers fill up as its tasks are dealt with."""

    def __init__(self, services: Services, predictor: Predictor, tasks: Sequence[object]) -> None:
        self._services = services
        self._predictor = predictor
        self._tasks = tasks
        self._deadline = time.monotonic() + BUDGET_S
        self._answers: dict[int, TaskAnswer] = {}

    def run(self) -> BatchAnswer:
        waiting = self._look_up()
        if waiting:
            try:
                with self._services.models.reserve():
                    self._compute(waiting)
            except BusyError as error:
                for numbers in waiting.values():
                    self._postpone(numbers, str(error))
        answers = [self._answers[number] for number in range(len(self._tasks))]
        return BatchAnswer(self._predictor.model_version, answers)

    def _look_up(self) -> dict[PoolImage | Upload, list[int]]:
        """Answers what is stored; returns the other images and the tasks that show each."""
        waiting: dict[PoolImage | Upload, list[int]] = {}
        for number, task in enumerate(self._tasks):
            try:
                image = image_of_task(self._services, task)
            except TASK_ERRORS as error:
                self._refuse([number], error)
                continue
            stored = None
            if isinstance(image, PoolImage):
                version = self._predictor.model_version
                stored = self._services.ledger.prediction(image.radiograph.id, version)
            if stored is None:
                waiting.setdefault(image, []).append(number)
            else:
                self._answer([number], stored, "stored")
        return waiting

    def _compute(self, waiting: Mapping[PoolImage | Upload, list[int]]) -> None:
        batch: list[_Decoded] = []
        for image, numbers in waiting.items():
            if time.monotonic() > self._deadline:
                self._postpone(numbers, "The batch is too large for one request; ask again.")
                continue
            try:
                batch.append(self._decode(image, numbers))
            except TASK_ERRORS as error:
                self._refuse(numbers, error)
            if len(batch) >= BATCH_IMAGES or sum(d.pixels.size for d in batch) >= BATCH_PIXELS:
                self._predict(batch)
                batch = []
        if batch:
            self._predict(batch)

    def _decode(self, image: PoolImage | Upload, numbers: list[int]) -> _Decoded:
        if isinstance(image, PoolImage):
            pixels = read_pool_image(self._services, image)
            return _Decoded(image.radiograph.id, pixels, numbers, in_pool=True)
        payload = self._services.fetch_upload(image.address)
        pixels = decode(payload, self._services.limits)
        adopted = self._services.ledger.radiograph(content_id(payload)) is not None
        return _Decoded(content_id(payload), pixels, numbers, in_pool=adopted)

    def _predict(self, batch: list[_Decoded]) -> None:
        try:
            predictions = self._services.models.predict(
                self._predictor, [d.pixels for d in batch], [d.id for d in batch]
            )
        except ImageError as error:
            if len(batch) == 1:
                self._refuse(batch[0].tasks, error)
                return
            for decoded in batch:
                self._predict([decoded])
            return
        pairs = list(zip(batch, predictions, strict=True))
        self._services.ledger.add_predictions([p for decoded, p in pairs if decoded.in_pool])
        for decoded, prediction in pairs:
            self._answer(decoded.tasks, prediction, "computed")

    def _answer(self, numbers: Sequence[int], prediction: Prediction, outcome: str) -> None:
        self._services.counters.add(PRE_ANNOTATIONS, outcome, amount=len(numbers))
        self._answers.update((number, TaskAnswer(prediction)) for number in numbers)

    def _postpone(self, numbers: Sequence[int], sentence: str) -> None:
        self._services.counters.add(PRE_ANNOTATIONS, "postponed", amount=len(numbers))
        self._answers.update((number, TaskAnswer(error=sentence)) for number in numbers)

    def _refuse(self, numbers: Sequence[int], error: CarpalError) -> None:
        self._services.counters.add(PRE_ANNOTATIONS, "refused", amount=len(numbers))
        self._services.counters.add(REFUSED_TASKS, _reason(error), amount=len(numbers))
        for number in numbers:
            log.warning("Task %s gets no prediction: %s", _name(self._tasks[number]), error)
            self._answers[number] = TaskAnswer(error=str(error))


@dataclass(frozen=True, slots=True)
class _Decoded:
    """A decoded image on its way to the model.

    Attributes:
        id: SHA-256 of its file.
        pixels: Grey, (height, width).
        tasks: The tasks that show it, by their number in the request.
        in_pool: The ledger knows it, so its prediction is kept.
    """

    id: str
    pixels: NDArray[np.uint8]
    tasks: list[int]
    in_pool: bool


def _reason(error: CarpalError) -> str:
    for kind, reason in (
        (ImageError, "unreadable"),
        (NotFoundError, "not_found"),
        (InvalidInputError, "invalid_address"),
        (ServiceUnavailableError, "unavailable"),
    ):
        if isinstance(error, kind):
            return reason
    return "other"


def _name(task: object) -> str:
    """Returns a task's id for the log; what came from outside is kept short and printable."""
    number = task.get("id") if isinstance(task, Mapping) else None
    return repr(number)[:40]
