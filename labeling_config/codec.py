"""Label Studio's JSON: predictions, results, annotations, task data (parts: `regions.py`).

Everything here is pure. What comes from outside is checked against the task: Label Studio's API
takes any number and any choice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import parse_qs, quote, urlsplit

from data.domain import Prediction, Radiograph, Reading, Target, TaskSpec, Value
from data.errors import InvalidInputError
from labeling_config.fields import applies, checked_value, is_number
from labeling_config.layout import (
    MODEL_NOTE_SUFFIX,
    MODEL_VERSION_NOTE,
    STANDARDS_KEY,
    Layout,
    read_layout,
)
from labeling_config.model_notes import model_note, version_note
from labeling_config.regions import Json, items, raw_value, region
from labeling_config.standards_html import BEFORE_THE_FIRST_MODEL
from labeling_config.unreadable import unreadable_reason

Origin: TypeAlias = Literal["manual", "prediction", "prediction-changed"]

RADIOGRAPH_KEY = "radiograph"
"""Key of a task's `data` that names the radiograph."""
LOCAL_FILES = "/data/local-files/"
"""Where Label Studio serves files below its document root, which is our pool."""
MAX_LEAD_TIME_S = 7 * 24 * 3600.0
"""A longer lead time is a page that was left open."""
_RADIOGRAPH_ID = re.compile(r"[0-9a-f]{64}")


def prediction_to_json(spec: TaskSpec, prediction: Prediction) -> Json:
    """Returns a prediction as `/predict` answers it and Label Studio imports it.

    Numbers are rounded to the field's step, so that a reader who accepts them submits what the
    field shows. What is recorded with the film, such as the sex, is filled in as recorded, whatever
    the model reads off it. Where the configuration has a note for a target, it says how sure the
    model is.

    Raises:
        InvalidInputError: The model says what the field cannot hold.
    """
    recorded = {n: v for n, v in prediction.used.items() if n not in prediction.predicted_inputs}
    said = {**prediction.values, **recorded}
    values = {
        target.name: _to_step(spec, target, checked_value(target, said[target.name]))
        for target in spec.targets
        if target.name in said and applies(target, said)
    }
    regions = {each["from_name"]: each for each in values_to_result(spec, values)}
    result: list[Json] = []
    for target in spec.targets:
        told = regions.get(target.name)
        if told is not None:
            del told["origin"]
            chances = prediction.probabilities.get(target.name, {})
            told["score"] = chances.get(str(values[target.name]), prediction.confidence)
            result.append(told)
        if applies(target, said):
            note = model_note(spec, target, prediction)
            result += _note(spec, target.name + MODEL_NOTE_SUFFIX, note)
    result += _note(spec, MODEL_VERSION_NOTE, version_note(prediction))
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
            value = checked_value(target, values[target.name])
            told = (
                region(spec, target.name, "number", {"number": value})
                if target.kind == "number"
                else region(spec, target.name, "choices", {"choices": [value]})
            )
            result.append({**told, "origin": _origin_of(target.name, value, shown)})
    return result


def result_to_values(spec: TaskSpec, result: object) -> dict[str, Value]:
    """Returns target name -> value; fields that are not targets of the task are ignored.

    A target that only applies when another has a given value is left out when it has not. Where
    the reader says that the radiograph cannot be read there are no values: what the page was
    filled with comes along, hidden.

    Raises:
        InvalidInputError: A value is out of range, no number, an unknown choice, or given twice.
    """
    if unreadable_reason(spec, result):
        return {}
    targets = {t.name: t for t in spec.targets}
    values: dict[str, Value] = {}
    for item in items(result):
        name = item.get("from_name")
        if not isinstance(name, str) or name not in targets:
            continue
        if name in values:
            raise InvalidInputError(f"The field '{name}' is given twice.")
        value = raw_value(targets[name], item.get("value"))
        if value is not None:
            values[name] = checked_value(targets[name], value)
    return {n: v for n, v in values.items() if applies(targets[n], values)}


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
    result = [] if skipped else annotation.get("result")
    values, reason = result_to_values(spec, result), unreadable_reason(spec, result)
    return Reading(
        radiograph_id=radiograph_id,
        reader=reader,
        values=values,
        read_at=_time(annotation.get("updated_at") or annotation.get("created_at")),
        annotation=f"{project}:{number}",
        origin=_origin(values, result, annotation.get("parent_prediction") is not None),
        withdrawn=skipped or not (values or reason),
        lead_time_s=_lead_time(annotation.get("lead_time")),
        unreadable=reason,
    )


def task_data(spec: TaskSpec, radiograph: Radiograph) -> Json:
    """Returns the `data` of a Label Studio task that shows the radiograph."""
    address = f"{LOCAL_FILES}?d={quote(radiograph.path)}"
    data = {spec.image_key: address, RADIOGRAPH_KEY: radiograph.id}
    return {**data, STANDARDS_KEY: BEFORE_THE_FIRST_MODEL} if shows_standards(spec) else data


def shows_standards(spec: TaskSpec) -> bool:
    """Says whether the page has a place for reference cases beside the film."""
    return _layout(spec.config_xml).shows_standards


def radiograph_of_task_data(spec: TaskSpec, data: Mapping[str, Any]) -> str | None:
    """Returns the id of the radiograph that a task shows, or None if it is not one of ours."""
    name = data.get(RADIOGRAPH_KEY)
    known = isinstance(name, str) and spec.image_key in data and _RADIOGRAPH_ID.fullmatch(name)
    return str(name) if known else None


def local_file_of(address: str, pool: Path) -> Path:
    """Returns the file of the pool that Label Studio serves at an address.

    Args:
        address: `/data/local-files/?d=images/ab/x.png`, with or without scheme and host.
        pool: The pool, which is Label Studio's document root.

    Raises:
        InvalidInputError: The address is another one, or leads out of the pool.
    """
    refusal = InvalidInputError(f"The address {address[:200]!r} is no file of the pool.")
    try:
        parts = urlsplit(address)
        names = parse_qs(parts.query, strict_parsing=True, max_num_fields=4).get("d", [])
    except ValueError as error:
        raise refusal from error
    if not parts.path.rstrip("/").endswith(LOCAL_FILES.rstrip("/")) or len(names) != 1:
        raise refusal
    relative = Path(names[0])
    outside = relative.is_absolute() or ".." in relative.parts
    if outside or "\0" in names[0] or "\\" in names[0] or not relative.name:
        raise refusal
    root = pool.resolve()
    try:
        file = (root / relative).resolve()
    except (OSError, RuntimeError) as error:  # a symbolic link that leads to itself
        raise refusal from error
    if not file.is_relative_to(root):
        raise refusal
    return file


@lru_cache(maxsize=8)
def _layout(config_xml: str) -> Layout:
    return read_layout(config_xml, "the task")


def _note(spec: TaskSpec, name: str, text: str) -> list[Json]:
    """Returns the text as a region, if there is one and the page has a place for it."""
    if not text or _layout(spec.config_xml).control(name) is None:
        return []
    return [region(spec, name, "textarea", {"text": [text]})]


def _to_step(spec: TaskSpec, target: Target, value: Value) -> Value:
    control = _layout(spec.config_xml).control(target.name)
    if isinstance(value, str) or not control or not control.step or control.minimum is None:
        return value
    rounded = control.minimum + round((value - control.minimum) / control.step) * control.step
    return min(rounded, control.maximum or rounded)


def _origin_of(name: str, value: Value, shown: Mapping[str, Value] | None) -> Origin:
    if shown is None or name not in shown:
        return "manual"
    return "prediction" if shown[name] == value else "prediction-changed"


def _origin(values: Mapping[str, Value], result: object, had_prediction: bool) -> Origin:
    """Tells confirmed from corrected.

    A choice that the reader changed is a new region and has the origin `manual` (seen in 1.23.2),
    so anything but `prediction` counts as changed once a prediction was shown.
    """
    origins = {item.get("origin") for item in items(result) if item.get("from_name") in values}
    if not had_prediction and not origins & {"prediction", "prediction-changed"}:
        return "manual"
    return "prediction" if origins == {"prediction"} else "prediction-changed"


def _time(text: object) -> datetime:
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise InvalidInputError(f"An annotation has the time {text!r}.") from error
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def _lead_time(seconds: object) -> float | None:
    if not is_number(seconds) or not 0 <= seconds <= MAX_LEAD_TIME_S:
        return None
    return float(seconds)
