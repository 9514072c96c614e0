"""What waits is scored by the champion, part by part, and keeps its place in the stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from data.domain import Prediction, Radiograph, Split
from data.errors import CarpalError, ImageError
from data.images.decoding import ImageLimits
from data.ledger.ledger import Ledger
from tests.unit.workers.workspace import PROJECT, radiograph
from workers import rescoring
from workers.promotion import CHAMPION
from workers.rescoring import is_behind, predictions_of, rescore_pool, write_again
from workers.settings import Settings

MODEL = "v0001-aaaaaaaa"


@dataclass
class FakePredictor:
    """Says 100 months of every film; ends as a killed process does once it has answered so many."""

    confidences: dict[str, float] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    killed_after: int = 1000
    asked: list[str] = field(default_factory=list)
    limits: ImageLimits | None = None

    def predict_files(
        self, items: Sequence[tuple[str, Path]], batch_size: int, limits: ImageLimits
    ) -> tuple[list[Prediction], dict[str, CarpalError]]:
        self.limits = limits
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
    """Keeps the score of each task."""

    scores: dict[int, float] = field(default_factory=dict)

    def write_predictions(self, project: int, rows: Sequence[tuple[int, Mapping[str, Any]]]) -> int:
        self.scores |= {task: prediction["score"] for task, prediction in rows}
        return len(rows)

    def set_model_version(self, *arguments: Any, **credentials: str) -> None:
        pass


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
