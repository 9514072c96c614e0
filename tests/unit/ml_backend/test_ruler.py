from __future__ import annotations

from collections.abc import Iterator

import pytest

from data.domain import REFERENCE_READER, Target
from ml_backend.ruler import Ruler, ruler_of
from tests.unit.ml_backend.conftest import Backend
from tests.unit.ml_backend.desk_cases import CaseDesk, case_desk
from tests.unit.ml_backend.fakes import SPEC

AGE = SPEC.target("age_months")


@pytest.fixture
def desk(backend: Backend) -> Iterator[CaseDesk]:
    made = case_desk(backend)
    with made.ledger:
        yield made


def ruler(desk: CaseDesk, target: Target = AGE) -> Ruler | None:
    shown = desk.backend.services.desk
    assert shown is not None
    return ruler_of(shown.case(desk.film.id, ""), target)


def test_a_film_of_which_nothing_is_said_has_no_ruler(desk: CaseDesk) -> None:
    assert ruler(desk) is None


def test_what_is_said_lies_where_its_value_is(desk: CaseDesk) -> None:
    desk.predict(120.0, intervals={"age_months": (70.0, 170.0)})
    desk.read(95.0)

    found = ruler(desk)

    # 100 months and 6 % at each end: 64 to 176.
    assert found is not None
    assert found.interval is not None
    assert found.predicted is not None
    assert [end.at for end in found.interval] == [5.36, 94.64]
    assert found.predicted.at == 50.0
    assert [mark.at for mark in found.readings] == [27.68]
    assert [tick.text for tick in found.ticks] == [
        "6\u00a0y",
        "8\u00a0y",
        "10\u00a0y",
        "12\u00a0y",
        "14\u00a0y",
    ]


def test_a_single_value_stands_in_the_middle_of_three_years(desk: CaseDesk) -> None:
    desk.read(96.0)

    found = ruler(desk)

    assert found is not None
    assert found.label is not None
    assert (found.label.at, found.predicted, found.interval) == (50.0, None, None)
    assert [tick.text for tick in found.ticks][:2] == ["6.5\u00a0y", "7\u00a0y"]


def test_a_reference_is_the_label_and_no_reading(desk: CaseDesk) -> None:
    desk.read(96.0, reader=REFERENCE_READER)

    found = ruler(desk)

    assert found is not None
    assert found.label is not None
    assert found.readings == ()


def test_a_withdrawn_reading_is_left_out(desk: CaseDesk) -> None:
    desk.read(96.0)
    desk.ledger.withdraw_annotations(["7:1"])

    assert ruler(desk) is None
