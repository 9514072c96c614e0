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


def bands_of(spec: TaskSpec, split: bool = True) -> Iterator[Band]:
    """Yields the bands of the task's gate: by the choice first, then ascending.

    Args:
        spec: The task.
        split: By the choice too; without it, each range of the true value is one band.
    """
    rule = spec.gate
    groups: list[tuple[str, str] | None] = [None]
    if split and rule.band_by is not None:
        groups = [(rule.band_by, choice) for choice in spec.target(rule.band_by).choices]
    edges = list(zip(rule.band_edges, rule.band_edges[1:], strict=False))
    for group in groups:
        for i, (low, high) in enumerate(edges):
            yield Band(low, high, i == len(edges) - 1, group)


def bands_for(spec: TaskSpec, target: str) -> Iterator[Band]:
    """Yields the bands in which a target is judged.

    The choice that splits the bands is judged within ranges of the true value alone: within one
    sex, nothing is known of how well sexes are told apart.
    """
    return bands_of(spec, split=target != spec.gate.band_by)
