"""From the networks' raw outputs to a `Prediction`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.domain import Prediction, Target, Value
from trainer.answers.calibration import Calibration, Line
from trainer.answers.grouping import Grouping
from trainer.answers.raw_outputs import Numbers, RawOutputs, log_softmax
from trainer.inputs.targets import applies
from trainer.network.heads import limits

DECIMALS = 2
"""Numbers are given in hundredths of their unit, intervals rounded outwards."""

PROBABILITY_DECIMALS = 4


@dataclass(frozen=True, slots=True)
class Asked:
    """What has to be known of a model to read its answers.

    Attributes:
        targets: The targets that it tells.
        primary: The target that decides the confidence most.
        calibration: Fitted on the calibration split.
        model_version: Version of the model.
        input: The choice target that is fed to the numbers; None: none is.
        predicts_input: Where the input is not known, the model's own answer is fed.
    """

    targets: Sequence[Target]
    primary: str
    calibration: Calibration
    model_version: str
    input: str | None = None
    predicts_input: bool = False


def predictions(
    asked: Asked,
    raw: RawOutputs,
    ids: Sequence[str],
    grouping: Grouping,
    known: Sequence[Mapping[str, str]] | None = None,
    novelty: NDArray[np.float64] | None = None,
) -> list[Prediction]:
    """Makes one prediction per case.

    A target that does not apply, given the predicted values of the others, is left out.

    Args:
        asked: The model.
        raw: Outputs of N cases.
        ids: (N,) radiograph ids.
        grouping: The bands whose intervals are their own.
        known: (N,) target -> value that was fed; None: nothing was known.
        novelty: (N,) see `Prediction.novelty`; None: not known.
    """
    calibration = asked.calibration
    chances = {
        name: np.exp(log_softmax(logits / calibration.temperatures.get(name, 1.0)))
        for name, logits in raw.logits.items()
    }
    read = {told: _numbers(calibration.of(told), raw, grouping) for told in (True, False)}
    made = []
    for row, radiograph_id in enumerate(ids):
        fed = known[row] if known is not None else {}
        case = _case(asked, raw, chances, read[asked.input in fed], row)
        empty = Prediction(
            radiograph_id, asked.model_version, {}, {}, {}, 0.0, calibration.coverage
        )
        made.append(
            replace(
                _prediction(asked, case, empty),
                novelty=None if novelty is None else round(float(novelty[row]), DECIMALS),
                **_fed(asked, case, fed),
            )
        )
    return made


@dataclass(frozen=True, slots=True)
class _Numbers:
    """The numbers of N films as one calibration corrects them, and the bands that they fall in."""

    calibration: Calibration
    centres: Mapping[str, Numbers]
    bands: Sequence[str]


def _numbers(calibration: Calibration, raw: RawOutputs, grouping: Grouping) -> _Numbers:
    centres = {
        name: calibration.lines.get(name, Line()).corrected(centre)
        for name, (centre, _) in raw.numbers.items()
    }
    primary = centres.get(grouping.target)
    return _Numbers(calibration, centres, [] if primary is None else grouping.of(primary, raw))


@dataclass(frozen=True, slots=True)
class _Case:
    """What a model says of one film.

    Number -> (centre, spread), choice -> class -> probability, the band that this puts it in, and
    what its intervals were fitted by.
    """

    numbers: Mapping[str, tuple[float, float]]
    probabilities: Mapping[str, Mapping[str, float]]
    band: str
    calibration: Calibration


def _case(
    asked: Asked, raw: RawOutputs, chances: Mapping[str, Numbers], numbers: _Numbers, row: int
) -> _Case:
    return _Case(
        {n: (float(numbers.centres[n][row]), float(s[row])) for n, (_, s) in raw.numbers.items()},
        {t.name: _probabilities(t, chances[t.name][row]) for t in asked.targets if t.choices},
        numbers.bands[row] if numbers.bands else "",
        numbers.calibration,
    )


def _prediction(asked: Asked, case: _Case, empty: Prediction) -> Prediction:
    values: dict[str, Value] = {
        name: max(chance, key=chance.__getitem__) for name, chance in case.probabilities.items()
    }
    intervals: dict[str, tuple[float, float]] = {}
    for target in asked.targets:
        if target.kind == "number":
            centre, _ = case.numbers[target.name]
            values[target.name] = round(_within(target, centre), DECIMALS)
            reach = _reach(asked, case, target)
            intervals[target.name] = _interval(target, centre, reach)
    kept = {t.name for t in asked.targets if applies(t, values)}
    tops = [max(p.values()) for name, p in case.probabilities.items() if name in kept]
    return replace(
        empty,
        values={t.name: values[t.name] for t in asked.targets if t.name in kept},
        intervals={k: v for k, v in intervals.items() if k in kept},
        probabilities={k: v for k, v in case.probabilities.items() if k in kept},
        confidence=confidence(_relative_width(asked, case), tops),
    )


def _reach(asked: Asked, case: _Case, target: Target) -> float:
    """Returns half the width of the interval of a number target."""
    quantile = case.calibration.quantiles.get(target.name, math.inf)
    if target.name == asked.primary:
        quantile = case.calibration.band_quantiles.get(case.band, quantile)
    return quantile * case.numbers[target.name][1]


def _fed(asked: Asked, case: _Case, known: Mapping[str, str]) -> dict[str, Any]:
    """Returns what was fed to the numbers, and whether the model had to predict it."""
    if asked.input is None:
        return {}
    if asked.input in known:
        return {"used": {asked.input: known[asked.input]}}
    if not asked.predicts_input:
        return {}
    chance = case.probabilities[asked.input]
    told = max(chance, key=chance.__getitem__)
    return {"used": {asked.input: told}, "predicted_inputs": (asked.input,)}


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


def _relative_width(asked: Asked, case: _Case) -> float:
    for target in asked.targets:
        if target.name == asked.primary and target.kind == "number":
            centre, spread = case.numbers[target.name]
            reach = _reach(asked, case, target)
            if math.isinf(reach):
                # Too few calibration cases for a promise, but cases can still be ranked: the
                # Laplace distribution's own quantile of |y - centre| / spread.
                reach = -math.log(1 - asked.calibration.coverage) * spread
            low, high = _interval(target, centre, reach)
            lowest, highest = limits(target)
            return (high - low) / (highest - lowest)
    return 0.0


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
