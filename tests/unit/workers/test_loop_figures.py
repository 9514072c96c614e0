"""The figures of the loop, from rows of the ledger that are worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from data.domain import DatasetVersion
from data.ledger.events import Event, EventKind
from data.runs import Run, RunState
from workers.loop_figures import (
    BudgetPoint,
    budget_curve,
    challenger_of,
    model_figures,
    training_progress,
)

NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)
METRICS = {
    "primary": "age_months",
    "cases": 60,
    "mae": 9.5,
    "mae_ci95": [8.0, 11.0],
    "coverage": 0.9,
    "coverage_ci95": [0.8, 0.96],
    "promised_coverage": 0.9,
}


def run(number: int, **changes: object) -> Run:
    made = Run(
        f"r{number:04d}",
        "labels",
        NOON,
        RunState.SUCCEEDED,
        version=f"v{number:04d}",
        model_version=f"v{number:04d}-aaaaaaaa",
        promoted=True,
        metrics=METRICS,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def version(number: int, labels: int) -> DatasetVersion:
    return DatasetVersion(f"v{number:04d}", "c" * 40, labels, labels, number, NOON)


def turn(seq: int, kind: EventKind, model: str) -> Event:
    return Event(seq, NOON + timedelta(minutes=seq), kind, model, {}, "0" * 64)


def test_a_model_is_told_by_what_the_gate_saw_and_when_it_last_took_over() -> None:
    turns = [
        turn(1, EventKind.PROMOTED, "v0001-aaaaaaaa"),
        turn(2, EventKind.PROMOTED, "v0002-aaaaaaaa"),
        turn(3, EventKind.ROLLED_BACK, "v0001-aaaaaaaa"),
    ]

    first, second = model_figures(
        [run(1), run(2)], [version(1, 50), version(2, 90)], turns, "v0001-aaaaaaaa"
    )

    assert (first.labels, first.cases, first.error, first.error_ci95) == (50, 60, 9.5, (8.0, 11.0))
    assert (first.coverage, first.coverage_ci95, first.promised) == (0.9, (0.8, 0.96), 0.9)
    assert (first.serves, first.promoted_at) == (True, NOON + timedelta(minutes=3))
    assert (second.serves, second.promoted_at) == (False, NOON + timedelta(minutes=2))


@pytest.mark.parametrize(
    "metrics",
    [
        pytest.param({}, id="none"),
        pytest.param({"mae": None, "mae_ci95": [None, None], "cases": 0}, id="no-test-case"),
    ],
)
def test_a_model_without_test_cases_has_no_error(metrics: dict[str, object]) -> None:
    (model,) = model_figures([run(1, metrics=metrics)], [], [], "")

    assert math.isnan(model.error)
    assert math.isnan(model.coverage)
    assert all(map(math.isnan, model.error_ci95))
    assert (model.labels, model.cases) == (0, 0)


def test_the_error_of_a_choice_is_the_share_of_wrong_answers() -> None:
    score = {"accuracy": 0.75, "accuracy_ci95": [0.5, 0.9]}
    metrics = {"primary": "finding", "choices": {"finding": score}}

    (model,) = model_figures([run(1, metrics=metrics)], [], [], "")

    assert model.error == 0.25
    assert model.error_ci95 == pytest.approx((0.1, 0.5))


def test_a_training_that_made_no_model_is_none() -> None:
    failed = run(1, model_version="", state=RunState.FAILED)

    assert model_figures([failed], [], [], "") == ()


def test_the_budget_curve_begins_with_the_fewest_labels_and_leaves_out_what_is_unknown() -> None:
    versions = [version(1, 120), version(2, 60)]
    runs = [run(1), run(2), run(3), run(4, version="v0001", metrics={})]
    models = model_figures(runs, versions, [], "")

    assert budget_curve(models) == (
        BudgetPoint(60, 9.5, (8.0, 11.0), "v0002-aaaaaaaa"),
        BudgetPoint(120, 9.5, (8.0, 11.0), "v0001-aaaaaaaa"),
    )


@pytest.mark.parametrize(
    ("decisions", "champion", "expected"),
    [
        pytest.param([True, False], 1, 2, id="the-newest-did-not-pass"),
        pytest.param([True, False, True], 3, 0, id="a-later-one-passed"),
        pytest.param([False, False], 0, 2, id="no-champion"),
        pytest.param([True, False, None], 1, 2, id="the-newest-is-not-judged"),
        pytest.param([True, True], 1, 0, id="rolled-back-to-the-first"),
        pytest.param([], 0, 0, id="no-training"),
    ],
)
def test_the_challenger_is_the_newest_model_that_did_not_pass(
    decisions: list[bool | None], champion: int, expected: int
) -> None:
    runs = [run(number, promoted=passed) for number, passed in enumerate(decisions, start=1)]
    serving = f"v{champion:04d}-aaaaaaaa" if champion else ""

    assert challenger_of(runs, serving) == (f"v{expected:04d}-aaaaaaaa" if expected else "")


def test_progress_tells_the_epoch_of_the_training_under_way() -> None:
    active = run(
        2,
        state=RunState.RUNNING,
        stage="train, epoch 12 of 40",
        started_at=NOON - timedelta(minutes=3),
        heartbeat_at=NOON - timedelta(seconds=4),
    )

    progress = training_progress([run(1), active], NOON)

    assert progress is not None
    assert (progress.run, progress.epoch, progress.epochs) == ("r0002", 12, 40)
    assert (progress.running_s, progress.heard_s) == (180.0, 4.0)


def test_without_an_active_training_there_is_no_progress() -> None:
    assert training_progress([run(1)], NOON) is None
