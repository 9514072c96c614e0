"""Reads the tables of `task.toml`; whatever is wrong is one sentence that names file and key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from data.errors import TaskConfigError

TASK_FILE = "task.toml"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of `task.toml` that names itself in every complaint.

    Every method refuses, with TaskConfigError, what is not of its kind.

    Attributes:
        task: Name of the task's folder.
        path: Where the table stands in the file, with a dot at its end; empty: the whole file.
        values: What it holds.
    """

    task: str
    path: str
    values: Mapping[str, Any]

    def allow(self, *keys: str) -> None:
        """Refuses keys that are none of these."""
        for key in self.values:
            if key not in keys:
                self.refuse(key, f"is not known here; known are {', '.join(keys)}")

    def section(self, key: str) -> Table:
        """Returns a table within this one; empty where there is none."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            self.refuse(key, "must be a table")
        return Table(self.task, f"{self.path}{key}.", value)

    def text(self, key: str, default: str | None = None) -> str:
        """Returns a text."""
        value = self.values.get(key, default)
        if not isinstance(value, str):
            self.refuse(key, "must be a text")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Returns a finite number."""
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.refuse(key, "must be a number")
        if not math.isfinite(value):
            self.refuse(key, "must be finite")
        return float(value)

    def positive(self, key: str, default: float | None = None) -> float:
        """Returns a number above 0."""
        value = self.number(key, default)
        if value <= 0:
            self.refuse(key, "must be above 0")
        return value

    def refuse(self, key: str, what: str) -> NoReturn:
        """Raises TaskConfigError: one sentence that names the file and the key."""
        raise TaskConfigError(f"{self.task}/{TASK_FILE}: {self.path}{key} {what}.")
