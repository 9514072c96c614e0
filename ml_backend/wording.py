"""Values in the words of a page: months as years and months, times, how sure a model is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from data.domain import REFERENCE_READER, Reading, Target, TaskSpec, Value

NBSP = "\u00a0"
"""Keeps a number and its unit on one line."""
MINUS = "\u2212"
WIDE_RANGE = 50.0
"""Numbers whose field spans at least this are written without decimals."""
UNLIKE, VERY_UNLIKE = 1.0, 2.0
"""Novelty above which a film is unlike those that a model learnt from; see `Prediction.novelty`."""

ORIGINS: Mapping[str, str] = {
    "prediction": "confirmed the prediction",
    "prediction-changed": "corrected the prediction",
    "manual": "no prediction shown",
}


def title(target: Target) -> str:
    """Returns a target's name for a person: `Age` for `age_months` in months."""
    return target.name.removesuffix(f"_{target.unit}").replace("_", " ").capitalize()


def disputed(spec: TaskSpec, names: Collection[str]) -> str:
    """Returns what readers are in dispute about."""
    what = [title(target).lower() for target in spec.targets if target.name in names]
    if spec.unreadable is not None and spec.unreadable.name in names:
        what.append("whether the film can be read")
    return ", ".join(what)


def years_and_months(months: float) -> str:
    """Returns a number of months as `9 y 4 m`."""
    years, rest = divmod(round(abs(months)), 12)
    sign = MINUS if round(months) < 0 else ""
    return f"{sign}{years}{NBSP}y{NBSP}{rest}{NBSP}m"


def short(target: Target, value: Value) -> str:
    """Returns a value without its unit, with as many decimals as its field is worth."""
    if isinstance(value, str):
        return value
    wide = (target.maximum or 0.0) - (target.minimum or 0.0) >= WIDE_RANGE
    return f"{value:.0f}" if wide else f"{value:.1f}"


def in_words(target: Target, value: Value) -> str:
    """Returns a value with its unit: `112 months`, `female`."""
    unit = target.unit if target.kind == "number" else ""
    return f"{short(target, value)}{NBSP}{unit}" if unit else short(target, value)


def leading(target: Target, value: Value) -> str:
    """Returns a value as it stands first on a page: an age in years and months."""
    is_age = target.unit == "months" and not isinstance(value, str)
    return years_and_months(float(value)) if is_age else in_words(target, value)


def signed(target: Target, difference: float) -> str:
    """Returns a difference of two values with its sign and unit."""
    number = short(target, abs(difference))
    sign = "" if float(number) == 0 else "+" if difference > 0 else MINUS
    return f"{sign}{number}{NBSP}{target.unit}".rstrip(NBSP)


def moment(when: datetime | None) -> str:
    """Returns a time in UTC to the minute."""
    return "" if when is None else when.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def duration(seconds: float | None) -> str:
    """Returns how long something took: `42 s`, `3 min 5 s`."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}{NBSP}min {rest}{NBSP}s" if minutes else f"{rest}{NBSP}s"


def who(reader: str) -> str:
    """Returns a reader as pages name them."""
    return "source's reference" if reader == REFERENCE_READER else reader


def percent(share: float) -> str:
    """Returns 0..1 as per cent."""
    return f"{100 * share:.0f}{NBSP}%"


def came_about(reading: Reading) -> str:
    """Returns how a reading came about."""
    return ORIGINS[reading.origin]


def novelty(value: float | None) -> tuple[str, str]:
    """Returns how familiar a film is to a model: (`good`, `warn`, `bad` or empty, a sentence)."""
    if value is None:
        return "", "Not known: this model cannot say how familiar a film is to it."
    if value <= UNLIKE:
        return "good", "The film is like those that the model learnt from."
    if value <= VERY_UNLIKE:
        return "warn", (
            "The film is less like those that the model learnt from than 99 in 100 others: "
            "read it with care."
        )
    return "bad", (
        "The film is unlike all that the model learnt from (perhaps no single upright hand): "
        "do not rely on the prediction."
    )
