"""A prediction is explained from its id to the readers behind it, out of ledger and versions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data.domain import DatasetVersion, Prediction, Reading
from data.errors import NotFoundError
from data.ledger.events import EventKind
from data.ledger.ledger import Ledger
from data.ledger.predictions import prediction_id
from data.runs import RunState
from tests.unit.workers.workspace import PROJECT, START, radiograph
from workers.explaining import as_json, explain, find_prediction

MODEL = "v0001-1a2b3c4d"
FILM = radiograph(1)
SAID = Prediction(
    FILM.id, MODEL, {"age_months": 101.0}, {"age_months": (90.0, 112.0)}, {}, confidence=0.7
)


class Versions:
    """Stands for the dataset repository."""

    def rows(self, version: str) -> list[dict[str, str]]:
        assert version == "v0001"
        one = {"id": FILM.id, "split": "train", "readers": "ada;bob", "age_months": "100"}
        other = {"id": "f" * 64, "split": "test", "readers": "bob", "age_months": "60"}
        return [one, other]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as opened:
        opened.add_radiographs([FILM])
        opened.link_tasks(PROJECT, {12: FILM.id})
        opened.set_state("project", '{"id": 1, "backend_id": 2}')
        opened.record_readings(
            [Reading(FILM.id, "ada", {"age_months": 104.0}, START, annotation="1:5")]
        )
        opened.begin_run("labels", START, "60 labels")
        opened.add_version(DatasetVersion("v0001", "c" * 40, 2, 2, 1, START))
        opened.update_run("r0001", state=RunState.SUCCEEDED, version="v0001", model_version=MODEL)
        opened.append(EventKind.GATE, MODEL, {"promote": True, "reason": "better"})
        opened.append(EventKind.GATE, "another", {"promote": False, "reason": "worse"})
        opened.add_predictions([SAID])
        yield opened


@pytest.mark.parametrize(
    "wanted", [prediction_id(FILM.id, MODEL), FILM.id, "12"], ids=["prediction", "film", "task"]
)
def test_a_prediction_is_found_by_whatever_names_it(ledger: Ledger, wanted: str) -> None:
    assert find_prediction(ledger, wanted) == SAID


def test_what_no_model_has_scored_is_not_found(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError, match="There is no prediction '13'"):
        find_prediction(ledger, "13")


def test_the_lineage_leads_from_the_prediction_to_the_readers(ledger: Ledger) -> None:
    versions: Any = Versions()

    told = as_json(explain(ledger, versions, SAID))

    assert told["radiograph"]["id"] == FILM.id
    assert told["run"]["id"] == "r0001"
    assert told["dataset_version"]["commit"] == "c" * 40
    assert told["dataset_version"]["learnt_from"] == {"train": 1, "test": 1}
    assert told["dataset_version"]["readers"] == {"ada": 1, "bob": 2}
    assert told["row_in_that_version"]["age_months"] == "100"
    assert [reading["values"] for reading in told["readings_now"]] == [{"age_months": 104.0}]
    assert [(d["what"], d["why"]) for d in told["decisions"]] == [("gate", "better")]


def test_a_model_of_unknown_origin_is_said_to_be_so(ledger: Ledger) -> None:
    versions: Any = Versions()
    stranger = Prediction(FILM.id, "v0009-00000000", {"age_months": 1.0}, {}, {}, confidence=0.1)

    told = as_json(explain(ledger, versions, stranger))

    assert told["run"] is None
    assert told["dataset_version"] is None
    assert told["row_in_that_version"] == {}
