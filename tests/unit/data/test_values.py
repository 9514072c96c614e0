from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.domain import Target
from data.errors import InvalidInputError
from data.values import format_value, parse_value

AGE = Target("age_months", "number", "months", minimum=0, maximum=240)
SEX = Target("sex", "choice", choices=("female", "male"))


@given(tenths=st.integers(0, 2400))
def test_a_number_survives_being_written_and_read(tenths: int) -> None:
    assert parse_value(AGE, format_value(tenths / 10)) == tenths / 10


@pytest.mark.parametrize(
    ("value", "text"),
    [(120.0, "120"), (120.5, "120.5"), (0.1 + 0.2, "0.3"), ("male", "male"), (None, "")],
)
def test_values_are_written_short(value: float | str | None, text: str) -> None:
    assert format_value(value) == text


@pytest.mark.parametrize(
    "text", ["", "ten", "nan", "inf", "1e999", "-1", "240.1", "12 years", "1,5"]
)
def test_what_is_no_number_in_range_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^age_months is .*\.$"):
        parse_value(AGE, text)


@pytest.mark.parametrize("text", ["", "Male", "m", "female "])
def test_what_is_no_choice_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"sex is .* must be one of female, male"):
        parse_value(SEX, text)


def test_a_number_without_limits_may_be_anything_finite() -> None:
    assert parse_value(Target("shift", "number"), "-1e9") == -1e9
