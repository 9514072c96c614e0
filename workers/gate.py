"""Whether a new model may serve: a pure function of two evaluations on the frozen test split.

A model that does not pass stays challenger; the reason is kept with the run.
"""

from __future__ import annotations

from dataclasses import dataclass

from data.domain import GateRule
from trainer.evaluation.evaluation import Comparison, Evaluation

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
            champion, and the new model has to beat the mean predictor.
    """
    if new.cases < MIN_TEST_CASES:
        return GateDecision(
            False,
            f"Only {new.cases} labelled test radiographs; at least {MIN_TEST_CASES} are needed.",
        )
    if against is None:
        return _against_baseline(new)
    if against.cases < MIN_TEST_CASES:
        return GateDecision(
            False, f"Only {against.cases} test radiographs can be compared with the champion."
        )
    low, high = against.ci95
    change = f"{against.mean_difference:+.2f} [{low:+.2f}, {high:+.2f}]"
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
                f"Worse in band {band.name} ({band.cases} cases): {band.mean_difference:+.2f} "
                f"[{band.ci95[0]:+.2f}, {band.ci95[1]:+.2f}] exceeds the margin of "
                f"{rule.band_margin:g}.",
            )
    verdict = "Better than" if high < 0 else "Not worse than"
    return GateDecision(True, f"{verdict} the champion: {change}.")


def _against_baseline(new: Evaluation) -> GateDecision:
    if not new.mae_ci95[1] < new.baseline_mae:
        return GateDecision(
            False,
            f"First model: error {new.mae:.2f} [{new.mae_ci95[0]:.2f}, {new.mae_ci95[1]:.2f}] is "
            f"not clearly below the mean predictor's {new.baseline_mae:.2f}.",
        )
    return GateDecision(
        True,
        f"First model: error {new.mae:.2f} against {new.baseline_mae:.2f} of the mean predictor.",
    )
