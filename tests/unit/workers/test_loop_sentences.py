"""The figures in sentences, as a person reads them on the page and in the terminal."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from data.domain import Target
from workers import loop_sentences as sentences
from workers.drift_figures import Drift, Shift
from workers.live_figures import LiveCoverage, LiveFigures, ShadowFigures
from workers.queue_state import QueueState, WorkerState

NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)
AGE = Target("age_months", "number", "months", 0.0, 240.0, tolerance=6.0)
SEX = Target("sex", "choice", choices=("female", "male"))
LIVE = LiveFigures(
    films=45,
    error=9.24,
    error_ci95=(7.31, 11.18),
    kept=15,
    since=NOON,
    bias=-0.4,
    intervals=LiveCoverage(45, 40, 40 / 45, (0.76, 0.963), 0.9),
)


def test_live_figures_are_told_with_their_intervals_and_what_flatters_them() -> None:
    assert sentences.live_sentences(LIVE, AGE, "v2") == [
        "On the last 45 radiographs that were read after v2 had scored them (at most 200), it "
        "differs from the readings by 9.2 [7.3, 11.2] months on average and lies 0.4 months below "
        "them.",
        "40 of 45 lie within their interval: 89 % [76 %, 96 %]; 90 % are promised.",
        "15 readings kept the model's values, so true error and coverage are probably worse.",
    ]


def test_of_a_choice_the_share_of_other_answers_is_told() -> None:
    live = LiveFigures(films=8, error=0.125, error_ci95=(0.0, 0.375), kept=0, since=NOON)

    assert sentences.live_sentences(live, SEX, "v2") == [
        "On the last 8 radiographs that were read after v2 had scored them (at most 200), it said "
        "otherwise than the reader on 12.5 [0.0, 37.5] %."
    ]


def test_what_is_not_there_is_said() -> None:
    assert "No model serves yet" in sentences.live_sentences(None, AGE, "")[0]
    assert "No radiograph has been read yet" in sentences.live_sentences(None, AGE, "v2")[0]
    assert sentences.shadow_sentence(None, AGE, "v2") == "There is no challenger."
    assert sentences.drift_sentences(None, AGE) == ["Nothing was scored in the last 7 days."]


@pytest.mark.parametrize(
    ("difference", "ends", "verdict"),
    [
        pytest.param(-2.0, (-3.0, -1.0), "is nearer to the readers", id="nearer"),
        pytest.param(2.0, (1.0, 3.0), "is further from the readers", id="further"),
        pytest.param(0.5, (-1.0, 2.0), "does not clearly differ", id="undecided"),
    ],
)
def test_a_challenger_is_judged_by_the_interval(
    difference: float, ends: tuple[float, float], verdict: str
) -> None:
    shadow = ShadowFigures("v3", 20, 10.0, 10.0 + difference, difference, ends)

    said = sentences.shadow_sentence(shadow, AGE, "v2")

    assert f"the challenger v3 {verdict}" in said
    assert f"{10 + difference:.1f} months against 10.0 months" in said


def test_drift_is_told_as_one_number_with_words() -> None:
    drift = Drift(
        values=Shift(0.154, 70, 116, "slightly different"),
        novelty=Shift(0.07, 50, 0, "slightly different"),
        confidence=Shift(0.5, 5, 9, "too few"),
    )

    assert sentences.drift_sentences(drift, AGE) == [
        "Predicted age of 70 radiographs scored in the last 7 days against 116 training labels: "
        "slightly different (distance 0.15 of 1).",
        "Novelty: 8 % are unlike the films learnt from, 1 % is usual: slightly different.",
        "Confidence against 9 radiographs scored before: too few to tell.",
    ]


@pytest.mark.parametrize(
    ("waiting", "behind", "champion", "said"),
    [
        pytest.param(0, 0, "v2", "0 tasks wait for a reader.", id="none"),
        pytest.param(
            1, 0, "", "1 task waits for a reader; no model scores them yet.", id="no-model"
        ),
        pytest.param(5, 0, "v2", "5 tasks wait for a reader, all scored by v2.", id="scored"),
        pytest.param(
            5, 2, "v2", "5 tasks wait for a reader; 2 of them wait to be scored by v2.", id="behind"
        ),
    ],
)
def test_scores_that_wait_are_told(waiting: int, behind: int, champion: str, said: str) -> None:
    assert sentences.scores_sentence(waiting, behind, champion) == said


def test_radiographs_that_cannot_be_read_are_told_with_the_reasons() -> None:
    assert sentences.unreadable_sentence({"position": 1, "wrong body part": 2}) == (
        "3 radiographs cannot be read: position 1, wrong body part 2."
    )
    assert sentences.unreadable_sentence({}) == ""


def test_queues_and_workers_are_told() -> None:
    waiting = QueueState("heavy", 2, 200.0, "train r0003")
    busy = WorkerState("0123456789abcdef", ("heavy",), "train r0003", 65.0, 3.0)

    assert sentences.queue_sentence(waiting, 1) == (
        "heavy: 2 jobs wait, the oldest for 3 min (train r0003), 1 worker."
    )
    assert sentences.queue_sentence(QueueState("light", 0), 0) == (
        "light: nothing waits, no worker."
    )
    assert sentences.worker_sentence(busy) == (
        "heavy worker 01234567: train r0003 for 65 s, last heard 3 s ago."
    )


@pytest.mark.parametrize(
    ("value", "target", "interval", "text"),
    [
        pytest.param(9.25, AGE, (8.0, 10.55), "9.2 [8.0, 10.6] months", id="number"),
        pytest.param(0.25, SEX, (0.1, 0.5), "25.0 [10.0, 50.0] %", id="choice"),
        pytest.param(9.25, AGE, (math.nan, math.nan), "9.2 months", id="no-interval"),
        pytest.param(math.nan, AGE, (8.0, 9.0), "–", id="unknown"),
        pytest.param(-9.26, AGE, None, "−9.3 months", id="minus"),
    ],
)
def test_errors_are_written_with_their_unit(
    value: float, target: Target, interval: tuple[float, float] | None, text: str
) -> None:
    assert sentences.error_text(value, target, interval) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.0, "4 s"), (119.0, "119 s"), (180.0, "3 min"), (7200.0, "2 h"), (3 * 86400.0, "3 days")],
)
def test_durations_are_written_as_a_person_says_them(seconds: float, text: str) -> None:
    assert sentences.duration(seconds) == text
