"""What networks say of a batch, in the targets' units and before any calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.errors import ModelError
from trainer.network.heads import LOG_SPREAD_RANGE, Head

Numbers = NDArray[np.float64]

_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class RawOutputs:
    """Raw outputs of N cases.

    Attributes:
        numbers: Number target -> ((N,) centre, (N,) spread > 0), in the target's unit.
        logits: Choice target -> (N, choices).
        features: (N, F) features of the backbone.
    """

    numbers: Mapping[str, tuple[Numbers, Numbers]]
    logits: Mapping[str, Numbers]
    features: NDArray[np.float32]


def to_units(
    heads: Sequence[Head],
    outputs: Sequence[NDArray[np.float32]],
    features: NDArray[np.float32],
) -> RawOutputs:
    """Undoes the normalisation of a network's outputs.

    Args:
        heads: The network's heads.
        outputs: One (N, outputs) array per head.
        features: (N, F).

    Raises:
        ModelError: An output is not finite: there is no prediction to make of it.
    """
    if not all(np.isfinite(values).all() for values in [*outputs, features]):
        raise ModelError("The model answers with numbers that are not finite: train another one.")
    numbers, logits = {}, {}
    for head, group in zip(heads, outputs, strict=True):
        values = group.astype(np.float64)
        if head.norm is None:
            logits[head.target.name] = values
            continue
        centre, spread = _distribution(values, head) if head.bins else _location(values)
        centre = centre * head.norm.sd + head.norm.mean
        numbers[head.target.name] = (centre, spread * head.norm.sd)
    return RawOutputs(numbers, logits, features)


def mean_of_views(parts: Sequence[RawOutputs]) -> RawOutputs:
    """Returns the mean answer of one model to several views of the same cases; see `_mixed`."""
    if len(parts) == 1:
        return parts[0]
    features = np.stack([part.features for part in parts]).mean(0)
    return RawOutputs(*_mixed(parts), features)


def mean_of_models(parts: Sequence[RawOutputs]) -> RawOutputs:
    """Returns the mean answer of several models to the same cases; see `_mixed`.

    Its features are those of the models side by side, each scaled to length 1.
    """
    if len(parts) == 1:
        return parts[0]
    return RawOutputs(*_mixed(parts), np.concatenate([of_length_one(p.features) for p in parts], 1))


def of_length_one(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns (N, F) features scaled to length 1; zeros stay zeros."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = features / np.maximum(lengths, np.float32(_TINY))
    return scaled


def _mixed(
    parts: Sequence[RawOutputs],
) -> tuple[dict[str, tuple[Numbers, Numbers]], dict[str, Numbers]]:
    """Mixes numbers and logits.

    Centres and probabilities are averaged. The spread is that of the mixture: what each of them is
    unsure of, and what they disagree about (Lakshminarayanan et al. 2017, "Simple and scalable
    predictive uncertainty estimation using deep ensembles", section 2.4).
    """
    numbers = {}
    for name in parts[0].numbers:
        centres = np.stack([part.numbers[name][0] for part in parts])
        spreads = np.stack([part.numbers[name][1] for part in parts])
        variance = (spreads**2).mean(0) + centres.var(0)
        numbers[name] = (centres.mean(0), np.sqrt(variance))
    logits = {}
    for name in parts[0].logits:
        chances = np.stack([np.exp(log_softmax(part.logits[name])) for part in parts])
        logits[name] = np.log(chances.mean(0) + _TINY)
    return numbers, logits


def log_softmax(logits: Numbers) -> Numbers:
    """Returns the logarithm of the softmax of each row of (N, choices)."""
    shifted: Numbers = logits - logits.max(axis=1, keepdims=True)
    result: Numbers = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def _location(values: Numbers) -> tuple[Numbers, Numbers]:
    return values[:, 0], np.exp(np.clip(values[:, 1], *LOG_SPREAD_RANGE))


def _distribution(logits: Numbers, head: Head) -> tuple[Numbers, Numbers]:
    """Returns expectation and standard deviation over the bins, normalised."""
    chances = np.exp(log_softmax(logits))
    bins = np.asarray(head.bins)
    centre = chances @ bins
    variance = chances @ bins**2 - centre**2
    return centre, np.sqrt(np.maximum(variance, _TINY))
