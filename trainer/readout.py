"""From the network's raw outputs to a `Prediction`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from data.domain import Prediction, Target, Value
from trainer.calibration import Calibration
from trainer.raw_outputs import RawOutputs, log_softmax
from trainer.targets import applies

DECIMALS = 2
"""Numbers are given in hundredths of their unit, intervals rounded outwards."""

PROBABILITY_DECIMALS = 4


def predictions(
    targets: Sequence[Target],
    primary: str,
    raw: RawOutputs,
    calibration: Calibration,
    ids: Sequence[str],
    model_version: str,
) -> list[Prediction]:
    """Makes one prediction per case.

    A target that does not apply, given the predicted values of the others, is left out.

    Args:
        targets: The task's targets.
        primary: The target that decides the confidence most (`GateRule.target`).
        raw: Outputs of N cases.
        calibration: Fitted on the calibration split.
        ids: (N,) radiograph ids.
        model_version: Version of the model that says so.
    """
    chances = {
        name: np.exp(log_softmax(logits / calibration.temperatures.get(name, 1.0)))
        for name, logits in raw.logits.items()
    }
    return [
        _prediction(
            targets,
            primary,
            {name: (float(c[row]), float(s[row])) for name, (c, s) in raw.numbers.items()},
            {t.name: _probabilities(t, chances[t.name][row]) for t in targets if t.choices},
            calibration,
            Prediction(radiograph_id, model_version, {}, {}, {}, 0.0, calibration.coverage),
        )
        for row, radiograph_id in enumerate(ids)
    ]


def _prediction(
    targets: Sequence[Target],
    primary: str,
    numbers: Mapping[str, tuple[float, float]],
    probabilities: Mapping[str, Mapping[str, float]],
    calibration: Calibration,
    empty: Prediction,
) -> Prediction:
    values: dict[str, Value] = {
        name: max(chance, key=chance.__getitem__) for name, chance in probabilities.items()
    }
    intervals: dict[str, tuple[float, float]] = {}
    for target in targets:
        if target.kind == "number":
            centre, spread = numbers[target.name]
            values[target.name] = round(_within(target, centre), DECIMALS)
            reach = calibration.quantiles.get(target.name, math.inf) * spread
            intervals[target.name] = _interval(target, centre, reach)
    kept = {t.name for t in targets if applies(t, values)}
    tops = [max(p.values()) for name, p in probabilities.items() if name in kept]
    width = _relative_width(targets, primary, numbers, calibration)
    return replace(
        empty,
        values={t.name: values[t.name] for t in targets if t.name in kept},
        intervals={k: v for k, v in intervals.items() if k in kept},
        probabilities={k: v for k, v in probabilities.items() if k in kept},
        confidence=confidence(width, tops),
    )


def confidence(relative_width: float, top_probabilities: Sequence[float]) -> float:
    """Says how sure the model is; it falls as any uncertainty grows.

    (1 - width) x (mean of the choices' highest probabilities).

    Args:
        relative_width: Width of the primary number's interval over the width of its range, 0..1;
            0 for a task whose primary target is a choice.
        top_probabilities: The highest probability of each choice that applies; may be empty.

    Returns:
        0..1.
    """
    mean = sum(top_probabilities) / len(top_probabilities) if top_probabilities else 1.0
    return round(min(max((1 - relative_width) * mean, 0.0), 1.0), PROBABILITY_DECIMALS)


def _relative_width(
    targets: Sequence[Target],
    primary: str,
    numbers: Mapping[str, tuple[float, float]],
    calibration: Calibration,
) -> float:
    for target in targets:
        if target.name == primary and target.kind == "number":
            centre, spread = numbers[primary]
            quantile = calibration.quantiles.get(primary, math.inf)
            if math.isinf(quantile):
                # Too few calibration cases for a promise, but cases can still be ranked: the
                # Laplace distribution's own quantile of |y - centre| / spread.
                quantile = -math.log(1 - calibration.coverage)
            low, high = _interval(target, centre, quantile * spread)
            lowest, highest = limits(target)
            return (high - low) / (highest - lowest)
    return 0.0


def limits(target: Target) -> tuple[float, float]:
    """Returns the lowest and highest value of a number target."""
    if target.minimum is None or target.maximum is None:
        raise ValueError(f"the number target {target.name} has no minimum and maximum")
    return target.minimum, target.maximum


def _within(target: Target, value: float) -> float:
    lowest, highest = limits(target)
    return min(max(value, lowest), highest)


def _interval(target: Target, centre: float, reach: float) -> tuple[float, float]:
    if math.isinf(reach):
        return limits(target)
    unit = 10**DECIMALS
    low = math.floor(_within(target, centre - reach) * unit) / unit
    high = math.ceil(_within(target, centre + reach) * unit) / unit
    return _within(target, low), _within(target, high)


def _probabilities(target: Target, chances: NDArray[np.float64]) -> dict[str, float]:
    """Rounds probabilities so that they still sum to 1: the highest takes what the others left."""
    rounded = [round(float(c), PROBABILITY_DECIMALS) for c in chances]
    top = int(np.argmax(chances))
    rounded[top] = round(1 - sum(rounded[:top] + rounded[top + 1 :]), PROBABILITY_DECIMALS)
    return dict(zip(target.choices, rounded, strict=True))
