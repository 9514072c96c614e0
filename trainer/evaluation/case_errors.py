"""What a model's answer to one case costs, in the unit in which the gate judges its target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from data.domain import GateMetric, Prediction, Target, TaskSpec, Value
from trainer.evaluation.choice_scores import LOWEST_PROBABILITY
from trainer.evaluation.judging import Truths, is_judged, numbers_of
from trainer.inputs.targets import counted


def judged_by_both(
    target: Target,
    one: Mapping[str, Prediction],
    other: Mapping[str, Prediction],
    truths: Truths,
) -> list[str]:
    """Returns the cases of a target that two models are both judged by, in the truths' order."""
    return [
        key
        for key, row in truths.items()
        if counted(target, row) is not None
        and all(key in said and _counts(target, said[key]) for said in (one, other))
    ]


def case_errors(
    target: Target,
    metric: GateMetric,
    told: Sequence[Prediction],
    truths: Sequence[Mapping[str, Value]],
) -> NDArray[np.float64]:
    """Returns (n,) what each answer costs.

    Of a number its absolute error, in the target's unit. Of a choice 1 where it is wrong, else 0;
    or, with `log_loss`, the negative natural logarithm of the probability of the truth. That the
    target does not apply is a wrong answer of probability 0, which counts as 0.0001.

    Args:
        target: What is judged.
        metric: See `GateRule.metric`; says nothing of a number.
        told: The answers, one per case.
        truths: The cases, in the same order; every one has the target.
    """
    if target.kind == "number":
        said = numbers_of(target, [one.values for one in told])
        return np.abs(said - numbers_of(target, truths))
    pairs = list(zip(told, (str(row[target.name]) for row in truths), strict=True))
    if metric == "log_loss":
        chances = [one.probabilities.get(target.name, {}).get(true, 0.0) for one, true in pairs]
        return -np.log(np.maximum(np.asarray(chances, np.float64), LOWEST_PROBABILITY))
    wrong = [one.values.get(target.name) != true for one, true in pairs]
    return np.asarray(wrong, np.float64)


def error_name(spec: TaskSpec) -> str:
    """Returns what the gate's figure is called, such as `MAE`."""
    if spec.target(spec.gate.target).kind == "number":
        return "MAE"
    return "log loss" if spec.gate.metric == "log_loss" else "error rate"


def _counts(target: Target, said: Prediction) -> bool:
    if target.kind == "choice":
        return is_judged(target, said)
    return target.name in said.values
