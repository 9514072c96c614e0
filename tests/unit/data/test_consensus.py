from __future__ import annotations

from datetime import timedelta

import pytest

from data.domain import LabelledRadiograph, Reading, TaskSpec
from data.readers.consensus import consensus
from tests.unit.data.dataset_cases import (
    NOON,
    PNEUMONIA,
    SPEC,
    a_radiograph,
    a_reading,
    radiograph_id,
)


def only_row(*readings: Reading, spec: TaskSpec = SPEC) -> LabelledRadiograph:
    (row,) = consensus([a_radiograph()], readings, spec)
    return row


def test_one_reading_is_the_label() -> None:
    row = only_row(a_reading(age_months=100.0, sex="female"))

    assert row.values == {"age_months": 100.0, "sex": "female"}
    assert row.readers == ("ada@example.org",)
    assert row.agreement == 1.0
    assert row.labelled_at == NOON
    assert not row.reference


@pytest.mark.parametrize(
    ("ages", "centre"),
    [((90.0, 100.0, 140.0), 100.0), ((90.0, 100.0), 95.0), ((90.0, 96.0, 100.0, 240.0), 98.0)],
    ids=["three", "two", "four, one far off"],
)
def test_a_number_is_the_median(ages: tuple[float, ...], centre: float) -> None:
    readings = [a_reading(f"{i}@x.org", minute=i, age_months=age) for i, age in enumerate(ages)]

    assert only_row(*readings).values["age_months"] == centre


def test_a_choice_is_what_most_readers_say() -> None:
    row = only_row(
        a_reading("a@x.org", minute=0, sex="female"),
        a_reading("b@x.org", minute=1, sex="female"),
        a_reading("c@x.org", minute=2, sex="male"),
    )

    assert row.values["sex"] == "female"
    assert row.agreement == pytest.approx(2 / 3)


def test_among_equally_frequent_choices_the_latest_reading_wins() -> None:
    early = a_reading("a@x.org", minute=0, sex="male")
    late = a_reading("b@x.org", minute=9, sex="female")

    assert only_row(late, early).values["sex"] == "female"


def test_agreement_is_the_share_of_readings_within_tolerance() -> None:
    # Median 100, tolerance 12: 88 is just within, 113 is not.
    row = only_row(
        a_reading("a@x.org", minute=0, age_months=88.0),
        a_reading("b@x.org", minute=1, age_months=100.0),
        a_reading("c@x.org", minute=2, age_months=113.0),
    )

    assert row.agreement == pytest.approx(2 / 3)


def test_a_reading_that_differs_in_one_target_does_not_agree() -> None:
    row = only_row(
        a_reading("a@x.org", minute=0, age_months=100.0, sex="female"),
        a_reading("b@x.org", minute=1, age_months=100.0, sex="male"),
        a_reading("c@x.org", minute=2, age_months=100.0, sex="male"),
    )

    assert row.agreement == pytest.approx(2 / 3)


def test_the_reference_wins_over_all_readers() -> None:
    row = only_row(
        a_reading("reference", minute=0, age_months=60.0, sex="male"),
        a_reading("a@x.org", minute=1, age_months=100.0, sex="female"),
        a_reading("b@x.org", minute=2, age_months=100.0, sex="female"),
    )

    assert row.values == {"age_months": 60.0, "sex": "male"}
    assert row.reference
    assert row.readers == ("a@x.org", "b@x.org", "reference")
    assert row.agreement == pytest.approx(1 / 3)


def test_readers_fill_in_what_the_reference_leaves_out() -> None:
    row = only_row(
        a_reading("reference", minute=0, sex="male"),
        a_reading("a@x.org", minute=1, age_months=100.0, sex="female"),
    )

    assert row.values == {"age_months": 100.0, "sex": "male"}


def test_a_withdrawn_reading_does_not_count() -> None:
    row = only_row(
        a_reading("a@x.org", minute=0, age_months=100.0),
        a_reading("b@x.org", minute=1, withdrawn=True, age_months=200.0),
    )

    assert row.values["age_months"] == 100.0
    assert row.readers == ("a@x.org",)


def test_of_one_reader_only_the_latest_reading_counts() -> None:
    row = only_row(
        a_reading("a@x.org", minute=5, age_months=120.0),
        a_reading("a@x.org", minute=0, age_months=60.0),
        a_reading("b@x.org", minute=1, age_months=122.0),
    )

    assert row.values["age_months"] == 121.0
    assert row.readers == ("a@x.org", "b@x.org")


def test_the_label_is_as_old_as_its_latest_reading() -> None:
    row = only_row(
        a_reading("a@x.org", minute=7, sex="male"), a_reading("b@x.org", minute=3, sex="male")
    )

    assert row.labelled_at == NOON + timedelta(minutes=7)


def test_radiographs_without_live_readings_are_absent() -> None:
    rows = consensus(
        [a_radiograph(1), a_radiograph(2), a_radiograph(3)],
        [
            a_reading(number=1, sex="male"),
            a_reading(number=2, withdrawn=True, sex="male"),
            a_reading(number=9, sex="male"),
        ],
        SPEC,
    )

    assert [row.radiograph.id for row in rows] == [radiograph_id(1)]


def test_a_reading_without_any_value_is_no_label() -> None:
    assert consensus([a_radiograph()], [a_reading()], SPEC) == []


def test_rows_are_sorted_by_id_whatever_the_order_of_the_readings() -> None:
    numbers = [3, 1, 2]

    rows = consensus(
        [a_radiograph(number) for number in numbers],
        [a_reading(number=number, sex="male") for number in reversed(numbers)],
        SPEC,
    )

    assert [row.radiograph.id for row in rows] == [radiograph_id(n) for n in (1, 2, 3)]


def test_a_target_that_does_not_apply_is_left_out() -> None:
    row = only_row(
        a_reading("a@x.org", minute=0, finding="pneumonia", cause="viral"),
        a_reading("b@x.org", minute=1, finding="normal"),
        a_reading("c@x.org", minute=2, finding="normal"),
        spec=PNEUMONIA,
    )

    assert row.values == {"finding": "normal"}


def test_a_target_that_applies_is_united_from_those_who_gave_it() -> None:
    row = only_row(
        a_reading("a@x.org", minute=0, finding="pneumonia", cause="viral"),
        a_reading("b@x.org", minute=1, finding="pneumonia", cause="viral"),
        a_reading("c@x.org", minute=2, finding="normal"),
        spec=PNEUMONIA,
    )

    assert row.values == {"finding": "pneumonia", "cause": "viral"}


# Adjudicators

CHIEF = "chief@example.org"


def settled_row(*readings: Reading, spec: TaskSpec = SPEC) -> LabelledRadiograph:
    (row,) = consensus([a_radiograph()], readings, spec, [CHIEF, "deputy@example.org"])
    return row


def test_an_adjudicator_wins_over_all_readers() -> None:
    row = settled_row(
        a_reading("a@x.org", minute=0, age_months=100.0, sex="female"),
        a_reading(CHIEF, minute=1, age_months=130.0, sex="male"),
        a_reading("b@x.org", minute=2, age_months=102.0, sex="female"),
    )

    assert row.values == {"age_months": 130.0, "sex": "male"}
    assert row.agreement == pytest.approx(1 / 3)
    assert not row.reference


def test_an_adjudicator_decides_only_what_was_read() -> None:
    row = settled_row(
        a_reading("a@x.org", minute=0, age_months=100.0, sex="female"),
        a_reading("b@x.org", minute=1, age_months=104.0, sex="female"),
        a_reading(CHIEF, minute=2, age_months=130.0),
    )

    assert row.values == {"age_months": 130.0, "sex": "female"}


def test_of_several_adjudicators_the_latest_who_read_a_target_decides_it() -> None:
    row = settled_row(
        a_reading("deputy@example.org", minute=3, age_months=120.0),
        a_reading(CHIEF, minute=2, age_months=130.0, sex="male"),
    )

    assert row.values == {"age_months": 120.0, "sex": "male"}


def test_the_reference_wins_over_an_adjudicator() -> None:
    row = settled_row(
        a_reading("reference", minute=0, age_months=60.0),
        a_reading(CHIEF, minute=1, age_months=130.0, sex="male"),
    )

    assert row.values == {"age_months": 60.0, "sex": "male"}
    assert row.reference


def test_a_withdrawn_adjudication_decides_nothing() -> None:
    row = settled_row(
        a_reading("a@x.org", minute=0, age_months=100.0),
        a_reading(CHIEF, minute=1, withdrawn=True, age_months=130.0),
    )

    assert row.values == {"age_months": 100.0}


def test_the_case_of_an_adjudicators_address_does_not_matter() -> None:
    row = settled_row(
        a_reading("a@x.org", minute=0, age_months=100.0),
        a_reading("Chief@Example.org", minute=1, age_months=130.0),
    )

    assert row.values == {"age_months": 130.0}
