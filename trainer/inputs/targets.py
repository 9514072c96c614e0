"""What a task's targets mean to a training: which are told, normalised labels, which count."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from data.domain import Target, TaskSpec, Value
from data.errors import InvalidInputError, TrainingError
from trainer.options import TrainOptions


@dataclass(frozen=True, slots=True)
class Norm:
    """How a number target is brought to mean 0 and standard deviation 1.

    Attributes:
        mean: Mean of the training labels, in the target's unit.
        sd: Their standard deviation, in the target's unit, > 0.
    """

    mean: float
    sd: float


def trained_targets(spec: TaskSpec, options: TrainOptions) -> tuple[Target, ...]:
    """Returns the targets that a model with these options tells, in the task's order.

    With `only: sex=female` the sex is no question any more, and what applies to such cases alone
    applies to all; with `input_mode: only` nothing but the known input is told.

    Raises:
        TrainingError: The options name a target or a choice that the task does not have.
    """
    if options.input_mode != "implicit" and spec.input is None:
        raise TrainingError(
            f"The task {spec.name} names no input in its task.toml: input_mode must be implicit."
        )
    if options.input_mode == "only":
        return tuple(target for target in spec.targets if target.name == spec.input)
    condition = condition_of(spec, options)
    return tuple(
        replace(t, applies_when=None) if condition and t.applies_when == condition else t
        for t in spec.targets
        if condition is None or t.name != condition[0]
    )


def condition_of(spec: TaskSpec, options: TrainOptions) -> tuple[str, str] | None:
    """Returns the (choice target, its value) that all training cases must have, or None.

    Raises:
        TrainingError: The task has no such choice.
    """
    if not options.only:
        return None
    name, _, value = (part.strip() for part in options.only.partition("="))
    known = {target.name: target.choices for target in spec.targets}
    if value not in known.get(name, ()):
        raise TrainingError(f"The task {spec.name} has no {name}={value} to train on alone.")
    return name, value


def applies(target: Target, values: Mapping[str, Value]) -> bool:
    """Whether a target means anything, given the values of the others."""
    return (
        target.applies_when is None
        or values.get(target.applies_when[0]) == (target.applies_when[1])
    )


def counted(target: Target, values: Mapping[str, Value]) -> Value | None:
    """Returns the value of a target if it is there and applies, otherwise None."""
    return values.get(target.name) if applies(target, values) else None


def fit_norms(targets: Sequence[Target], values: Sequence[Mapping[str, Value]]) -> dict[str, Norm]:
    """Fits the normalisation of every number target to the training labels.

    Raises:
        TrainingError: A target has no labels, or all of its labels are the same (a softmax over
            one class would be sure of itself for ever).
    """
    norms: dict[str, Norm] = {}
    for target in targets:
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
    targets: Sequence[Target], values: Iterable[Mapping[str, Value]], norms: Mapping[str, Norm]
) -> NDArray[np.float32]:
    """Brings labels into the form that the losses read.

    Returns:
        (N, targets): a normalised number or the index of a choice; NaN where the label is absent
        or its target does not apply.

    Raises:
        TrainingError: A label is not a finite number or not one of the choices.
    """
    rows = [[_encode(t, counted(t, row), norms) for t in targets] for row in values]
    return np.asarray(rows, np.float32).reshape(len(rows), len(targets))


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


def encode_known(
    target: Target | None, values: Iterable[Mapping[str, Value]]
) -> NDArray[np.float32]:
    """Brings what is known of the input into the form that the network reads.

    Args:
        target: The choice that is fed; None: nothing is.
        values: Target -> value of each case; an absent one is not known.

    Returns:
        (N, choices): 1 at the known choice, a row of zeros where it is not known.

    Raises:
        InvalidInputError: A value is not one of the choices.
    """
    if target is None:
        return np.zeros((sum(1 for _ in values), 0), np.float32)
    rows = []
    for row in values:
        value = row.get(target.name)
        if value is not None and value not in target.choices:
            raise InvalidInputError(
                f"{target.name} is {value!r}, but must be one of {', '.join(target.choices)}."
            )
        rows.append([float(value == choice) for choice in target.choices])
    return np.asarray(rows, np.float32).reshape(len(rows), len(target.choices))
