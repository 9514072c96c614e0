"""What a task's targets mean to a network: outputs, normalised labels, and which ones count."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.domain import Target, TaskSpec, Value
from data.errors import TrainingError

NUMBER_OUTPUTS = 2
"""A number target has two outputs: location and logarithm of the spread, both normalised."""

LOG_SPREAD_RANGE = (-4.0, 3.0)
"""Bounds of the log-spread: one label that is met exactly must not earn without end."""


@dataclass(frozen=True, slots=True)
class Norm:
    """How a number target is brought to mean 0 and standard deviation 1.

    Attributes:
        mean: Mean of the training labels, in the target's unit.
        sd: Their standard deviation, in the target's unit, > 0.
    """

    mean: float
    sd: float


def outputs_of(target: Target) -> int:
    """Returns how many outputs the network needs for a target."""
    return len(target.choices) if target.kind == "choice" else NUMBER_OUTPUTS


def applies(target: Target, values: Mapping[str, Value]) -> bool:
    """Whether a target means anything, given the values of the others."""
    return (
        target.applies_when is None
        or values.get(target.applies_when[0]) == (target.applies_when[1])
    )


def counted(target: Target, values: Mapping[str, Value]) -> Value | None:
    """Returns the value of a target if it is there and applies, otherwise None."""
    return values.get(target.name) if applies(target, values) else None


def fit_norms(spec: TaskSpec, values: Sequence[Mapping[str, Value]]) -> dict[str, Norm]:
    """Fits the normalisation of every number target to the training labels.

    Raises:
        TrainingError: A target has no labels, or all of its labels are the same (a softmax over
            one class would be sure of itself for ever).
    """
    norms: dict[str, Norm] = {}
    for target in spec.targets:
        labels = [v for v in (counted(target, row) for row in values) if v is not None]
        if not labels:
            raise TrainingError(f"No training image has a label for {target.name}: label some.")
        if len(set(labels)) < 2:
            raise TrainingError(
                f"All {len(labels)} training labels of {target.name} are {labels[0]}: "
                "label radiographs with another value, too."
            )
        if target.kind == "number":
            numbers = np.asarray(labels, np.float64)
            norms[target.name] = Norm(float(numbers.mean()), float(numbers.std()))
    return norms


def encode(
    spec: TaskSpec, values: Iterable[Mapping[str, Value]], norms: Mapping[str, Norm]
) -> NDArray[np.float32]:
    """Brings labels into the form that the losses read.

    Returns:
        (N, targets): a normalised number or the index of a choice; NaN where the label is absent
        or its target does not apply.

    Raises:
        TrainingError: A label is not a finite number or not one of the choices.
    """
    rows = [[_encode(t, counted(t, row), norms) for t in spec.targets] for row in values]
    return np.asarray(rows, np.float32).reshape(len(rows), len(spec.targets))


def _encode(target: Target, value: Value | None, norms: Mapping[str, Norm]) -> float:
    if value is None:
        return math.nan
    if target.kind == "choice":
        if value not in target.choices:
            raise TrainingError(f"The label {value!r} is not one of the choices of {target.name}.")
        return target.choices.index(str(value))
    if isinstance(value, str) or not math.isfinite(value):
        raise TrainingError(f"The label {value!r} of {target.name} is not a finite number.")
    norm = norms[target.name]
    return (value - norm.mean) / norm.sd
