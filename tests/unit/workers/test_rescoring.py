"""What waits is scored by the champion, part by part, and keeps its place in the stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.domain import REFERENCE_READER, Prediction, Radiograph, Reading, Split
from data.errors import CarpalError, ImageError, NotFoundError
from data.images.decoding import ImageLimits
from data.images.picture import film_png
from data.ledger.ledger import Ledger
from labeling_config.client import TaskState
from tests.unit.workers.workspace import PROJECT, START, radiograph
from workers import rescoring
from workers.assembly import pool, task
from workers.promotion import CHAMPION
from workers.rescoring import (
    is_behind,
    predictions_of,
    rescore_if_behind,
    rescore_pool,
    write_again,
)
from workers.settings import Settings
from workers.standards import Standards
from workers.strips import StandardPictures, Strips, write_strips

MODEL = "v0001-aaaaaaaa"


@dataclass
class FakePredictor:
    """Says 100 months of every film; ends as a killed process does once it has answered so many."""

    confidences: dict[str, float] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    killed_after: int = 1000
    asked: list[str] = field(default_factory=list)
    limits: ImageLimits | None = None
    told: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def predict_files(
        self,
        items: Sequence[tuple[str, Path]],
        batch_size: int,
        limits: ImageLimits,
        known: Mapping[str, Mapping[str, str]],
    ) -> tuple[list[Prediction], dict[str, CarpalError]]:
        self.limits = limits
        self.told |= known
        names = [name for name, _ in items]
        for name in names:
            if len(self.asked) == self.killed_after:
                raise KeyboardInterrupt
            self.asked.append(name)
        refused: dict[str, CarpalError] = {
            name: ImageError("Cut off.") for name in names if name in self.unreadable
        }
        return [self._say(name) for name in names if name not in refused], refused

    def _say(self, name: str) -> Prediction:
        values = {"age_months": 100.0, "sex": "female"}
        shares = {"sex": {"female": 0.9, "male": 0.1}}
        interval = {"age_months": (90.0, 110.0)}
        return Prediction(name, MODEL, values, interval, shares, self.confidences.get(name, 0.5))


@dataclass
class FakeStudio:
    """Keeps the score and the data of each task."""

    scores: dict[int, float] = field(default_factory=dict)
    data: dict[int, dict[str, Any]] = field(default_factory=dict)
    changed: list[int] = field(default_factory=list)
    """Tasks whose data was changed, in order."""
    killed_after: int = 1000

    def write_predictions(self, project: int, rows: Sequence[tuple[int, Mapping[str, Any]]]) -> int:
        self.scores |= {task: prediction["score"] for task, prediction in rows}
        return len(rows)

    def set_model_version(self, *arguments: Any, **credentials: str) -> None:
        pass

    def tasks(self, project: int) -> Iterator[TaskState]:
        for number, data in sorted(self.data.items()):
            yield TaskState(number, dict(data), START, ())

    def set_task_data(self, task: int, data: Mapping[str, Any]) -> None:
        if len(self.changed) == self.killed_after:
            raise KeyboardInterrupt
        if task not in self.data:
            raise NotFoundError("No such task.")
        self.changed.append(task)
        self.data[task] = dict(data)


class FakeRegistry:
    def fetch(self, model_version: str, cache: Path) -> Path:
        return cache / model_version


@pytest.fixture
def ledger(tmp_workspace: Settings) -> Iterator[Ledger]:
    with Ledger.open(tmp_workspace.ledger) as opened:
        opened.set_state("project", f'{{"id": {PROJECT}, "backend_id": 2}}')
        opened.set_state(CHAMPION, MODEL)
        yield opened


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> FakePredictor:
    made = FakePredictor()
    monkeypatch.setattr("trainer.predictor.Predictor.load", lambda *_, **__: made)
    monkeypatch.setattr(rescoring, "registry", lambda settings: FakeRegistry())
    return made


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch) -> FakeStudio:
    made = FakeStudio()
    monkeypatch.setattr(rescoring, "label_studio", lambda settings: made)
    return made


def with_task(ledger: Ledger, number: int, split: Split = Split.TRAIN) -> Radiograph:
    film = radiograph(number, split)
    ledger.add_radiographs([film])
    ledger.link_tasks(PROJECT, {number: film.id})
    return film


def test_a_scoring_that_is_killed_keeps_what_it_had_scored(
    tmp_workspace: Settings,
    ledger: Ledger,
    predictor: FakePredictor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rescoring, "STORE_CHUNK", 2)
    films = [with_task(ledger, number).id for number in range(1, 6)]
    predictor.killed_after = 4
    with pytest.raises(KeyboardInterrupt):
        predictions_of(tmp_workspace, ledger, MODEL, films)
    predictor.killed_after = 1000

    said = predictions_of(tmp_workspace, ledger, MODEL, films)

    assert sorted(said) == films
    assert predictor.asked == films  # none of them twice


def test_films_are_read_under_the_limits_of_the_settings(
    tmp_workspace: Settings, ledger: Ledger, predictor: FakePredictor
) -> None:
    predictions_of(tmp_workspace, ledger, MODEL, [with_task(ledger, 1).id])

    assert predictor.limits == ImageLimits(
        tmp_workspace.max_image_bytes, tmp_workspace.max_image_pixels
    )


def test_the_model_is_told_the_sex_that_is_recorded_and_no_other(
    tmp_workspace: Settings, ledger: Ledger, predictor: FakePredictor
) -> None:
    told = replace(radiograph(1), metadata={"sex": "male"})
    untold = replace(radiograph(2), metadata={"laterality": "left"})
    ledger.add_radiographs([told, untold])

    predictions_of(tmp_workspace, ledger, MODEL, [told.id, untold.id])

    assert predictor.told == {told.id: {"sex": "male"}, untold.id: {}}


def test_an_unreadable_film_costs_the_others_nothing(
    tmp_workspace: Settings, ledger: Ledger, predictor: FakePredictor, studio: FakeStudio
) -> None:
    predictor.unreadable = {with_task(ledger, 1).id}
    with_task(ledger, 2)

    assert rescore_pool(tmp_workspace, ledger, MODEL) == 1
    assert list(studio.scores) == [2]


def test_a_held_out_film_that_comes_later_takes_its_place_among_all_that_wait(
    tmp_workspace: Settings, ledger: Ledger, predictor: FakePredictor, studio: FakeStudio
) -> None:
    sure = {with_task(ledger, number).id: 0.9 for number in range(1, 4)}
    hard = radiograph(4, Split.TEST).id
    predictor.confidences = {**sure, hard: 0.1}
    rescore_pool(tmp_workspace, ledger, MODEL)
    with_task(ledger, 4, Split.TEST)

    assert rescore_pool(tmp_workspace, ledger, MODEL) == 1

    assert studio.scores[4] == 0.9


def test_another_model_than_the_champion_scores_nothing(
    tmp_workspace: Settings, ledger: Ledger, predictor: FakePredictor, studio: FakeStudio
) -> None:
    with_task(ledger, 1)

    assert rescore_pool(tmp_workspace, ledger, "v0000-bbbbbbbb") == 0
    assert predictor.asked == []


def test_an_older_task_that_shows_a_film_only_later_gets_its_prediction(
    tmp_workspace: Settings, ledger: Ledger, predictor: FakePredictor, studio: FakeStudio
) -> None:
    with_task(ledger, 2)
    rescore_pool(tmp_workspace, ledger, MODEL)
    with_task(ledger, 1)

    write_again(ledger, [1])

    assert is_behind(ledger, PROJECT) == MODEL
    rescore_pool(tmp_workspace, ledger, MODEL)
    assert sorted(studio.scores) == [1, 2]
    assert is_behind(ledger, PROJECT) == ""


def test_a_new_task_has_nothing_written_again(
    tmp_workspace: Settings, ledger: Ledger, predictor: FakePredictor, studio: FakeStudio
) -> None:
    with_task(ledger, 1)
    rescore_pool(tmp_workspace, ledger, MODEL)

    write_again(ledger, [2])

    assert is_behind(ledger, PROJECT) == ""


def with_strip(ledger: Ledger, studio: FakeStudio, *numbers: int) -> None:
    """Given tasks that show a film and a place for reference cases."""
    for number in numbers:
        with_task(ledger, number)
        studio.data[number] = {"image": "x", "radiograph": "y", "standards": "none yet"}


def settle(ledger: Ledger, tmp_workspace: Settings, number: int, age: float) -> None:
    """Given a film with a reference, whose file can be read."""
    film = radiograph(number)
    ledger.add_radiographs([film])
    values: dict[str, float | str] = {"age_months": age, "sex": "female"}
    ledger.record_readings([Reading(film.id, REFERENCE_READER, values, START)])
    file = tmp_workspace.pool / film.path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(film_png(np.full((30, 20), 90, np.uint8)))


def test_each_film_gets_the_reference_cases_beside_it_and_keeps_its_other_data(
    tmp_workspace: Settings, ledger: Ledger, predictor: FakePredictor, studio: FakeStudio
) -> None:
    with_strip(ledger, studio, 1)
    settle(ledger, tmp_workspace, 7, 98.0)

    rescore_pool(tmp_workspace, ledger, MODEL)

    data = studio.data[1]
    assert (data["image"], data["radiograph"]) == ("x", "y")
    assert "Reference cases, female" in data["standards"]
    assert f"{tmp_workspace.pages}/task/1?readings=off" in data["standards"]
    picture = f"images/standards/00/{7:064x}.jpg"
    assert f"/data/local-files/?d={picture}" in data["standards"]
    assert (tmp_workspace.pool / picture).is_file()


def test_the_film_that_is_served_first_gets_its_reference_cases_first(
    tmp_workspace: Settings, ledger: Ledger, predictor: FakePredictor, studio: FakeStudio
) -> None:
    with_strip(ledger, studio, 1, 2, 3)
    predictor.confidences = {radiograph(1).id: 0.9, radiograph(2).id: 0.1, radiograph(3).id: 0.5}

    rescore_pool(tmp_workspace, ledger, MODEL)

    assert studio.changed == [2, 3, 1]


def test_strips_that_are_as_they_should_be_are_not_written_again(
    tmp_workspace: Settings, ledger: Ledger, predictor: FakePredictor, studio: FakeStudio
) -> None:
    with_strip(ledger, studio, 1, 2)
    settle(ledger, tmp_workspace, 7, 98.0)
    rescore_pool(tmp_workspace, ledger, MODEL)
    studio.changed.clear()
    studio.data[2]["standards"] = "somebody changed it"

    rescore_pool(tmp_workspace, ledger, MODEL)

    assert studio.changed == [2]


def test_strips_that_a_kill_left_out_are_asked_for_again(
    tmp_workspace: Settings,
    ledger: Ledger,
    predictor: FakePredictor,
    studio: FakeStudio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        rescoring, "request_rescore", lambda _, version: bool(asked.append(version))
    )
    with_strip(ledger, studio, 1, 2)
    studio.killed_after = 1
    with pytest.raises(KeyboardInterrupt):
        rescore_pool(tmp_workspace, ledger, MODEL)
    rescore_if_behind(tmp_workspace, ledger)
    studio.killed_after = 1000

    rescore_pool(tmp_workspace, ledger, MODEL)
    rescore_if_behind(tmp_workspace, ledger)

    assert sorted(studio.changed) == [1, 2]
    assert asked == [MODEL]


def test_a_task_that_was_deleted_costs_the_others_nothing(
    tmp_workspace: Settings, ledger: Ledger, predictor: FakePredictor, studio: FakeStudio
) -> None:
    with_strip(ledger, studio, 1, 2)
    del studio.data[1]

    rescore_pool(tmp_workspace, ledger, MODEL)

    assert studio.changed == [2]


def test_a_standard_whose_film_cannot_be_read_is_left_out(
    tmp_workspace: Settings, ledger: Ledger, predictor: FakePredictor, studio: FakeStudio
) -> None:
    with_strip(ledger, studio, 1)
    settle(ledger, tmp_workspace, 7, 98.0)
    (tmp_workspace.pool / radiograph(7).path).write_bytes(b"no image")

    rescore_pool(tmp_workspace, ledger, MODEL)

    assert "None is settled yet" in studio.data[1]["standards"]


def test_strips_of_a_model_that_serves_no_longer_are_left_to_the_next(
    tmp_workspace: Settings, ledger: Ledger, predictor: FakePredictor, studio: FakeStudio
) -> None:
    with_strip(ledger, studio, 1)
    strips = Strips(
        task(tmp_workspace),
        Standards.load(ledger, task(tmp_workspace)),
        StandardPictures(pool(tmp_workspace)),
        tmp_workspace.pages,
    )
    said = predictions_of(tmp_workspace, ledger, MODEL, [radiograph(1).id])[radiograph(1).id]

    left = write_strips(studio, PROJECT, strips, {1: (radiograph(1), said)}, lambda: False)

    assert (left, studio.changed) == (None, [])


def test_a_page_without_a_place_for_reference_cases_waits_for_none(
    tmp_workspace: Settings,
    ledger: Ledger,
    predictor: FakePredictor,
    studio: FakeStudio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        rescoring, "request_rescore", lambda _, version: bool(asked.append(version))
    )
    monkeypatch.setattr(rescoring, "shows_standards", lambda spec: False)
    with_strip(ledger, studio, 1)

    rescore_pool(tmp_workspace, ledger, MODEL)
    rescore_if_behind(tmp_workspace, ledger)

    assert (studio.changed, asked) == ([], [])


def test_strips_that_were_whole_in_an_earlier_reign_are_not_taken_for_whole(
    tmp_workspace: Settings,
    ledger: Ledger,
    predictor: FakePredictor,
    studio: FakeStudio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_strip(ledger, studio, 1)
    ledger.set_state(rescoring.strips_key(MODEL), "9")
    monkeypatch.setattr(rescoring, "STRIPS_BUDGET_S", -1.0)

    rescore_pool(tmp_workspace, ledger, MODEL)

    assert ledger.get_state(rescoring.strips_key(MODEL)) == "0"
