"""Whether films have changed: a distance, and words that allow for chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.domain import Prediction, Target
from tests.unit.workers.loop_ledger import prediction
from workers.drift_figures import drift, ks_distance
from workers.live_figures import FEW

AGE = Target("age_months", "number", "months", 0.0, 240.0, tolerance=6.0)
SEX = Target("sex", "choice", choices=("female", "male"))


def told(ages: object, novelty: float | None = 0.5) -> list[Prediction]:
    made = [prediction(f"{n:064x}", "v1", float(age)) for n, age in enumerate(ages)]  # type: ignore[call-overload]
    return [replace(one, novelty=novelty) for one in made]


def labels(ages: object) -> list[dict[str, float | str]]:
    return [{"age_months": float(age)} for age in ages]  # type: ignore[attr-defined]


def test_the_distance_is_that_of_scipy() -> None:
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(1)
    one, other = rng.normal(0, 1, 57), rng.normal(0.4, 1.2, 83)

    assert ks_distance(list(one), list(other)) == pytest.approx(ks_2samp(one, other).statistic)


@pytest.mark.parametrize(
    ("shift", "verdict"),
    [
        pytest.param(0, "alike", id="the-same"),
        pytest.param(25, "slightly different", id="an-eighth"),
        pytest.param(100, "clearly different", id="half"),
    ],
)
def test_ages_are_held_against_the_training_labels(shift: int, verdict: str) -> None:
    ages = np.linspace(20, 220, 500)

    found = drift(told(ages + shift), [], labels(ages), AGE)

    assert found is not None
    assert found.values is not None
    assert found.values.verdict == verdict
    assert found.values.distance == pytest.approx(shift / 200, abs=0.01)


def test_what_small_samples_show_by_chance_is_called_alike() -> None:
    rng = np.random.default_rng(2)
    found = drift(told(rng.uniform(0, 200, 25)), [], labels(rng.uniform(0, 200, 25)), AGE)

    assert found is not None
    assert found.values is not None
    assert found.values.distance > 0.1
    assert found.values.verdict == "alike"


def test_too_few_films_get_no_verdict() -> None:
    found = drift(told(range(FEW - 1)), [], labels(range(100)), AGE)

    assert found is not None
    assert found.values is not None
    assert found.values.verdict == "too few"


@pytest.mark.parametrize(
    ("unlike", "verdict"),
    [
        pytest.param(1, "alike", id="one-of-a-hundred-is-promised"),
        pytest.param(8, "alike", id="little"),
        pytest.param(15, "slightly different", id="some"),
        pytest.param(40, "clearly different", id="many"),
    ],
)
def test_novelty_is_held_against_the_one_percent_that_is_usual(unlike: int, verdict: str) -> None:
    films = told([100] * 100)
    films = [replace(one, novelty=1.5 if n < unlike else 0.3) for n, one in enumerate(films)]

    found = drift(films, [], [], AGE)

    assert found is not None
    assert found.novelty is not None
    assert found.novelty.distance == pytest.approx(unlike / 100 - 0.01)
    assert found.novelty.verdict == verdict


def test_confidence_is_held_against_what_was_scored_before() -> None:
    recent = [replace(one, confidence=0.2) for one in told([100] * 50)]

    found = drift(recent, told([100] * 50), [], AGE)

    assert found is not None
    assert found.confidence is not None
    assert (found.confidence.distance, found.confidence.verdict) == (1.0, "clearly different")


def test_what_is_not_known_is_not_told() -> None:
    found = drift(told([100] * 50, novelty=None), [], [], SEX)

    assert found is not None
    assert (found.values, found.novelty, found.confidence) == (None, None, None)
    assert drift([], [], [], AGE) is None
