"""Whether a new model may serve: a pure function of two evaluations on the frozen test split.

A model that does not pass stays challenger; the reason is kept with the run.
"""

from __future__ import annotations

from dataclasses import dataclass

from data.domain import GateRule
from trainer.evaluation.evaluation import Comparison, Difference, Evaluation

MIN_TEST_CASES = 10
"""Below this many labelled test radiographs no error estimate deserves a decision."""


@dataclass(frozen=True, slots=True)
class GateDecision:
    """The gate's answer.

    Attributes:
        promote: The model becomes champion.
        reason: One sentence for a person, with the numbers that decided.
    """

    promote: bool
    reason: str


def judge(rule: GateRule, new: Evaluation, against: Comparison | None) -> GateDecision:
    """Decides on a new model.

    Args:
        rule: Margins of the task.
        new: The new model on the frozen test split.
        against: Paired comparison with the champion on the same radiographs; None: there is no
            champion, and the new model has to beat whoever looks at no film: the mean predictor,
            or of a choice the usual answer or the frequencies of the training labels.
    """
    if new.cases < MIN_TEST_CASES:
        return GateDecision(
            False,
            f"Only {new.cases} labelled test radiographs; at least {MIN_TEST_CASES} are needed.",
        )
    if against is None:
        return _against_baseline(_first(rule, new))
    if against.cases < MIN_TEST_CASES:
        return GateDecision(
            False, f"Only {against.cases} test radiographs can be compared with the champion."
        )
    digits = 2 if new.primary in new.numbers else 3
    high = against.ci95[1]
    change = _change(against.overall, digits)
    if not high <= rule.margin:  # What is not a number passes nothing.
        return GateDecision(
            False,
            f"Error against the champion {change}: the upper limit exceeds the margin of "
            f"{rule.margin:g}.",
        )
    for band in against.bands:
        if band.cases >= rule.min_band_cases and not band.ci95[1] <= rule.band_margin:
            return GateDecision(
                False,
                f"Worse in band {band.name} ({band.cases} cases): {_change(band, digits)} exceeds "
                f"the margin of {rule.band_margin:g}.",
            )
    verdict = "Better than" if high < 0 else "Not worse than"
    return GateDecision(True, f"{verdict} the champion: {change}.")


@dataclass(frozen=True, slots=True)
class _First:
    """The error of a first model, and that of whoever looks at no film.

    Attributes:
        error: In the unit of the rule's margins.
        ci95: Its 95 % interval.
        baseline: The error of whoever looks at no film.
        who: Who that is.
        digits: Decimals that a person needs.
    """

    error: float
    ci95: tuple[float, float]
    baseline: float
    who: str
    digits: int


def _first(rule: GateRule, new: Evaluation) -> _First:
    number = new.numbers.get(new.primary)
    if number is not None:
        who = "the mean predictor"
        return _First(number.mae, number.mae_ci95, number.baseline_mae, who, 2)
    choice = new.choices[new.primary]
    if rule.metric == "log_loss":
        who = "the frequencies of the training labels"
        return _First(choice.log_loss, choice.log_loss_ci95, choice.baseline_log_loss, who, 3)
    low, high = choice.accuracy_ci95
    who = "the usual answer"
    return _First(1 - choice.accuracy, (1 - high, 1 - low), 1 - choice.baseline_accuracy, who, 3)


def _against_baseline(first: _First) -> GateDecision:
    error, baseline, low, high = (
        f"{figure:.{first.digits}f}" for figure in (first.error, first.baseline, *first.ci95)
    )
    if not first.ci95[1] < first.baseline:
        return GateDecision(
            False,
            f"First model: error {error} [{low}, {high}] is not clearly below {baseline} of "
            f"{first.who}.",
        )
    return GateDecision(True, f"First model: error {error} against {baseline} of {first.who}.")


def _change(found: Difference, digits: int) -> str:
    mean, low, high = (f"{figure:+.{digits}f}" for figure in (found.mean_difference, *found.ci95))
    return f"{mean} [{low}, {high}]"
