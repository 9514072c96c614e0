from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from data.ledger.ledger import Ledger
from tests.unit.data.dataset_cases import SPEC, a_radiograph, a_reading, radiograph_id
from workers.adjudication import (
    adjudicators,
    attention,
    open_disagreements,
    unreadable_films,
)
from workers.bootstrap import PROJECT
from workers.settings import Settings

SETTINGS = Settings(label_studio_url="http://studio.example.org/")
CHIEF = replace(SETTINGS, adjudicators="chief@example.org")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as opened:
        opened.add_radiographs([a_radiograph(number) for number in (1, 2, 3)])
        opened.record_readings(
            [
                a_reading("a@x.org", 1, minute=1, age_months=100.0),
                a_reading("b@x.org", 1, minute=2, age_months=120.0),
                a_reading("a@x.org", 2, minute=3, age_months=100.0),
                a_reading("b@x.org", 2, minute=4, age_months=140.0),
                a_reading("a@x.org", 3, minute=5, age_months=100.0),
            ]
        )
        yield opened


def test_adjudicators_are_named_by_comma() -> None:
    settings = replace(SETTINGS, adjudicators=" chief@example.org, deputy@example.org,")

    assert adjudicators(settings) == {"chief@example.org", "deputy@example.org"}
    assert adjudicators(SETTINGS) == frozenset()


def test_disagreements_lead_to_their_tasks(ledger: Ledger) -> None:
    ledger.set_state(PROJECT, json.dumps({"id": 7, "backend_id": 1}))
    ledger.link_tasks(7, {41: radiograph_id(1), 42: radiograph_id(2)})

    found = open_disagreements(SETTINGS, ledger, SPEC)

    assert [(one.task, one.link) for one in found] == [
        (42, "http://studio.example.org/projects/7/data?task=42"),
        (41, "http://studio.example.org/projects/7/data?task=41"),
    ]


def test_films_that_cannot_be_read_are_counted_by_reason(ledger: Ledger) -> None:
    ledger.add_radiographs([a_radiograph(4)])
    for number, minute, reason in ((3, 5, "exposure"), (4, 6, "position")):
        said = replace(a_reading("a@x.org", number, minute=minute), unreadable=reason)
        ledger.record_readings([replace(said, read_at=said.read_at + timedelta(hours=1))])

    assert unreadable_films(SETTINGS, ledger) == {"exposure": 1, "position": 1}

    ledger.record_readings([a_reading("chief@example.org", 4, minute=90, age_months=100.0)])

    assert unreadable_films(CHIEF, ledger) == {"exposure": 1}


def test_without_a_project_there_is_no_link(ledger: Ledger) -> None:
    found = open_disagreements(SETTINGS, ledger, SPEC)

    assert [(one.task, one.link) for one in found] == [(None, ""), (None, "")]


def test_status_asks_for_an_adjudicator(ledger: Ledger) -> None:
    (sentence,) = attention(SETTINGS, ledger, SPEC)

    assert sentence == (
        "2 radiographs wait for an adjudicator: 'carpal disagreements' lists what readers say. "
        "Nobody is named in CARPAL_ADJUDICATORS yet."
    )


def test_status_says_nothing_once_all_is_settled(ledger: Ledger) -> None:
    ledger.record_readings(
        [a_reading("chief@example.org", n, minute=9 + n, age_months=110.0) for n in (1, 2)]
    )

    assert attention(CHIEF, ledger, SPEC) == []
    assert open_disagreements(CHIEF, ledger, SPEC) == []
