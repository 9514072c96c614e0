"""Things in the order of a value, and those around a value that is asked for."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, Self, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shelf(Generic[T]):
    """Things by value.

    Attributes:
        values: Ascending, each once.
        of_value: The things of each value, the best first.
    """

    values: list[float] = field(default_factory=list)
    of_value: list[list[T]] = field(default_factory=list)

    @classmethod
    def of(cls, things: Iterable[tuple[float, T]]) -> Self:
        """Makes a shelf of (value, thing) pairs that ascend; of one value, the best come first."""
        shelf = cls()
        for value, thing in things:
            if not shelf.values or shelf.values[-1] != value:
                shelf.values.append(value)
                shelf.of_value.append([])
            shelf.of_value[-1].append(thing)
        return shelf

    def below(self, low: float) -> Iterator[T]:
        """Yields those below `low`, the nearest first."""
        for index in range(bisect_left(self.values, low) - 1, -1, -1):
            yield from self.of_value[index]

    def above(self, high: float) -> Iterator[T]:
        """Yields those above `high`, the nearest first."""
        for index in range(bisect_right(self.values, high), len(self.values)):
            yield from self.of_value[index]

    def around(self, value: float, low: float, high: float) -> Iterator[T]:
        """Yields those of `low` to `high`, the nearest to `value` first, lower before higher."""
        right = bisect_left(self.values, value)
        left = right - 1
        first, end = bisect_left(self.values, low), bisect_right(self.values, high)
        while left >= first or right < end:
            is_left = left >= first and (
                right >= end or value - self.values[left] <= self.values[right] - value
            )
            yield from self.of_value[left if is_left else right]
            left, right = (left - 1, right) if is_left else (left, right + 1)
