from __future__ import annotations

import pytest

from data.domain import Target
from ml_backend import wording
from tests.unit.ml_backend.fakes import SPEC

AGE = SPEC.target("age_months")
SEX = SPEC.target("sex")
ANGLE = Target("angle", "number", "degrees", 0.0, 10.0, tolerance=1.0)


def plain(text: str) -> str:
    return text.replace(wording.NBSP, " ").replace(wording.MINUS, "-")


@pytest.mark.parametrize(
    ("months", "text"),
    [(0.0, "0 y 0 m"), (11.6, "1 y 0 m"), (112.4, "9 y 4 m"), (228.0, "19 y 0 m")],
)
def test_months_are_told_in_years_and_months(months: float, text: str) -> None:
    assert plain(wording.years_and_months(months)) == text


@pytest.mark.parametrize(
    ("target", "value", "first", "text"),
    [
        pytest.param(AGE, 112.4, "9 y 4 m", "112 months", id="age"),
        pytest.param(ANGLE, 4.26, "4.3 degrees", "4.3 degrees", id="another-number"),
        pytest.param(SEX, "female", "female", "female", id="choice"),
    ],
)
def test_a_value_is_told_with_its_unit(
    target: Target, value: float | str, first: str, text: str
) -> None:
    assert plain(wording.leading(target, value)) == first
    assert plain(wording.in_words(target, value)) == text


@pytest.mark.parametrize(
    ("difference", "text"),
    [(12.4, "+12 months"), (-3.6, "-4 months"), (-0.2, "0 months"), (0.0, "0 months")],
)
def test_a_difference_has_a_sign(difference: float, text: str) -> None:
    assert plain(wording.signed(AGE, difference)) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (8.4, "8 s"), (60.0, "1 min 0 s"), (185.0, "3 min 5 s")]
)
def test_lead_times_are_told_in_minutes_and_seconds(seconds: float | None, text: str) -> None:
    assert plain(wording.duration(seconds)) == text


@pytest.mark.parametrize(
    ("target", "text"), [(AGE, "Age"), (SEX, "Sex"), (ANGLE, "Angle")], ids=["age", "sex", "angle"]
)
def test_a_target_is_named_without_its_unit(target: Target, text: str) -> None:
    assert wording.title(target) == text
