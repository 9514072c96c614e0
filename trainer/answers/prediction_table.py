"""Predictions as rows of a table that people and programs read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from data.domain import Prediction, Target
from data.values import format_value

Row: TypeAlias = dict[str, str]
"""Column -> cell; what is not known is empty."""

ID, PATH, MODEL, NOVELTY, ERROR = "id", "path", "model", "ood", "error"
YES, NO = "true", "false"


@dataclass(frozen=True, slots=True)
class PredictionTable:
    """The columns that follow from a task's targets.

    Of each number its value and the ends of its interval, of each choice the predicted class and
    its probability; then what was fed as the known input, and whether the model had to predict
    it; how unlike the films learnt the film is; the model; and why there is no prediction.

    Attributes:
        targets: In the order of the columns; what the model does not tell stays empty.
        input: The choice target that may be known before, or None.
    """

    targets: tuple[Target, ...]
    input: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in their order."""
        told = [name for target in self.targets for name in columns_of(target)]
        return (ID, PATH, *told, *self._input_columns(), NOVELTY, MODEL, ERROR)

    def row(self, name: str, path: str, prediction: Prediction) -> Row:
        """Returns the row of a film that was predicted."""
        row = self._row(name, path, prediction.model_version)
        for target in self.targets:
            if target.name in prediction.values:
                cells = _cells(target, prediction)
                row |= dict(zip(columns_of(target), cells, strict=True))
        if self.input is not None and self.input in prediction.used:
            predicted = self.input in prediction.predicted_inputs
            cells = (prediction.used[self.input], YES if predicted else NO)
            row |= dict(zip(self._input_columns(), cells, strict=True))
        row[NOVELTY] = format_value(prediction.novelty)
        return row

    def refused(self, name: str, path: str, model: str, reason: str) -> Row:
        """Returns the row of a film that could not be predicted."""
        return self._row(name, path, model) | {ERROR: " ".join(reason.split())}

    def told(self, row: Mapping[str, str]) -> str | None:
        """Returns the value of the input that the model was told; None: it was told none."""
        used, predicted = (row.get(name, "") for name in self._input_columns() or ("", ""))
        return used if predicted == NO else None

    def typed(self, row: Mapping[str, str]) -> dict[str, float | bool | str | None]:
        """Returns a row for JSON: numbers and truth values as such, None where a cell is empty."""
        texts = {ID, PATH, MODEL, ERROR, *self._input_columns()[:1]}
        texts |= {target.name for target in self.targets if target.kind == "choice"}
        truths = self._input_columns()[1:]
        typed: dict[str, float | bool | str | None] = {}
        for name in self.columns:
            cell = row[name]
            if not cell:
                typed[name] = None
            elif name in truths:
                typed[name] = cell == YES
            else:
                typed[name] = cell if name in texts else float(cell)
        return typed

    def _row(self, name: str, path: str, model: str) -> Row:
        return {**dict.fromkeys(self.columns, ""), ID: name, PATH: path, MODEL: model}

    def _input_columns(self) -> tuple[str, ...]:
        return (f"used_{self.input}", f"{self.input}_predicted") if self.input else ()


def columns_of(target: Target) -> tuple[str, ...]:
    """Returns the columns of a target: `age_months`, `age_low`, `age_high`, without the unit."""
    if target.kind == "choice":
        return target.name, f"{target.name}_probability"
    short = target.name.removesuffix(f"_{target.unit}")
    return target.name, f"{short}_low", f"{short}_high"


def _cells(target: Target, prediction: Prediction) -> tuple[str, ...]:
    value = prediction.values[target.name]
    if target.kind == "choice":
        return str(value), format_value(prediction.probabilities[target.name][str(value)])
    low, high = prediction.intervals[target.name]
    return format_value(value), format_value(low), format_value(high)
