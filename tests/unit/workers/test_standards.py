from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from data.domain import REFERENCE_READER, Radiograph, Reading, Split, TaskSpec
from data.importing.records import ImportBatch, NearDuplicate
from data.ledger.ledger import Ledger
from tests.unit.data.dataset_cases import PNEUMONIA, a_radiograph, a_reading, radiograph_id
from tests.unit.data.dataset_cases import SPEC as NO_INPUT
from workers.current_standards import CurrentStandards
from workers.standards import Standards, primary_number

SPEC = replace(NO_INPUT, input="sex")
"""Readings within 12 months agree; the sex is the task's input."""
STRANGER = "f" * 16


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as opened:
        yield opened


def settle(
    ledger: Ledger,
    number: int,
    age_months: float,
    sex: str = "female",
    split: Split = Split.TRAIN,
    patient: str = "",
) -> Radiograph:
    """Adds a film with a reference."""
    film = a_radiograph(number, split, patient)
    ledger.add_radiographs([film])
    ledger.record_readings([a_reading(REFERENCE_READER, number, age_months=age_months, sex=sex)])
    return film


def read(ledger: Ledger, *readings: Reading) -> None:
    """Adds films that experts have read."""
    ledger.add_radiographs(
        [a_radiograph(int(key, 16)) for key in {reading.radiograph_id for reading in readings}]
    )
    ledger.record_readings(readings)


def shown(
    ledger: Ledger,
    value: float,
    choice: str | None = "female",
    patient: str = STRANGER,
    spec: TaskSpec = SPEC,
) -> list[tuple[str, int, float]]:
    """Returns place, film and value of the standards that are shown."""
    found = Standards.load(ledger, spec, ["chief@example.org"]).nearest(value, choice, patient)
    return [(one.place, int(one.radiograph.id, 16), one.value) for one in found]


def test_a_value_is_between_the_next_younger_and_the_next_older_standard(ledger: Ledger) -> None:
    for number, age in enumerate((60.0, 80.0, 98.0, 103.0, 120.0, 150.0)):
        settle(ledger, number, age)

    assert shown(ledger, 100.0) == [("younger", 1, 80.0), ("same", 2, 98.0), ("older", 4, 120.0)]


def test_the_standard_alike_may_be_the_older_neighbour(ledger: Ledger) -> None:
    for number, age in enumerate((95.0, 102.0, 109.0)):
        settle(ledger, number, age)

    assert shown(ledger, 101.0) == [("same", 1, 102.0)]


@pytest.mark.parametrize(
    ("value", "places"),
    [
        pytest.param(88.0, ["same"], id="exactly-the-tolerance-below"),
        pytest.param(87.9, ["older"], id="further-below"),
        pytest.param(112.0, ["same"], id="exactly-the-tolerance-above"),
        pytest.param(112.1, ["younger"], id="further-above"),
    ],
)
def test_alike_is_what_lies_within_tolerance(
    ledger: Ledger, value: float, places: list[str]
) -> None:
    settle(ledger, 1, 100.0)

    assert [place for place, _, _ in shown(ledger, value)] == places


def test_only_standards_of_the_same_sex_are_shown(ledger: Ledger) -> None:
    settle(ledger, 1, 100.0, sex="male")
    settle(ledger, 2, 130.0, sex="female")

    assert shown(ledger, 100.0, "female") == [("older", 2, 130.0)]
    assert shown(ledger, 100.0, "male") == [("same", 1, 100.0)]


def test_without_a_known_sex_all_standards_are_shown(ledger: Ledger) -> None:
    settle(ledger, 1, 100.0, sex="male")
    settle(ledger, 2, 130.0, sex="female")

    assert shown(ledger, 100.0, None) == [("same", 1, 100.0), ("older", 2, 130.0)]


def test_a_task_without_an_input_shows_all_standards(ledger: Ledger) -> None:
    settle(ledger, 1, 100.0, sex="male")

    assert shown(ledger, 100.0, "female", spec=NO_INPUT) == [("same", 1, 100.0)]


def test_a_task_without_a_number_has_no_standards(ledger: Ledger) -> None:
    ledger.add_radiographs([a_radiograph(1)])
    ledger.record_readings([a_reading(REFERENCE_READER, 1, finding="normal")])

    assert primary_number(PNEUMONIA) is None
    assert shown(ledger, 1.0, None, spec=PNEUMONIA) == []


def test_the_patients_own_films_are_never_shown(ledger: Ledger) -> None:
    own = settle(ledger, 1, 100.0)
    settle(ledger, 2, 102.0)
    settle(ledger, 3, 130.0, patient=own.patient)

    assert shown(ledger, 100.0, patient=own.patient) == [("same", 2, 102.0)]


def test_a_patient_known_by_a_second_pseudonym_is_never_shown(ledger: Ledger) -> None:
    own = settle(ledger, 1, 100.0)
    settle(ledger, 2, 100.0, patient="e" * 16)
    ledger.record_import(
        ImportBatch(near_duplicates=[NearDuplicate(radiograph_id(2), radiograph_id(1), 0.01)]), 0
    )

    assert shown(ledger, 100.0, patient=own.patient) == []


def test_one_film_is_never_shown_twice(ledger: Ledger) -> None:
    settle(ledger, 1, 100.0)
    settle(ledger, 2, 120.0)
    settle(ledger, 3, 140.0)
    ledger.record_import(
        ImportBatch(near_duplicates=[NearDuplicate(radiograph_id(2), radiograph_id(1), 0.01)]), 0
    )

    assert shown(ledger, 100.0) == [("same", 1, 100.0), ("older", 3, 140.0)]


def test_films_of_the_test_split_are_never_shown(ledger: Ledger) -> None:
    settle(ledger, 1, 100.0, split=Split.TEST)
    settle(ledger, 2, 130.0, split=Split.CALIBRATION)

    assert shown(ledger, 100.0) == [("older", 2, 130.0)]


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        pytest.param([("a", 100.0, "female")], None, id="one-reader"),
        pytest.param(
            [("a", 100.0, "female"), ("b", 112.0, "female")], (106.0, 2, 2), id="two-who-agree"
        ),
        pytest.param(
            [("a", 100.0, "female"), ("b", 113.0, "female")], None, id="two-beyond-tolerance"
        ),
        pytest.param(
            [("a", 100.0, "female"), ("b", 101.0, "male")], None, id="two-who-dispute-the-sex"
        ),
        pytest.param(
            [("a", 80.0, "female"), ("b", 140.0, "female"), ("chief", 100.0, "female")],
            (100.0, 3, 1),
            id="settled-by-an-adjudicator",
        ),
        pytest.param(
            [("a", 100.0, "female"), ("b", 140.0, "female"), (REFERENCE_READER, 104.0, "female")],
            (104.0, 2, 1),
            id="settled-by-a-reference",
        ),
    ],
)
def test_a_standard_is_what_readers_agree_on_or_somebody_settled(
    ledger: Ledger,
    readings: list[tuple[str, float, str]],
    expected: tuple[float, int, int] | None,
) -> None:
    names = [n if n == REFERENCE_READER else f"{n}@example.org" for n, _, _ in readings]
    read(
        ledger,
        *(
            a_reading(name, 1, minute=minute, age_months=age, sex=sex)
            for minute, (name, (_, age, sex)) in enumerate(zip(names, readings, strict=True))
        ),
    )

    found = Standards.load(ledger, SPEC, ["chief@example.org"]).nearest(105.0, "female", STRANGER)

    assert [(s.value, s.readers, s.agreeing) for s in found] == ([expected] if expected else [])
    assert [s.reference for s in found] == ([REFERENCE_READER in names] if expected else [])


def test_a_withdrawn_reading_settles_nothing(ledger: Ledger) -> None:
    read(
        ledger,
        a_reading("a@example.org", 1, minute=1, age_months=100.0, sex="female"),
        a_reading("b@example.org", 1, minute=2, withdrawn=True, age_months=100.0, sex="female"),
    )

    assert shown(ledger, 100.0) == []


def test_of_several_of_one_age_the_reference_comes_first(ledger: Ledger) -> None:
    read(
        ledger,
        a_reading("a@example.org", 1, minute=1, age_months=100.0, sex="female"),
        a_reading("b@example.org", 1, minute=2, age_months=100.0, sex="female"),
    )
    settle(ledger, 2, 100.0)

    assert shown(ledger, 100.0) == [("same", 2, 100.0)]


def test_of_several_read_alike_the_one_that_most_readers_agree_on_comes_first(
    ledger: Ledger,
) -> None:
    read(
        ledger,
        *(
            a_reading(f"{reader}@example.org", film, minute=film * 10 + reader, age_months=100.0)
            for film, readers in ((1, 2), (2, 3), (3, 2))
            for reader in range(readers)
        ),
    )

    assert shown(ledger, 100.0, None) == [("same", 2, 100.0)]


@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=str)
def test_what_is_no_number_has_no_standards(ledger: Ledger, value: float) -> None:
    settle(ledger, 1, 100.0)

    assert shown(ledger, value) == []


def test_an_empty_ledger_has_no_standards(ledger: Ledger) -> None:
    assert shown(ledger, 100.0) == []


def test_the_nearest_are_those_that_a_plain_search_finds(ledger: Ledger) -> None:
    ages = [(number * 37) % 240 for number in range(200)]
    ledger.add_radiographs([a_radiograph(number) for number in range(200)])
    ledger.record_readings(
        [
            a_reading(REFERENCE_READER, number, age_months=float(age), sex="female")
            for number, age in enumerate(ages)
        ]
    )
    standards = Standards.load(ledger, SPEC)

    for asked in range(0, 250, 7):
        found = [s.value for s in standards.nearest(asked + 0.5, "female", STRANGER)]
        below = max((a for a in ages if a < asked + 0.5 - 12), default=None)
        alike = min(
            (abs(a - asked - 0.5), a)
            for a in [*ages, 1000]
            if abs(a - asked - 0.5) <= 12 or a > 900
        )
        above = min((a for a in ages if a > asked + 0.5 + 12), default=None)
        expected = [below, alike[1] if alike[1] < 900 else None, above]
        assert found == [age for age in expected if age is not None]


def test_standards_are_kept_until_they_are_due_for_another_look(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(ledger, 1, 100.0)
    kept = CurrentStandards(ledger, SPEC)
    assert len(kept.current()) == 1
    settle(ledger, 2, 130.0)
    assert len(kept.current()) == 1

    monkeypatch.setattr("workers.current_standards.REFRESH_S", 0.0)

    assert len(kept.current()) == 2


def test_standards_are_not_read_again_while_nothing_happens(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.current_standards.REFRESH_S", 0.0)
    settle(ledger, 1, 100.0)
    kept = CurrentStandards(ledger, SPEC)

    assert kept.current() is kept.current()
