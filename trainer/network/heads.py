"""What each target asks of the network, and how the outputs of its head are to be read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data.domain import Target
from trainer.inputs.targets import Norm
from trainer.options import TrainOptions

LOG_SPREAD_RANGE = (-4.0, 3.0)
"""Bounds of the log-spread: one label that is met exactly must not earn without end."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of one target.

    A choice has one logit per class. A number has either two outputs, location and logarithm of
    the spread, or one logit per bin; everything normalised.

    Attributes:
        target: What it tells.
        outputs: Outputs of the network.
        norm: Normalisation of a number; None for a choice.
        bins: Normalised values of the bins of a distribution; empty for any other head.
        label_spread: Normalised spread of a label over the bins.
    """

    target: Target
    outputs: int
    norm: Norm | None = None
    bins: tuple[float, ...] = ()
    label_spread: float = 0.0


def heads_of(
    targets: Sequence[Target], norms: Mapping[str, Norm], options: TrainOptions
) -> tuple[Head, ...]:
    """Returns the heads of the targets that are trained, in their order."""
    return tuple(_head(target, norms, options) for target in targets)


def _head(target: Target, norms: Mapping[str, Norm], options: TrainOptions) -> Head:
    if target.kind == "choice":
        return Head(target, len(target.choices))
    norm = norms[target.name]
    if options.number_head == "regression":
        return Head(target, 2, norm)
    low, high = limits(target)
    bins = np.linspace(low, high, math.ceil((high - low) / options.bin_width) + 1)
    normalised = tuple(float(value) for value in (bins - norm.mean) / norm.sd)
    return Head(target, len(bins), norm, normalised, options.label_spread / norm.sd)


def limits(target: Target) -> tuple[float, float]:
    """Returns the lowest and highest value of a number target."""
    if target.minimum is None or target.maximum is None:
        raise ValueError(f"the number target {target.name} has no minimum and maximum")
    return target.minimum, target.maximum
