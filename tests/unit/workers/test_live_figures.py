"""Live coverage, live error and shadow, from predictions and later readings."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

import pytest

from data.domain import Prediction, Target
from data.ledger.figures import HeldPrediction
from tests.unit.workers.loop_ledger import prediction
from workers.live_figures import FEW, live_figures, shadow_figures

NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)
AGE = Target("age_months", "number", "months", 0.0, 240.0, tolerance=6.0)
SEX = Target("sex", "choice", choices=("female", "male"))


def held(
    number: int,
    told: float,
    read: float,
    origin: Literal["manual", "prediction"] = "manual",
    half: float = 15.0,
) -> HeldPrediction:
    made: Prediction = prediction(f"{number:064x}", "v1", told, half)
    return HeldPrediction(made, {"age_months": read, "sex": "male"}, origin, NOON)


def test_live_figures_are_counted_by_hand() -> None:
    cases = [held(1, 100, 110), held(2, 100, 80), held(3, 50, 50, "prediction"), held(4, 90, 105)]

    live = live_figures(cases, AGE)

    assert live is not None
    assert live.films == 4
    assert live.error == pytest.approx((10 + 20 + 0 + 15) / 4)
    assert live.bias == pytest.approx((-10 + 20 + 0 - 15) / 4)
    assert live.kept == 1
    assert live.intervals is not None
    assert (live.intervals.inside, live.intervals.share) == (3, 0.75)
    # Clopper & Pearson for 3 of 4, from their tables.
    assert live.intervals.ci95 == pytest.approx((0.1941, 0.9937), abs=1e-4)


def test_readings_without_the_value_do_not_count() -> None:
    unreadable = replace(held(1, 100, 100), values={})

    assert live_figures([unreadable], AGE) is None
    assert live_figures([], AGE) is None


def test_of_a_choice_the_share_told_otherwise_counts_and_there_is_no_interval() -> None:
    right = replace(held(1, 100, 100), values={"sex": "female"})

    live = live_figures([right, held(2, 100, 100), held(3, 100, 100)], SEX)

    assert live is not None
    assert live.error == pytest.approx(2 / 3)
    assert live.intervals is None


@pytest.mark.parametrize(
    ("films", "inside", "broken"),
    [
        pytest.param(40, 28, True, id="far-too-few-inside"),
        pytest.param(40, 34, False, id="chance-may-do-that"),
        pytest.param(FEW - 1, 0, False, id="too-few-films-for-a-verdict"),
    ],
)
def test_the_promise_is_broken_only_if_chance_does_not_explain_it(
    films: int, inside: int, broken: bool
) -> None:
    cases = [held(n, 100, 100 if n < inside else 150) for n in range(films)]

    live = live_figures(cases, AGE)

    assert live is not None
    assert live.intervals is not None
    assert live.intervals.breaks_its_promise is broken


def test_the_challenger_is_compared_on_the_films_that_both_had_scored() -> None:
    champion = [held(n, 110, 100) for n in range(1, 31)]
    challenger = [held(n, 104, 100) for n in range(11, 41)]

    shadow = shadow_figures(champion, challenger, "v2", AGE)

    assert shadow is not None
    assert (shadow.films, shadow.champion_error, shadow.challenger_error) == (20, 10.0, 4.0)
    assert (shadow.difference, shadow.ci95) == (-6.0, (-6.0, -6.0))


def test_a_challenger_without_shared_films_says_so_and_no_challenger_is_none() -> None:
    waiting = shadow_figures([held(1, 100, 100)], [held(2, 100, 100)], "v2", AGE)

    assert waiting is not None
    assert waiting.films == 0
    assert shadow_figures([held(1, 100, 100)], [], "", AGE) is None
