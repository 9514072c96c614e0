"""A scale on which a page lays what models and readers say of one film side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from data.domain import Target
from ml_backend import wording
from workers.case import Case

MAX_TICKS = 9
MONTH_STEPS = (6.0, 12.0, 24.0, 36.0, 60.0)
"""Half a year, or whole years between two ticks."""
MARGIN = 0.06
"""Share of the span that is left free at each end."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place on the ruler.

    Attributes:
        at: Per cent of the ruler's width from its left end.
        text: What is there, for a person.
    """

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Ruler:
    """What is said of one film, from the lowest value to the highest.

    Attributes:
        ticks: With their values.
        interval: Left and right end of the prediction's interval; None: there is none.
        predicted: The prediction; None: there is none.
        readings: The experts' readings that count.
        label: What counts in the end (consensus or reference); None: there is none.
    """

    ticks: tuple[Mark, ...]
    interval: tuple[Mark, Mark] | None
    predicted: Mark | None
    readings: tuple[Mark, ...]
    label: Mark | None


def ruler_of(case: Case, target: Target) -> Ruler | None:
    """Returns the ruler of a case; None: nothing is said of it."""
    said = case.shown.prediction if case.shown else None
    predicted = _number(said.values.get(target.name)) if said else None
    interval = said.intervals.get(target.name) if said else None
    label = _number(case.label.values.get(target.name)) if case.label else None
    readings = [
        (float(reading.values[target.name]), reading.reader)
        for reading in case.readings
        if target.name in reading.values and not reading.withdrawn and reading.annotation
    ]
    values = [v for v in (predicted, label, *(interval or ())) if v is not None]
    values += [value for value, _ in readings]
    if not values:
        return None
    scale = _Scale.around(values, target)

    def mark(value: float, who: str) -> Mark:
        return Mark(scale.at(value), f"{who}: {wording.leading(target, value)}")

    return Ruler(
        ticks=tuple(Mark(scale.at(tick), _tick(target, tick)) for tick in scale.ticks()),
        interval=(mark(interval[0], "lowest"), mark(interval[1], "highest")) if interval else None,
        predicted=None if predicted is None else mark(predicted, "predicted"),
        readings=tuple(mark(value, reader) for value, reader in readings),
        label=None if label is None else mark(label, "label"),
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    step: float

    @classmethod
    def around(cls, values: Sequence[float], target: Target) -> _Scale:
        low, high = min(values), max(values)
        least = 36.0 if target.unit == "months" else (target.tolerance or 1.0) * 4
        spare = max(MARGIN * (high - low), (least - (high - low)) / 2)
        low, high = low - spare, high + spare
        return cls(low, high, _step(high - low, target))

    def at(self, value: float) -> float:
        return round(100 * (value - self.low) / (self.high - self.low), 2)

    def ticks(self) -> list[float]:
        first, last = math.ceil(self.low / self.step), math.floor(self.high / self.step)
        return [number * self.step for number in range(first, last + 1)]


def _step(span: float, target: Target) -> float:
    if target.unit == "months":
        return next((s for s in MONTH_STEPS if span / s <= MAX_TICKS), MONTH_STEPS[-1])
    power = 10.0 ** math.floor(math.log10(span / MAX_TICKS))
    return next(power * n for n in (1, 2, 5, 10) if span / (power * n) <= MAX_TICKS)


def _tick(target: Target, value: float) -> str:
    if target.unit != "months":
        return f"{value:g}"
    return f"{value / 12:g}{wording.NBSP}y"


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
