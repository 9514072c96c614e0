"""The bands of the truth in which a model is judged separately, such as girls of 5 to 10 years."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from data.domain import TaskSpec, Value


@dataclass(frozen=True, slots=True)
class Band:
    """One range of the true value, perhaps of one sex only.

    Attributes:
        low: Lowest true value.
        high: End of the range; belongs to the next band, except in the last one.
        closed: The range includes `high`.
        by: (choice target, its true value), or None for all cases.
    """

    low: float
    high: float
    closed: bool
    by: tuple[str, str] | None

    @property
    def name(self) -> str:
        """What a person calls it, such as `female 60-120`."""
        span = f"{self.low:g}-{self.high:g}"
        return f"{self.by[1]} {span}" if self.by else span

    def holds(self, target: str, truth: Mapping[str, Value]) -> bool:
        """Whether a case with these true values belongs to the band."""
        value = truth.get(target)
        if not isinstance(value, int | float):
            return False
        inside = self.low <= value < self.high or (self.closed and value == self.high)
        return inside and (self.by is None or truth.get(self.by[0]) == self.by[1])


@dataclass(frozen=True, slots=True)
class ChoiceBand:
    """The cases of one true choice, perhaps of one sex only.

    A model that errs more often in one of them misses more, or alarms more.

    Attributes:
        value: The true choice.
        by: (another choice target, its true value), or None for all cases.
    """

    value: str
    by: tuple[str, str] | None

    @property
    def name(self) -> str:
        """What a person calls it, such as `female pneumonia`."""
        return f"{self.by[1]} {self.value}" if self.by else self.value

    def holds(self, target: str, truth: Mapping[str, Value]) -> bool:
        """Whether a case with these true values belongs to the band."""
        inside = truth.get(target) == self.value
        return inside and (self.by is None or truth.get(self.by[0]) == self.by[1])


def bands_of(spec: TaskSpec, split: bool = True) -> Iterator[Band]:
    """Yields the bands of a gate on a number: by the choice first, then ascending.

    Args:
        spec: The task; where its gate judges a choice, there are none.
        split: By the choice too; without it, each range of the true value is one band.
    """
    edges = list(zip(spec.gate.band_edges, spec.gate.band_edges[1:], strict=False))
    for group in _groups(spec, split):
        for i, (low, high) in enumerate(edges):
            yield Band(low, high, i == len(edges) - 1, group)


def judged_bands(spec: TaskSpec, split: bool = True) -> Iterator[Band | ChoiceBand]:
    """Yields the bands in which the gate judges: ranges of a number, or each true choice."""
    target = spec.target(spec.gate.target)
    if target.kind == "number":
        yield from bands_of(spec, split)
        return
    for group in _groups(spec, split):
        for choice in target.choices:
            yield ChoiceBand(choice, group)


def bands_for(spec: TaskSpec, target: str) -> Iterator[Band | ChoiceBand]:
    """Yields the bands in which a target is judged.

    The choice that splits the bands is judged within ranges of the true value alone: within one
    sex, nothing is known of how well sexes are told apart.
    """
    return judged_bands(spec, split=target != spec.gate.band_by)


def _groups(spec: TaskSpec, split: bool) -> list[tuple[str, str] | None]:
    by = spec.gate.band_by if split else None
    return [None] if by is None else [(by, choice) for choice in spec.target(by).choices]
