"""The parts of a result in Label Studio's JSON: one region for each field that was filled in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from data.domain import Target, TaskSpec
from data.errors import InvalidInputError

Json: TypeAlias = dict[str, Any]


def region(spec: TaskSpec, name: str, kind: str, value: Json) -> Json:
    """Returns the region of a field that belongs to the task's image.

    Args:
        spec: The task.
        name: The field's `name`.
        kind: `number`, `choices` or `textarea`.
        value: What it holds, under a key named after the kind.
    """
    return {"id": name, "from_name": name, "to_name": spec.image_tag, "type": kind, "value": value}


def items(result: object) -> Iterator[Mapping[str, Any]]:
    """Yields the regions of a result.

    Raises:
        InvalidInputError: It is no list of objects.
    """
    if not isinstance(result, list):
        raise InvalidInputError("The result of an annotation is not a list.")
    for item in result:
        if not isinstance(item, dict):
            raise InvalidInputError(
                "The result of an annotation holds something else than objects."
            )
        yield item


def raw_value(target: Target, value: object) -> object:
    """Returns the number or choice inside a region's `value`, or None for an empty field.

    Raises:
        InvalidInputError: It has another form, or holds more than one choice.
    """
    if not isinstance(value, dict):
        raise InvalidInputError(f"The field '{target.name}' has no value.")
    if target.kind == "number":
        return value.get("number")
    chosen = value.get("choices")
    if not chosen:
        return None
    if not isinstance(chosen, list) or len(chosen) != 1:
        raise InvalidInputError(f"The field '{target.name}' needs one choice, not {chosen!r}.")
    return chosen[0]
