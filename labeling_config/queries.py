"""Questions to Label Studio's task list (`GET /api/tasks`), and its answers as typed values.

The list is read page by page behind the last id that was seen, not by page numbers: tasks that
come or go while it is read shift pages, and a shifted page would hide a task for ever.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from data.errors import LabelStudioError

Json: TypeAlias = dict[str, Any]

PAGE = 500
"""Tasks in one answer."""
MAX_IDS_TEXT = 500
"""Label Studio cuts a task's list of annotation ids after this many characters."""
ANNOTATION_FIELDS = (
    "id,data,updated_at,annotations,result,was_cancelled,completed_by,created_at,lead_time,"
    "parent_prediction,ground_truth"
)
"""Fields that are answered, of tasks and of their annotations: the two share one list."""


@dataclass(frozen=True, slots=True)
class TaskState:
    """A Label Studio task and its annotations as they are now.

    Attributes:
        task_id: Label Studio's id.
        data: Its `data`.
        updated_at: When the task or one of its annotations last changed, UTC.
        annotations: As Label Studio's API answers them; skipped ones included.
        predictions: As the API answers them; only of the task that comes next.
    """

    task_id: int
    data: Mapping[str, Any]
    updated_at: datetime
    annotations: tuple[Mapping[str, Any], ...]
    predictions: tuple[Mapping[str, Any], ...] = ()


def task_state(answer: Any) -> TaskState:
    """Reads a task from an answer.

    Raises:
        LabelStudioError: It does not have the documented form.
    """
    try:
        time = datetime.fromisoformat(answer["updated_at"])
        return TaskState(
            task_id=int(answer["id"]),
            data=dict(answer["data"]),
            updated_at=time.astimezone(UTC),
            annotations=tuple(answer.get("annotations") or ()),
            predictions=tuple(answer.get("predictions") or ()),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise LabelStudioError("Label Studio answered with a task of unknown form.") from error


def changed_since(time: datetime) -> Json:
    """Returns the filter for tasks that changed, or whose annotations did, at or after a time."""
    text = time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return _filter("updated_at", "greater_or_equal", "Datetime", text)


def behind(task: int) -> Json:
    """Returns the filter for tasks with a greater id."""
    return _filter("id", "greater", "Number", task)


def one_of(tasks: Sequence[int]) -> Json:
    """Returns the filter for tasks with these ids."""
    return _filter("id", "in_list", "List", list(tasks))


def annotated() -> Json:
    """Returns the filter for tasks with an annotation, skipped ones included."""
    return _filter("annotations_ids", "empty", "String", "false")


def predicted_by(model_version: str) -> Json:
    """Returns the filter for tasks with a prediction of a model version."""
    return _filter("predictions_model_versions", "contains", "List", [model_version])


def task_list(
    project: int, filters: Sequence[Json], fields: str, *, everything: bool = False
) -> dict[str, str | int]:
    """Returns the parameters of a request for the first page of tasks that pass all filters.

    Args:
        project: Project id.
        filters: What to ask for.
        fields: Comma-separated names of what is answered.
        everything: Also answer annotations and predictions, where `fields` names them.
    """
    query = {"filters": {"conjunction": "and", "items": list(filters)}}
    return {
        "project": project,
        "page_size": PAGE,
        "resolve_uri": "false",
        "fields": "all" if everything else "task_only",
        "include": fields,
        "query": json.dumps(query),
    }


def _filter(field: str, operator: str, kind: str, value: object) -> Json:
    return {"filter": f"filter:tasks:{field}", "operator": operator, "type": kind, "value": value}
