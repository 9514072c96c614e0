from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.domain import Reading, TaskSpec
from data.readers.consensus import consensus
from data.readers.disagreements import Disagreement, disagreements
from tests.unit.data.dataset_cases import PNEUMONIA, SPEC, a_radiograph, a_reading, radiograph_id

CHIEF = "chief@example.org"


def disputes(*readings: Reading, spec: TaskSpec = SPEC) -> list[Disagreement]:
    radiographs = [a_radiograph(number) for number in (1, 2, 3)]
    return disagreements(radiographs, readings, spec, [CHIEF])


@pytest.mark.parametrize(
    ("one", "other", "beyond"),
    [(100.0, 112.0, False), (100.0, 112.5, True), (130.0, 100.0, True)],
    ids=["just within", "just beyond", "in either order"],
)
def test_readings_further_apart_than_the_tolerance_are_in_dispute(
    one: float, other: float, beyond: bool
) -> None:
    found = disputes(
        a_reading("a@x.org", minute=0, age_months=one),
        a_reading("b@x.org", minute=1, age_months=other),
    )

    assert bool(found) == beyond


def test_a_dispute_names_targets_readings_spread_and_the_consensus_meanwhile() -> None:
    (found,) = disputes(
        a_reading("a@x.org", minute=0, age_months=100.0, sex="male"),
        a_reading("b@x.org", minute=1, age_months=130.0, sex="male"),
        a_reading("c@x.org", minute=2, age_months=106.0, sex="male"),
    )

    assert found.targets == ("age_months",)
    assert [reading.reader for reading in found.readings] == ["a@x.org", "b@x.org", "c@x.org"]
    assert (found.spreads, found.spread) == ({"age_months": 30.0}, 2.5)
    assert found.label.values == {"age_months": 106.0, "sex": "male"}
    assert found.label.agreement == pytest.approx(2 / 3)


def test_different_choices_are_in_dispute() -> None:
    (found,) = disputes(
        a_reading("a@x.org", minute=0, age_months=100.0, sex="male"),
        a_reading("b@x.org", minute=1, age_months=100.0, sex="female"),
    )

    assert (found.targets, found.spreads, found.spread) == (("sex",), {}, 0.0)


def test_one_reading_is_in_no_dispute() -> None:
    assert disputes(a_reading("a@x.org", age_months=100.0)) == []


def test_a_reader_who_left_a_target_out_disputes_nothing() -> None:
    assert (
        disputes(
            a_reading("a@x.org", minute=0, age_months=100.0, sex="male"),
            a_reading("b@x.org", minute=1, sex="male"),
        )
        == []
    )


@pytest.mark.parametrize("judge", [CHIEF, CHIEF.upper(), "reference"])
def test_an_adjudicator_or_a_reference_settles_a_dispute(judge: str) -> None:
    assert (
        disputes(
            a_reading("a@x.org", minute=0, age_months=100.0),
            a_reading("b@x.org", minute=1, age_months=150.0),
            a_reading(judge, minute=2, age_months=120.0),
        )
        == []
    )


def test_an_adjudicator_settles_only_what_was_read() -> None:
    (found,) = disputes(
        a_reading("a@x.org", minute=0, age_months=100.0, sex="male"),
        a_reading("b@x.org", minute=1, age_months=150.0, sex="female"),
        a_reading(CHIEF, minute=2, age_months=120.0),
    )

    assert found.targets == ("sex",)


def test_a_withdrawn_adjudication_opens_the_dispute_again() -> None:
    assert (
        len(
            disputes(
                a_reading("a@x.org", minute=0, age_months=100.0),
                a_reading("b@x.org", minute=1, age_months=150.0),
                a_reading(CHIEF, minute=2, withdrawn=True, age_months=120.0),
            )
        )
        == 1
    )


def test_what_does_not_apply_is_in_no_dispute() -> None:
    (found,) = disputes(
        a_reading("a@x.org", minute=0, finding="pneumonia", cause="viral"),
        a_reading("b@x.org", minute=1, finding="pneumonia", cause="bacterial"),
        a_reading("c@x.org", minute=2, finding="normal"),
        a_reading("d@x.org", minute=3, finding="normal"),
        a_reading("e@x.org", minute=4, finding="normal"),
        spec=PNEUMONIA,
    )

    assert found.targets == ("finding",)


def test_the_widest_spread_comes_first() -> None:
    ages = {1: 120.0, 2: 160.0, 3: 140.0}

    found = disputes(
        *(a_reading("a@x.org", number, minute=0, age_months=100.0) for number in ages),
        *(a_reading("b@x.org", number, minute=1, age_months=age) for number, age in ages.items()),
    )

    assert [one.label.radiograph.id for one in found] == [radiograph_id(n) for n in (2, 3, 1)]


@given(st.lists(st.integers(0, 240), min_size=1, max_size=5))
def test_every_label_with_less_than_full_agreement_is_in_dispute(ages: list[int]) -> None:
    readings = [a_reading(f"{i}@x.org", minute=i, age_months=a) for i, a in enumerate(ages)]

    (row,) = consensus([a_radiograph()], readings, SPEC)

    assert row.agreement == 1 or len(disputes(*readings)) == 1
