from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from carpal.cli_disagreements import disagreements
from data.domain import Value
from data.ledger.ledger import Ledger
from tests.unit.data.dataset_cases import a_radiograph, a_reading, radiograph_id
from workers.bootstrap import PROJECT
from workers.settings import Settings

command = typer.Typer()
command.command()(disagreements)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CARPAL_HOME", str(tmp_path))
    monkeypatch.setenv("CARPAL_LABEL_STUDIO_URL", "http://studio.example.org")
    return tmp_path


def read(home: Path, *pairs: tuple[dict[str, Value], dict[str, Value]]) -> None:
    """Radiograph 1, 2, ... is read by Ada and Bob."""
    with Ledger.open(Settings(home=home).ledger) as ledger:
        for number, (ada, bob) in enumerate(pairs, start=1):
            ledger.add_radiographs([a_radiograph(number)])
            ledger.record_readings(
                [
                    a_reading("ada@x.org", number, minute=2 * number, **ada),
                    a_reading("bob@x.org", number, minute=2 * number + 1, **bob),
                ]
            )
        ledger.set_state(PROJECT, json.dumps({"id": 7, "backend_id": 1}))
        ledger.link_tasks(7, {40 + n: radiograph_id(n) for n in range(1, len(pairs) + 1)})


def test_readers_values_spread_and_task_are_listed(home: Path) -> None:
    read(home, ({"age_months": 100.0, "sex": "male"}, {"age_months": 130.5, "sex": "male"}))

    said = CliRunner().invoke(command).output

    assert [line.split() for line in said.splitlines()[:3]] == [
        ["task", "radiograph", "spread", "readings"],
        ["41", radiograph_id(1)[:12], "age_months", "30.5", "ada@x.org:", "100"],
        ["bob@x.org:", "130.5"],
    ]
    assert "A task opens at http://studio.example.org/projects/7/data?task=NUMBER." in said
    assert "1 radiograph waits for an adjudicator (nobody: name somebody" in said


def test_readers_who_disagree_whether_a_film_can_be_read_are_listed(home: Path) -> None:
    with Ledger.open(Settings(home=home).ledger) as ledger:
        ledger.add_radiographs([a_radiograph(1)])
        refused = replace(a_reading("bob@x.org", minute=1), unreadable="exposure")
        ledger.record_readings([a_reading("ada@x.org", age_months=100.0, sex="male"), refused])

    said = CliRunner().invoke(command).output
    (found,) = json.loads(CliRunner().invoke(command, ["--json"]).output)

    assert "ada@x.org: 100, male" in said
    assert "bob@x.org: cannot be read (exposure)" in said
    assert found["targets"] == ["unreadable"]
    assert [one["unreadable"] for one in found["readings"]] == [None, "exposure"]


def test_the_widest_spread_comes_first(home: Path) -> None:
    read(
        home,
        ({"age_months": 100.0}, {"age_months": 110.0}),
        ({"sex": "male"}, {"sex": "female"}),
        ({"age_months": 100.0}, {"age_months": 150.0}),
    )

    found = json.loads(CliRunner().invoke(command, ["--json"]).output)

    assert [one["task"] for one in found] == [43, 41, 42]
    assert found[0]["spread"] == {"age_months": 50.0}
    assert found[0]["link"] == "http://studio.example.org/projects/7/data?task=43"
    assert [reading["values"] for reading in found[0]["readings"]] == [
        {"age_months": 100.0},
        {"age_months": 150.0},
    ]


def test_where_all_agree_one_sentence_says_so(home: Path) -> None:
    read(home, ({"age_months": 100.0}, {"age_months": 101.0}))

    assert CliRunner().invoke(command).output == "No radiograph waits for an adjudicator.\n"
    assert json.loads(CliRunner().invoke(command, ["--json"]).output) == []
