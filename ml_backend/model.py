"""Carpal as a model class of Label Studio's ML SDK: `setup`, `predict`, `fit`.

The routes of our own server use this same class, so both ways of serving do the same.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from data.errors import InvalidInputError
from labeling_config.codec import prediction_to_json
from ml_backend.hints import Noted, note
from ml_backend.label_config import check_label_config
from ml_backend.pre_annotation import BatchAnswer, TaskAnswer, answer_tasks
from ml_backend.sdk import LabelStudioMLBase, ModelResponse
from ml_backend.services import Services, build_services
from workers.settings import Settings

log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def process_services() -> Services:
    """Returns the parts of this process, built from the environment at the first call."""
    return build_services(Settings.load())


class CarpalModel(LabelStudioMLBase):
    """Pre-annotates with the champion, and passes on that labels have changed.

    Args:
        project_id: Label Studio project, such as `3`.
        label_config: The project's labelling configuration (XML).
        services: The parts to work with; those of the process unless given.

    Raises:
        InvalidInputError: The labelling configuration belongs to another task.
    """

    def __init__(
        self,
        project_id: str | None = None,
        label_config: str | None = None,
        services: Services | None = None,
    ) -> None:
        self.services = services or process_services()
        super().__init__(project_id, label_config)

    def setup(self) -> None:
        """Takes the version of the model that serves; empty while there is none."""
        self.set("model_version", self.services.models.served.model_version)

    def use_label_config(self, label_config: str) -> None:
        """Takes the project's labelling configuration if it is one of our task."""
        check_label_config(self.services.spec, label_config)
        super().use_label_config(label_config)

    def predict(
        self,
        tasks: Sequence[Mapping[str, Any]],
        context: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> ModelResponse:
        """Returns one prediction per task, in order, or an empty list where there is none.

        Args:
            tasks: As Label Studio sends them.
            context: What an expert has drawn in an interactive tag; no task of ours has one.
            **kwargs: What else the SDK hands on (`login`, `password`); nothing of it is needed.
        """
        batch = self.answer(tasks)
        answers = [self.as_json(batch, answer) for answer in batch.answers]
        return ModelResponse(
            model_version=batch.model_version,
            predictions=[answer if "result" in answer else [] for answer in answers],
        )

    def answer(self, tasks: Sequence[object]) -> BatchAnswer:
        """Returns the model's version and one answer per task, in order.

        Raises:
            InvalidInputError: The project is not that of this workspace.
        """
        self._check_project()
        return answer_tasks(self.services, tasks)

    def as_json(self, batch: BatchAnswer, answer: TaskAnswer) -> dict[str, Any] | list[Any]:
        """Returns an answer in the form that Label Studio takes.

        A task without a prediction gets no `result`, for Label Studio stores even an empty one as
        a prediction, and serves the task by its score. It logs `error` instead; for an empty list,
        which says that there is no model yet, it does nothing at all.
        """
        error = answer.error
        if answer.prediction is not None:
            try:
                return prediction_to_json(self.services.spec, answer.prediction)
            except InvalidInputError as refusal:
                error = f"Model {batch.model_version} said what no reader can say: {refusal}"
                log.error("%s", error)
        return {"model_version": batch.model_version, "error": error} if error else []

    def fit(self, event: str, data: Mapping[str, Any], **kwargs: Any) -> Noted:
        """Journals an event of Label Studio and asks for a reconcile; trains nothing itself.

        Args:
            event: `ANNOTATION_CREATED`, `START_TRAINING` and so on.
            data: The webhook's fields.
            **kwargs: What else the SDK hands on (`job_id`); nothing of it is needed.
        """
        return note(self.services, event, data)

    def _check_project(self) -> None:
        known = self.services.project()
        if self.project_id and known is not None and self.project_id != str(known):
            raise InvalidInputError(
                f"Project {self.project_id} is not the project of this workspace, which is {known}."
            )
