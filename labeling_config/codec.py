"""The only place that knows Label Studio's JSON: predictions, results, annotations, task data.

Everything here is pure. What comes from outside is checked against the task: Label Studio's API
takes any number and any choice.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from data.domain import Prediction, Radiograph, Reading, Target, TaskSpec, Value
from data.errors import InvalidInputError
from labeling_config.layout import MODEL_NOTE_SUFFIX, Layout, read_layout

Json: TypeAlias = dict[str, Any]
Origin: TypeAlias = Literal["manual", "prediction", "prediction-changed"]

RADIOGRAPH_KEY = "radiograph"
"""Key of a task's `data` that names the radiograph."""
LOCAL_FILES = "/data/local-files/"
"""Where Label Studio serves files below its document root, which is our pool."""
MAX_LEAD_TIME_S = 7 * 24 * 3600.0
_RADIOGRAPH_ID = re.compile(r"[0-9a-f]{64}")


def prediction_to_json(spec: TaskSpec, prediction: Prediction) -> Json:
    """Returns a prediction as `/predict` answers it and Label Studio imports it.

    Numbers are rounded to the field's step, so that a reader who accepts them submits what the
    field shows. Where the configuration has a note for a target, it says how sure the model is.
    """
    layout = _layout(spec)
    values = {
        name: value if isinstance(value, str) else _to_step(layout, spec.target(name), value)
        for name, value in prediction.values.items()
    }
    result: list[Json] = []
    for item in values_to_result(spec, values):
        name = item["from_name"]
        del item["origin"]
        chosen = prediction.probabilities.get(name, {}).get(str(values[name]))
        result.append({**item, "score": prediction.confidence if chosen is None else chosen})
        note = _model_note(spec.target(name), prediction)
        if note and layout.control(name + MODEL_NOTE_SUFFIX) is not None:
            result.append(_region(spec, name + MODEL_NOTE_SUFFIX, "textarea", {"text": [note]}))
    return {
        "model_version": prediction.model_version,
        "score": prediction.confidence,
        "result": result,
    }


def values_to_result(
    spec: TaskSpec, values: Mapping[str, Value], shown: Mapping[str, Value] | None = None
) -> list[Json]:
    """Returns what Label Studio saves when a reader submits these values.

    Args:
        spec: The task.
        values: Target name -> value.
        shown: Target name -> value of the prediction that the reader was shown, if any.

    Raises:
        InvalidInputError: A value is not one that its field can have.
    """
    for name in values:
        if name not in {t.name for t in spec.targets}:
            raise InvalidInputError(f"Task {spec.name} has no field '{name}'.")
    result: list[Json] = []
    for target in spec.targets:
        if target.name in values:
            value = _checked(target, values[target.name])
            region = (
                _region(spec, target.name, "number", {"number": value})
                if target.kind == "number"
                else _region(spec, target.name, "choices", {"choices": [value]})
            )
            result.append({**region, "origin": _origin_of(target.name, value, shown)})
    return result


def result_to_values(spec: TaskSpec, result: object) -> dict[str, Value]:
    """Returns target name -> value; fields that are not targets of the task are ignored.

    A target that only applies when another has a given value is left out when it has not.

    Raises:
        InvalidInputError: A value is out of range, no number, an unknown choice, or given twice.
    """
    targets = {t.name: t for t in spec.targets}
    values: dict[str, Value] = {}
    for item in _items(result):
        name = item.get("from_name")
        if not isinstance(name, str) or name not in targets:
            continue
        if name in values:
            raise InvalidInputError(f"The field '{name}' is given twice.")
        value = _raw_value(targets[name], item.get("value"))
        if value is not None:
            values[name] = _checked(targets[name], value)
    return {n: v for n, v in values.items() if _applies(targets[n], values)}


def annotation_to_reading(
    spec: TaskSpec,
    annotation: Mapping[str, Any],
    *,
    project: int,
    radiograph_id: str,
    reader: str,
) -> Reading:
    """Returns what an annotation says; a skipped or empty one is withdrawn.

    Raises:
        InvalidInputError: A value cannot be one of its field, or Label Studio's own fields are
            not as documented.
    """
    number = annotation.get("id")
    if isinstance(number, bool) or not isinstance(number, int):
        raise InvalidInputError(f"An annotation has the id {number!r}, which is no number.")
    skipped = bool(annotation.get("was_cancelled"))
    result = annotation.get("result")
    values = {} if skipped else result_to_values(spec, result)
    return Reading(
        radiograph_id=radiograph_id,
        reader=reader,
        values=values,
        read_at=_time(annotation.get("updated_at") or annotation.get("created_at")),
        annotation=f"{project}:{number}",
        origin=_origin(values, result, annotation.get("parent_prediction") is not None),
        withdrawn=skipped or not values,
        lead_time_s=_lead_time(annotation.get("lead_time")),
    )


def task_data(spec: TaskSpec, radiograph: Radiograph) -> Json:
    """Returns the `data` of a Label Studio task that shows the radiograph."""
    address = f"{LOCAL_FILES}?d={quote(radiograph.path)}"
    return {spec.image_key: address, RADIOGRAPH_KEY: radiograph.id}


def radiograph_of_task_data(spec: TaskSpec, data: Mapping[str, Any]) -> str | None:
    """Returns the id of the radiograph that a task shows, or None if it is not one of ours."""
    name = data.get(RADIOGRAPH_KEY)
    known = isinstance(name, str) and spec.image_key in data and _RADIOGRAPH_ID.fullmatch(name)
    return str(name) if known else None
