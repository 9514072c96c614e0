"""The judged cases one by one: what was true, what was told, what else the model said."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from data.domain import Prediction, TaskSpec, Value
from trainer.evaluation.judging import Truths
from trainer.inputs.targets import counted


@dataclass(frozen=True, slots=True)
class Case:
    """One case of the gate's target.

    Attributes:
        id: See `Radiograph.id`.
        split: The split that it was judged in.
        truth: True value.
        told: What the model said.
        low: Lower end of the interval; None for a choice.
        high: Upper end of the interval; None for a choice.
        group: True value of `GateRule.band_by`; empty where it is not known or there is none.
        group_told: What the model said of it; empty where it said nothing.
        probability: Probability of `group_told`, or of `told` where the target is a choice.
        used: What was fed to the numbers as `TaskSpec.input`; empty where nothing was.
        used_is_predicted: The model predicted `used` itself.
        novelty: See `Prediction.novelty`.
    """

    id: str
    split: str
    truth: Value
    told: Value
    low: float | None
    high: float | None
    group: str
    group_told: str
    probability: float | None
    used: str
    used_is_predicted: bool
    novelty: float | None

    @property
    def error(self) -> float:
        """Prediction minus truth of a number; of a choice 1.0 if it is wrong, else 0.0."""
        if isinstance(self.truth, str) or isinstance(self.told, str):
            return float(self.told != self.truth)
        return self.told - self.truth


def cases_of(
    spec: TaskSpec, predictions: Mapping[str, Prediction], truths: Truths, split: str
) -> list[Case]:
    """Returns the cases that have both a truth and an answer for the gate's target, by id."""
    target, cases = spec.target(spec.gate.target), []
    for key in sorted(truths):
        truth = counted(target, truths[key])
        if truth is not None and key in predictions and target.name in predictions[key].values:
            cases.append(_case(spec, predictions[key], truths[key], key, split))
    return cases


def worst(cases: Sequence[Case], count: int) -> list[Case]:
    """Returns the cases with the largest errors, the worst first; right answers are not among them.

    Of choices that are wrong, the surest comes first.
    """
    wrong = [case for case in cases if case.error]
    return sorted(wrong, key=lambda c: (abs(c.error), c.probability or 0.0), reverse=True)[:count]


def as_csv(spec: TaskSpec, cases: Sequence[Case]) -> str:
    """Returns the cases as a table, in the units of the task; unknown cells are empty."""
    by = spec.gate.band_by
    head = ["id", "split", "truth", "told", "low", "high", "error"]
    head += [by, f"{by}_told"] if by else []
    head += ["probability", "novelty"]
    head += [f"{spec.input}_used", f"{spec.input}_predicted"] if spec.input else []
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(head)
    for case in cases:
        row = [case.id, case.split, case.truth, case.told, case.low, case.high, case.error]
        row += [case.group, case.group_told] if by else []
        row += [case.probability, case.novelty]
        if spec.input:
            row += [case.used, str(case.used_is_predicted).lower() if case.used else ""]
        table.writerow([_cell(value) for value in row])
    return text.getvalue()


def _case(
    spec: TaskSpec, said: Prediction, truth: Mapping[str, Value], key: str, split: str
) -> Case:
    name, by = spec.gate.target, spec.gate.band_by
    told = said.values[name]
    low, high = said.intervals.get(name, (None, None))
    group_told = str(said.values.get(by, "")) if by else ""
    chosen, of = (told, name) if isinstance(told, str) else (group_told, by)
    used = said.used.get(spec.input, "") if spec.input else ""
    return Case(
        id=key,
        split=split,
        truth=truth[name],
        told=told,
        low=low,
        high=high,
        group=str(truth.get(by, "")) if by else "",
        group_told=group_told,
        probability=said.probabilities.get(of, {}).get(str(chosen)) if of else None,
        used=used,
        used_is_predicted=bool(used) and spec.input in said.predicted_inputs,
        novelty=said.novelty,
    )


def _cell(value: Value | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.6g}"
