"""`CarpalModel` keeps the class shape of Label Studio's ML SDK."""

from __future__ import annotations

import pytest

from data.errors import InvalidInputError
from data.ledger_events import EventKind
from ml_backend.model import CarpalModel
from tests.unit.ml_backend.conftest import Backend
from tests.unit.ml_backend.fakes import CONFIG, FakePredictor, task_of


def test_predict_answers_one_prediction_per_task_or_an_empty_list(backend: Backend) -> None:
    backend.serve(FakePredictor("v1"))
    model = CarpalModel("3", CONFIG, backend.services)

    response = model.predict(
        [task_of(backend.radiograph(1)), {}], context=None, login="", password=""
    )

    assert response.model_version == "v1"
    first, second = response.predictions
    assert isinstance(first, dict)
    assert first["model_version"] == "v1"
    assert second == []


def test_the_class_and_the_route_give_the_same_prediction(backend: Backend) -> None:
    backend.serve(FakePredictor("v1"))
    task = task_of(backend.radiograph(1))

    by_class = CarpalModel("3", CONFIG, backend.services).predict([task]).predictions

    assert backend.predict([task])["results"] == by_class


def test_setup_takes_the_version_that_serves(backend: Backend) -> None:
    backend.serve(FakePredictor("v7"))

    assert CarpalModel("3", CONFIG, backend.services).get("model_version") == "v7"


def test_fit_journals_and_trains_nothing(backend: Backend) -> None:
    model = CarpalModel("3", CONFIG, backend.services)

    model.fit("ANNOTATION_CREATED", {"project": {"id": 3}, "annotation": {"id": 5}}, job_id="x")

    assert [event.kind for event in backend.ledger.recorded] == [EventKind.HINT]


def test_a_configuration_of_another_task_is_refused(backend: Backend) -> None:
    with pytest.raises(InvalidInputError):
        CarpalModel("3", "<View/>", backend.services)
