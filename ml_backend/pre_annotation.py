"""Answers a batch of Label Studio tasks: what is stored first, then what can be computed in time.

One model version answers the whole batch. Each task is answered for itself: an image that cannot
be read costs its own task the prediction, never the others theirs.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from data.domain import Prediction
from data.errors import (
    AccessError,
    CarpalError,
    ImageError,
    InvalidInputError,
    ModelError,
    NotFoundError,
    ServiceUnavailableError,
)
from data.images.decoding import content_id
from ml_backend.batching import BusyError, UnexpectedFilmError
from ml_backend.decoding_pool import Asked
from ml_backend.metrics import PRE_ANNOTATIONS, REFUSED_TASKS
from ml_backend.model_ports import Predictor
from ml_backend.services import Services
from ml_backend.task_images import (
    PoolAddress,
    PoolImage,
    Upload,
    address_of_task,
    pool_image,
)
from workers.recorded import recorded_inputs

BUDGET_S = 80.0
"""Label Studio gives a batch up 100 s after asking; what is not computed by then is postponed."""
FILMS_AHEAD = 48
"""Films of one request that are being read or computed at a time. Enough to fill batches; and no
other request waits for more of them than these."""
KEPT_TOGETHER = 64
"""Predictions that are written to the ledger together."""
TOO_LARGE = "The batch is too large for one request; ask again."

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
        self._unkept: list[tuple[_Pending, Prediction]] = []

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
        shown = self._images()
        version = self._predictor.model_version
        pooled = {image.radiograph.id for image in shown if isinstance(image, PoolImage)}
        stored = self._services.ledger.predictions_among(pooled, version) if pooled else {}
        waiting = {}
        for image, numbers in shown.items():
            if isinstance(image, PoolImage) and image.radiograph.id in stored:
                self._answer(numbers, stored[image.radiograph.id], "stored")
            else:
                waiting[image] = numbers
        return waiting

    def _images(self) -> dict[PoolImage | Upload, list[int]]:
        """Returns the images of the tasks that have one, and the tasks that show each."""
        addresses: dict[int, PoolAddress | Upload] = {}
        for number, task in enumerate(self._tasks):
            try:
                addresses[number] = address_of_task(self._services, task)
            except TASK_ERRORS as error:
                self._refuse([number], error)
        wanted = {one.id for one in addresses.values() if isinstance(one, PoolAddress)}
        known = self._services.ledger.radiographs_among(wanted) if wanted else {}
        shown: dict[PoolImage | Upload, list[int]] = {}
        for number, address in addresses.items():
            try:
                image = (
                    pool_image(self._services, address, known.get(address.id))
                    if isinstance(address, PoolAddress)
                    else address
                )
                shown.setdefault(image, []).append(number)
            except TASK_ERRORS as error:
                self._refuse([number], error)
        return shown

    def _compute(self, waiting: Mapping[PoolImage | Upload, list[int]]) -> None:
        """Has films computed while the next are read, and keeps what is said of them."""
        ahead: deque[_Pending] = deque()
        try:
            for image, numbers in waiting.items():
                if time.monotonic() > self._deadline:
                    self._postpone(numbers, TOO_LARGE)
                    continue
                try:
                    ahead.append(self._begin(image, numbers))
                except BusyError as error:
                    self._postpone(numbers, str(error))
                except TASK_ERRORS as error:
                    self._refuse(numbers, error)
                if len(ahead) >= FILMS_AHEAD:
                    self._finish(ahead.popleft())
            while ahead:
                self._finish(ahead.popleft())
            self._keep()
        finally:
            for pending in ahead:  # Something failed that ends the request.
                pending.answer.cancel()

    def _begin(self, image: PoolImage | Upload, numbers: list[int]) -> _Pending:
        services = self._services
        if isinstance(image, PoolImage):
            asked = Asked(
                image.radiograph.id,
                image.path,
                recorded_inputs(services.spec, image.radiograph),
            )
            return self._submit(asked, numbers, in_pool=True)
        payload = services.fetch_upload(image.address)
        adopted = services.ledger.radiograph(content_id(payload))
        known = {} if adopted is None else recorded_inputs(services.spec, adopted)
        asked = Asked(content_id(payload), payload, known)
        return self._submit(asked, numbers, in_pool=adopted is not None)

    def _submit(self, asked: Asked, numbers: list[int], *, in_pool: bool) -> _Pending:
        answer = self._services.models.submit(self._predictor, asked, remember=not in_pool)
        return _Pending(answer, numbers, in_pool)

    def _finish(self, pending: _Pending) -> None:
        """Waits for a film; once some have come, what is said of them is kept and answered."""
        try:
            prediction = pending.answer.result(max(0.0, self._deadline - time.monotonic()))
        except TimeoutError:
            pending.answer.cancel()
            self._postpone(pending.tasks, TOO_LARGE)
        except (*TASK_ERRORS, ModelError, UnexpectedFilmError) as error:
            self._refuse(pending.tasks, error)
        else:
            self._unkept.append((pending, prediction))
            if len(self._unkept) >= KEPT_TOGETHER:
                self._keep()

    def _keep(self) -> None:
        """Writes predictions to the ledger and only then answers with them."""
        films, self._unkept = self._unkept, []
        kept = [prediction for pending, prediction in films if pending.in_pool]
        if kept:
            self._services.ledger.add_predictions(kept)
        for pending, prediction in films:
            self._answer(pending.tasks, prediction, "computed")

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
class _Pending:
    """A film on its way through the model.

    Attributes:
        answer: Told what the model says of it.
        tasks: The tasks that show it, by their number in the request.
        in_pool: The ledger knows it, so its prediction is kept.
    """

    answer: Future[Prediction]
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
