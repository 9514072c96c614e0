"""What a field of a task can hold: Label Studio's API takes any number and any choice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeGuard

from data.domain import Target, Value
from data.errors import InvalidInputError


def checked_value(target: Target, value: object) -> Value:
    """Returns the value as the field holds it: a finite number in range, or a known choice.

    Raises:
        InvalidInputError: It is none; the sentence names the field and the value.
    """
    if target.kind == "choice":
        if not isinstance(value, str) or value not in target.choices:
            known = ", ".join(target.choices)
            raise InvalidInputError(
                f"The field '{target.name}' cannot be {value!r}; it is one of {known}."
            )
        return value
    try:
        number = float(value) if is_number(value) else math.nan
    except OverflowError:
        number = math.inf
    low = -math.inf if target.minimum is None else target.minimum
    high = math.inf if target.maximum is None else target.maximum
    if not math.isfinite(number) or not low <= number <= high:
        shown = f"{number:g}" if is_number(value) else repr(value)[:40]
        raise InvalidInputError(
            f"The field '{target.name}' cannot be {shown}; it is a number from {low:g} to "
            f"{high:g}{' ' + target.unit if target.unit else ''}."
        )
    return number


def is_number(value: object) -> TypeGuard[int | float]:
    """Returns whether JSON's value is a number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def applies(target: Target, values: Mapping[str, Value]) -> bool:
    """Returns whether the target means anything beside these values of the other targets."""
    if target.applies_when is None:
        return True
    other, wanted = target.applies_when
    return values.get(other) == wanted
