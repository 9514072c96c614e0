"""How a reader's word that a radiograph cannot be read stands in Label Studio's JSON."""

from __future__ import annotations

from data.domain import TaskSpec
from data.errors import InvalidInputError
from labeling_config.fields import checked_value
from labeling_config.regions import Json, items, raw_value, region


def unreadable_reason(spec: TaskSpec, result: object) -> str:
    """Returns why the reader cannot read the radiograph; empty: it was read.

    Raises:
        InvalidInputError: There are two reasons, or an unknown one.
    """
    asked, reason = spec.unreadable, ""
    for item in items(result):
        if asked is None or item.get("from_name") != asked.name:
            continue
        value = raw_value(asked, item.get("value"))
        if value is not None and reason:
            raise InvalidInputError(f"The field '{asked.name}' is given twice.")
        reason = reason if value is None else str(checked_value(asked, value))
    return reason


def unreadable_to_result(spec: TaskSpec, reason: str) -> list[Json]:
    """Returns what Label Studio saves when a reader says that a radiograph cannot be read.

    Raises:
        InvalidInputError: The task does not ask for it, or has no such reason.
    """
    if spec.unreadable is None:
        raise InvalidInputError(f"Task {spec.name} has no field for what cannot be read.")
    value = {"choices": [checked_value(spec.unreadable, reason)]}
    return [{**region(spec, spec.unreadable.name, "choices", value), "origin": "manual"}]
