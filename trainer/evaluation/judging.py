"""Scores one target of a task: which cases count, in which bands, against which baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from data.domain import Prediction, Target, TaskSpec, Value
from trainer.evaluation.bands import bands_for
from trainer.evaluation.choice_scores import ChoiceScore, score_choice, score_choice_band
from trainer.evaluation.scores import NumberScore, mean, score_band, score_number
from trainer.inputs.targets import counted

Truths = Mapping[str, Mapping[str, Value]]
"""Radiograph id -> target -> true value."""

Predictions = Mapping[str, Prediction]
"""By radiograph id."""


def judge_number(
    spec: TaskSpec,
    target: Target,
    predictions: Predictions,
    truths: Truths,
    train_truths: Sequence[Mapping[str, Value]],
) -> NumberScore:
    """Scores a number target, and within each band if the gate judges by it.

    Args:
        spec: The task.
        target: One of its numbers.
        predictions: What the model said.
        truths: The cases; those in which the target is absent or does not apply are left out.
        train_truths: The labels that the model learnt from, for the baseline.
    """
    cases = [
        k for k in _judged(target, predictions, truths) if target.name in predictions[k].values
    ]
    bands = bands_for(spec, target.name) if target.name == spec.gate.target else ()
    judged = [
        (band.name, [k for k in cases if band.holds(target.name, truths[k])]) for band in bands
    ]
    return replace(
        score_number(
            *_answers(target, cases, predictions, truths),
            _baseline(spec, target, train_truths, [truths[k] for k in cases]),
        ),
        promised_coverage=mean([predictions[k].coverage for k in cases]),
        bands=tuple(
            score_band(name, *_answers(target, inside, predictions, truths))
            for name, inside in judged
        ),
    )


def judge_choice(
    spec: TaskSpec,
    target: Target,
    predictions: Predictions,
    truths: Truths,
    train_truths: Sequence[Mapping[str, Value]],
) -> ChoiceScore:
    """Scores a choice target, overall and within each band of the gate's target.

    Arguments as of `judge_number`; which answers count, `is_judged` says.
    """
    cases = [k for k in _judged(target, predictions, truths) if is_judged(target, predictions[k])]
    labels = [str(v) for v in (counted(target, row) for row in train_truths) if v is not None]
    truth = {k: str(truths[k][target.name]) for k in cases}
    chances = {k: predictions[k].probabilities.get(target.name, {}) for k in cases}
    bands = [
        (band.name, [k for k in cases if band.holds(spec.gate.target, truths[k])])
        for band in bands_for(spec, target.name)
    ]
    return replace(
        score_choice(list(truth.values()), list(chances.values()), labels, target.choices),
        bands=tuple(
            score_choice_band(
                name, [truth[k] for k in inside], [chances[k] for k in inside], target.choices
            )
            for name, inside in bands
        ),
    )


def is_judged(target: Target, said: Prediction) -> bool:
    """Whether a model's answer on a choice target counts.

    Where a target with a condition was not told, the model said that it does not apply, which may
    be wrong; any other target that was not told, it does not know.
    """
    return target.applies_when is not None or target.name in said.probabilities


def numbers_of(target: Target, rows: Sequence[Mapping[str, Value]]) -> NDArray[np.float64]:
    """Returns (n,) values of a number target."""
    return np.asarray([row[target.name] for row in rows], np.float64)


def _judged(target: Target, predictions: Predictions, truths: Truths) -> list[str]:
    return [k for k in truths if k in predictions and counted(target, truths[k]) is not None]


def _answers(
    target: Target, cases: Sequence[str], predictions: Predictions, truths: Truths
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[tuple[float, float]]]:
    """Returns the truth, what was told, and the intervals."""
    return (
        numbers_of(target, [truths[k] for k in cases]),
        numbers_of(target, [predictions[k].values for k in cases]),
        [predictions[k].intervals[target.name] for k in cases],
    )


def _baseline(
    spec: TaskSpec,
    target: Target,
    train_truths: Sequence[Mapping[str, Value]],
    cases: Sequence[Mapping[str, Value]],
) -> NDArray[np.float64]:
    """Returns what the mean predictor says of each case: the mean of its group, or of all."""
    by = spec.gate.band_by
    learnt = [row for row in train_truths if counted(target, row) is not None]
    groups: dict[Value | None, list[Mapping[str, Value]]] = {}
    for row in learnt:
        groups.setdefault(row.get(by) if by else None, []).append(row)
    means = {group: mean(numbers_of(target, rows)) for group, rows in groups.items()}
    overall = mean(numbers_of(target, learnt))
    told = [means.get(row.get(by) if by else None, overall) for row in cases]
    return np.asarray(told, np.float64)
