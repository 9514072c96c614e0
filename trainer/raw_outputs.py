"""What the network says of a batch, in the targets' units and before any calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.domain import Target
from data.errors import ModelError
from trainer.targets import LOG_SPREAD_RANGE, Norm

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RawOutputs:
    """Raw outputs of N cases.

    Attributes:
        numbers: Number target -> ((N,) centre, (N,) spread > 0), in the target's unit.
        logits: Choice target -> (N, choices).
    """

    numbers: Mapping[str, tuple[Numbers, Numbers]]
    logits: Mapping[str, Numbers]


def to_units(
    targets: Sequence[Target], outputs: Sequence[NDArray[np.float32]], norms: Mapping[str, Norm]
) -> RawOutputs:
    """Undoes the normalisation of the network's outputs.

    Args:
        targets: The task's targets.
        outputs: One (N, outputs) array per target.
        norms: The normalisation of the number targets.

    Raises:
        ModelError: An output is not finite: there is no prediction to make of it.
    """
    if not all(np.isfinite(values).all() for values in outputs):
        raise ModelError("The model answers with numbers that are not finite: train another one.")
    numbers, logits = {}, {}
    for target, group in zip(targets, outputs, strict=True):
        values = group.astype(np.float64)
        if target.kind == "choice":
            logits[target.name] = values
            continue
        norm = norms[target.name]
        spread = np.exp(np.clip(values[:, 1], *LOG_SPREAD_RANGE)) * norm.sd
        numbers[target.name] = (values[:, 0] * norm.sd + norm.mean, spread)
    return RawOutputs(numbers, logits)


def log_softmax(logits: Numbers) -> Numbers:
    """Returns the logarithm of the softmax of each row of (N, choices)."""
    shifted: Numbers = logits - logits.max(axis=1, keepdims=True)
    result: Numbers = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
