"""How good a model is, and whether it is better than another: on cases that it never saw.

Errors are in the unit of their target. A figure that no case supports is not a number (null in
JSON), never 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.domain import Prediction, Target, TaskSpec, Value
from trainer.evaluation.bands import judged_bands
from trainer.evaluation.bootstrap import mean_interval
from trainer.evaluation.case_errors import case_errors, judged_by_both
from trainer.evaluation.choice_scores import ChoiceScore
from trainer.evaluation.judging import Truths, judge_choice, judge_number
from trainer.evaluation.scores import NumberScore, mean


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How good a model is on a set of cases.

    Attributes:
        primary: The target that the gate judges by.
        numbers: Score of each number target.
        choices: Score of each choice target.
        missing: Cases with a truth that got no prediction.
    """

    primary: str
    numbers: Mapping[str, NumberScore]
    choices: Mapping[str, ChoiceScore]
    missing: int

    @property
    def score(self) -> NumberScore | ChoiceScore:
        """Score of the primary target."""
        return self.numbers.get(self.primary) or self.choices[self.primary]

    @property
    def cases(self) -> int:
        """Cases of the primary target."""
        return self.score.cases

    @property
    def main(self) -> NumberScore:
        """Score of the primary target, which has to be a number; so for the figures below."""
        return self.numbers[self.primary]

    @property
    def mae(self) -> float:
        """Mean absolute error of the primary target."""
        return self.main.mae

    @property
    def mae_ci95(self) -> tuple[float, float]:
        """Its 95 % bootstrap interval."""
        return self.main.mae_ci95

    @property
    def baseline_mae(self) -> float:
        """Mean absolute error of the mean predictor, for the primary target."""
        return self.main.baseline_mae

    def to_json(self) -> dict[str, Any]:
        """Returns it for JSON: the primary target's score, then everything by target."""
        every = {**asdict(self.score), **asdict(self)}
        every["accuracy"] = {name: score.accuracy for name, score in self.choices.items()}
        return {key: _plain(value) for key, value in every.items()}


@dataclass(frozen=True, slots=True)
class Difference:
    """What the new model does worse than the champion, over the same cases.

    Of a number it is the absolute error, of a choice the share of wrong answers; of the gate's
    target whatever its rule says (`GateRule.metric`).

    Attributes:
        name: `all`, or see `Band.name`.
        cases: Cases that both models answered.
        mean_difference: Below 0: the new model is better.
        ci95: 95 % interval of the paired bootstrap over cases.
    """

    name: str
    cases: int
    mean_difference: float
    ci95: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether a new model is better than the champion.

    Attributes:
        overall: Over all cases.
        bands: Within each band of the truth.
        new_error: The new model's mean error over the cases that both answered.
        champion_error: The champion's.
        choices: Choice target -> difference in the share of wrong answers.
    """

    overall: Difference
    bands: tuple[Difference, ...]
    new_error: float
    champion_error: float
    choices: Mapping[str, Difference] = field(default_factory=dict)

    @property
    def cases(self) -> int:
        """Cases that both models answered."""
        return self.overall.cases

    @property
    def mean_difference(self) -> float:
        """Over all cases; below 0: the new model is better."""
        return self.overall.mean_difference

    @property
    def ci95(self) -> tuple[float, float]:
        """95 % interval of `mean_difference`."""
        return self.overall.ci95

    def to_json(self) -> dict[str, Any]:
        """Returns it for JSON."""
        every = {**asdict(self.overall), **asdict(self)}
        del every["name"], every["overall"]
        return {key: _plain(value) for key, value in every.items()}


def evaluate(
    spec: TaskSpec,
    predictions: Mapping[str, Prediction],
    truths: Truths,
    train_truths: Sequence[Mapping[str, Value]],
) -> Evaluation:
    """Holds predictions against the truth.

    Args:
        spec: The task.
        predictions: By radiograph id.
        truths: The cases; targets that are absent or do not apply are not judged.
        train_truths: The labels that the model learnt from, for the baselines.
    """
    numbers, choices = {}, {}
    for target in spec.targets:
        if target.kind == "number":
            numbers[target.name] = judge_number(spec, target, predictions, truths, train_truths)
        else:
            choices[target.name] = judge_choice(spec, target, predictions, truths, train_truths)
    return Evaluation(spec.gate.target, numbers, choices, len(truths.keys() - predictions.keys()))


def compare(
    spec: TaskSpec,
    new: Mapping[str, Prediction],
    champion: Mapping[str, Prediction],
    truths: Truths,
) -> Comparison:
    """Compares two models case by case on the gate's target.

    Args:
        spec: The task.
        new: The new model's predictions, by radiograph id.
        champion: The champion's.
        truths: The cases; those that both models answered count.
    """
    target = spec.target(spec.gate.target)
    both = judged_by_both(target, new, champion, truths)
    rows = [truths[k] for k in both]
    ours = case_errors(target, spec.gate.metric, [new[k] for k in both], rows)
    theirs = case_errors(target, spec.gate.metric, [champion[k] for k in both], rows)
    change = ours - theirs
    bands = []
    for band in judged_bands(spec):
        inside = [band.holds(target.name, truths[k]) for k in both]
        bands.append(_difference(band.name, change[np.asarray(inside, bool)]))
    choices = {
        t.name: _wrong_answers(t, new, champion, truths) for t in spec.targets if t.kind == "choice"
    }
    return Comparison(_difference("all", change), tuple(bands), mean(ours), mean(theirs), choices)


def _wrong_answers(
    target: Target,
    new: Mapping[str, Prediction],
    champion: Mapping[str, Prediction],
    truths: Truths,
) -> Difference:
    """Compares the wrong answers of two models, over the cases that both are judged by."""
    both = judged_by_both(target, new, champion, truths)
    rows = [truths[k] for k in both]
    ours, theirs = (
        case_errors(target, "error", [said[k] for k in both], rows) for said in (new, champion)
    )
    return _difference("all", ours - theirs)


def _difference(name: str, change: NDArray[np.float64]) -> Difference:
    return Difference(name, len(change), mean(change), mean_interval(change))


def _plain(value: Any) -> Any:
    """Makes plain JSON of nested results; not a number becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
