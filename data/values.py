"""Turn the value of a target into text and back, in one way everywhere."""

from __future__ import annotations

import math

from data.domain import Target, Value
from data.errors import InvalidInputError


def parse_value(target: Target, text: str) -> Value:
    """Reads one value as `target` wants it: a number in its range, or one of its choices.

    Raises:
        InvalidInputError: The text is not such a value; the sentence names the target.
    """
    if target.kind == "choice":
        if text in target.choices:
            return text
        raise InvalidInputError(
            f"{target.name} is {text!r}, but must be one of {', '.join(target.choices)}."
        )
    try:
        number = float(text)
    except ValueError as error:
        raise InvalidInputError(f"{target.name} is {text!r}, which is not a number.") from error
    if not math.isfinite(number):
        raise InvalidInputError(f"{target.name} is {text!r}, which is not a finite number.")
    low = -math.inf if target.minimum is None else target.minimum
    high = math.inf if target.maximum is None else target.maximum
    if not low <= number <= high:
        raise InvalidInputError(
            f"{target.name} is {text}, but must lie in {low:g} to {high:g} {target.unit}".rstrip()
            + "."
        )
    return number


def format_value(value: Value | None) -> str:
    """Writes one value for a CSV cell: at most 10 significant digits; absent is empty."""
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.10g}"
