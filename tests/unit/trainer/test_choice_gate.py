"""Evaluation and comparison of models whose gate judges a choice."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.domain import GateRule, Prediction, Target, TaskSpec, Value
from trainer.evaluation.evaluation import compare, evaluate
from trainer.evaluation.report import Subject, write_report
from trainer.evaluation.report_page import page
from trainer.evaluation.stress import Stress, stress_report

FINDING = Target("finding", "choice", choices=("normal", "pneumonia"))
CAUSE = Target(
    "cause", "choice", choices=("bacterial", "viral"), applies_when=("finding", "pneumonia")
)
SEX = Target("sex", "choice", choices=("female", "male"))
RULE = GateRule("finding", 0.05, 0.1, ())
PNEUMONIA = TaskSpec(
    "pneumonia", "Pneumonia", "image", "image", (FINDING, CAUSE, SEX), RULE, "<View/>"
)
BY_CAUSE = replace(PNEUMONIA, gate=GateRule("cause", 0.05, 0.1, ()))
LOG_LOSS = replace(PNEUMONIA, gate=replace(RULE, metric="log_loss"))


def said(pneumonia: float) -> Prediction:
    """A prediction of a probability of pneumonia, which is viral for sure."""
    chances = {"finding": {"normal": 1 - pneumonia, "pneumonia": pneumonia}}
    values: dict[str, Value] = {"finding": "pneumonia" if pneumonia >= 0.5 else "normal"}
    if pneumonia >= 0.5:
        chances["cause"] = {"bacterial": 0.0, "viral": 1.0}
        values["cause"] = "viral"
    return Prediction("", "v0001-00000000", values, {}, chances, 0.5, 0.9)


TRUTHS: dict[str, dict[str, Value]] = {
    "a": {"finding": "normal", "sex": "female"},
    "b": {"finding": "normal", "sex": "male"},
    "c": {"finding": "pneumonia", "cause": "viral", "sex": "female"},
    "d": {"finding": "pneumonia", "cause": "viral", "sex": "male"},
    "e": {"finding": "pneumonia", "cause": "bacterial", "sex": "male"},
}
NEW = {"a": said(0.2), "b": said(0.6), "c": said(0.9), "d": said(0.8), "e": said(0.6)}
"""Wrong: b."""

CHAMPION = {"a": said(0.3), "b": said(0.1), "c": said(0.4), "d": said(0.3), "e": said(0.9)}
"""Wrong: c and d."""


def test_the_gates_score_is_that_of_the_choice() -> None:
    result = evaluate(PNEUMONIA, NEW, TRUTHS, [TRUTHS["c"], TRUTHS["d"], TRUTHS["a"]])

    assert (result.cases, result.score) == (5, result.choices["finding"])
    assert result.choices["finding"].accuracy == 0.8
    assert result.choices["finding"].baseline_accuracy == 0.6


def test_each_true_choice_is_a_band_of_its_own() -> None:
    # One of two healthy films is called ill, no pneumonia is missed.
    bands = evaluate(PNEUMONIA, NEW, TRUTHS, []).choices["finding"].bands

    assert {band.name: (band.cases, band.accuracy) for band in bands} == {
        "normal": (2, 0.5),
        "pneumonia": (3, 1.0),
    }


def test_the_log_loss_has_an_interval_and_that_of_the_training_frequencies_beside_it() -> None:
    learnt = [TRUTHS["a"], *(TRUTHS[key] for key in "cde")]

    score = evaluate(PNEUMONIA, NEW, TRUTHS, learnt).choices["finding"]

    losses = [-math.log(p) for p in (0.8, 0.4, 0.9, 0.8, 0.6)]
    low, high = score.log_loss_ci95
    assert score.log_loss == pytest.approx(sum(losses) / 5)
    assert min(losses) <= low < score.log_loss < high <= max(losses)
    # Of four labels one is normal: two cases of 1/4 and three of 3/4.
    assert score.baseline_log_loss == pytest.approx(-(2 * math.log(0.25) + 3 * math.log(0.75)) / 5)


def test_models_are_compared_by_their_wrong_answers() -> None:
    # b is wrong here alone, c and d there alone.
    result = compare(PNEUMONIA, NEW, CHAMPION, TRUTHS)

    assert (result.cases, result.mean_difference) == (5, pytest.approx(-1 / 5))
    assert (result.new_error, result.champion_error) == (0.2, 0.4)
    assert {band.name: (band.cases, band.mean_difference) for band in result.bands} == {
        "normal": (2, 0.5),
        "pneumonia": (3, pytest.approx(-2 / 3)),
    }


def test_models_are_compared_by_the_log_loss_if_the_rule_says_so() -> None:
    result = compare(LOG_LOSS, NEW, CHAMPION, TRUTHS)

    ours = [0.8, 0.4, 0.9, 0.8, 0.6]
    theirs = [0.7, 0.9, 0.4, 0.3, 0.9]
    change = [math.log(q) - math.log(p) for p, q in zip(ours, theirs, strict=True)]
    assert result.mean_difference == pytest.approx(sum(change) / 5)
    assert result.bands[1].mean_difference == pytest.approx(sum(change[2:]) / 3)


def test_bands_of_the_truth_are_split_by_another_choice() -> None:
    by_sex = replace(PNEUMONIA, gate=replace(RULE, band_by="sex"))

    result = compare(by_sex, NEW, CHAMPION, TRUTHS)

    assert {band.name: (band.cases, band.mean_difference) for band in result.bands} == {
        "female normal": (1, 0.0),
        "female pneumonia": (1, -1.0),
        "male normal": (1, 1.0),
        "male pneumonia": (2, -0.5),
    }


def test_a_choice_that_depends_on_another_is_judged_where_it_applies() -> None:
    # The champion calls c and d healthy, so it tells no cause of them: wrong, probability 0.
    wrong = compare(BY_CAUSE, NEW, CHAMPION, TRUTHS)
    costly = replace(BY_CAUSE, gate=replace(BY_CAUSE.gate, metric="log_loss"))
    loss = compare(costly, NEW, CHAMPION, TRUTHS)

    assert (wrong.cases, wrong.mean_difference) == (3, pytest.approx(-2 / 3))
    assert loss.mean_difference == pytest.approx(2 * math.log(1e-4) / 3)


def test_the_figures_of_a_choice_are_json() -> None:
    plain = json.loads(json.dumps(evaluate(PNEUMONIA, NEW, TRUTHS, []).to_json(), allow_nan=False))

    assert (plain["primary"], plain["cases"]) == ("finding", 5)
    assert plain["accuracy"]["finding"] == 0.8
    assert plain["baseline_log_loss"] is None


@pytest.mark.parametrize(
    ("spec", "said"),
    [(PNEUMONIA, "error rate 0.200 against 0.400"), (LOG_LOSS, "log loss 0.")],
    ids=["wrong answers", "log loss"],
)
def test_a_report_says_by_what_the_models_are_compared(spec: TaskSpec, said: str) -> None:
    found = compare(spec, NEW, CHAMPION, TRUTHS)
    about = Subject(spec, "v0002-1", "v0003", "test", NEW, TRUTHS, against="v0001-0",
                    comparison=found)  # fmt: skip

    text = page(evaluate(spec, NEW, TRUTHS, []), about, [])

    assert f"Over the same 5 cases: {said}" in text
    assert "| pneumonia | 3 |" in text


@pytest.mark.long
def test_a_choice_has_a_report_with_its_calibration(tmp_path: Path) -> None:
    about = Subject(PNEUMONIA, "v0002-1", "v0003", "test", NEW, TRUTHS)

    written = write_report(tmp_path / "report", evaluate(PNEUMONIA, NEW, TRUTHS, []), about)

    assert "calibration-finding.png" in {path.name for path in written.parent.iterdir()}


class Sure:
    """Tells pneumonia of light films."""

    def predict_images(self, images, ids, known=None):  # type: ignore[no-untyped-def]
        return [said(0.9 if image.mean() > 100 else 0.1) for image in images]


def test_altered_films_are_counted_where_the_choice_changes() -> None:
    films = [np.full((4, 4), grey, np.uint8) for grey in (50, 95, 150)]
    lighter = Stress("lighter", "Lighter.", lambda film: film + np.uint8(10))

    report = stress_report(PNEUMONIA, Sure(), films, ["a", "b", "c"], TRUTHS, stresses=[lighter])

    assert (report.target, report.unit, report.results[0].cases) == ("finding", "", 0)
    assert report.results[0].choices["finding"] == pytest.approx(1 / 3)
