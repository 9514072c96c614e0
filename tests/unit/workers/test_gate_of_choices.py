"""The gate where it judges a choice, from predictions to the decision."""

from __future__ import annotations

from dataclasses import replace

import pytest

from data.domain import GateRule, Prediction, Target, TaskSpec, Value
from trainer.evaluation.evaluation import compare, evaluate
from workers.gate import GateDecision, judge

FINDING = Target("finding", "choice", choices=("normal", "pneumonia"))
RULE = GateRule("finding", margin=0.05, band_margin=0.1, band_edges=())
SPEC = TaskSpec("pneumonia", "Pneumonia", "image", "image", (FINDING,), RULE, "<View/>")
LOG_LOSS = replace(SPEC, gate=replace(RULE, metric="log_loss"))

TRUTHS: dict[str, dict[str, Value]] = {
    f"{kind}{i}": {"finding": kind} for kind in FINDING.choices for i in range(100)
}
"""100 healthy films and 100 with pneumonia."""


def answers(alarms: int, misses: int, sure: float = 0.9) -> dict[str, Prediction]:
    """A model that calls so many healthy films ill, and misses so many pneumonias."""
    said = {}
    for key, row in TRUTHS.items():
        true = str(row["finding"])
        number = int(key.removeprefix(true))
        wrong = number < (alarms if true == "normal" else misses)
        told = next(c for c in FINDING.choices if (c != true) == wrong)
        chances = {c: sure if c == told else 1 - sure for c in FINDING.choices}
        said[key] = Prediction("", "v0001-0", {"finding": told}, {}, {"finding": chances}, 0.5, 0.9)
    return said


def decide(
    spec: TaskSpec, new: dict[str, Prediction], champion: dict[str, Prediction] | None
) -> GateDecision:
    learnt = list(TRUTHS.values())
    against = None if champion is None else compare(spec, new, champion, TRUTHS)
    return judge(spec.gate, evaluate(spec, new, TRUTHS, learnt), against)


def test_a_first_model_that_errs_clearly_less_than_the_usual_answer_serves() -> None:
    decision = decide(SPEC, answers(20, 20), None)

    assert decision.promote
    assert decision.reason == "First model: error 0.200 against 0.500 of the usual answer."


def test_a_first_model_that_may_err_as_often_as_the_usual_answer_does_not_serve() -> None:
    # 0.47 with a standard error of 0.035: the upper end lies above 0.5.
    decision = decide(SPEC, answers(47, 47), None)

    assert not decision.promote
    assert "error 0.470 [0.4" in decision.reason
    assert "not clearly below 0.500 of the usual answer" in decision.reason


@pytest.mark.parametrize(
    ("sure", "promoted"), [(0.9, True), (0.9999, False)], ids=["measured", "too sure"]
)
def test_a_first_model_is_held_against_the_frequencies_by_its_log_loss(
    sure: float, promoted: bool
) -> None:
    # A tenth is wrong: 0.9 x -ln 0.9 + 0.1 x -ln 0.1 = 0.325 and 0.1 x -ln 0.0001 = 0.921,
    # against ln 2 = 0.693 of the frequencies.
    decision = decide(LOG_LOSS, answers(10, 10, sure), None)

    assert decision.promote is promoted
    assert f"{0.325 if promoted else 0.921}" in decision.reason
    assert "0.693 of the frequencies of the training labels" in decision.reason


def test_a_model_with_fewer_wrong_answers_becomes_champion() -> None:
    decision = decide(SPEC, answers(5, 5), answers(20, 20))

    assert decision.promote
    assert decision.reason.startswith("Better than the champion: -0.150 [-0.2")


def test_the_same_answers_are_not_worse() -> None:
    decision = decide(SPEC, answers(10, 10), answers(10, 10))

    assert decision == GateDecision(True, "Not worse than the champion: +0.000 [+0.000, +0.000].")


def test_a_model_with_more_wrong_answers_does_not_serve() -> None:
    decision = decide(SPEC, answers(20, 20), answers(10, 10))

    assert not decision.promote
    assert "exceeds the margin of 0.05" in decision.reason


def test_more_missed_pneumonias_are_not_made_good_by_fewer_alarms() -> None:
    # Better overall by 5 in 100, but 20 instead of 10 pneumonias are missed.
    decision = decide(SPEC, answers(0, 20), answers(20, 10))

    assert not decision.promote
    assert decision.reason.startswith("Worse in band pneumonia (100 cases): +0.100 [")


def test_a_band_with_few_cases_is_not_asked() -> None:
    patient = replace(SPEC, gate=replace(RULE, min_band_cases=101))

    assert decide(patient, answers(0, 20), answers(20, 10)).promote


def test_the_log_loss_sees_a_model_that_is_as_often_right_and_surer() -> None:
    wrong = decide(SPEC, answers(10, 10, 0.9), answers(10, 10, 0.6))
    costly = decide(LOG_LOSS, answers(10, 10, 0.9), answers(10, 10, 0.6))

    # 0.9 x ln(0.6 / 0.9) + 0.1 x ln(0.4 / 0.1) = -0.226
    assert wrong.reason.startswith("Not worse")
    assert costly.reason.startswith("Better than the champion: -0.226 [")
