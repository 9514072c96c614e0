"""The model class in the server of Label Studio's own ML SDK, where that is installed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from flask.testing import FlaskClient

import ml_backend.model
from data.ledger.events import EventKind
from ml_backend.model import CarpalModel
from tests.unit.ml_backend.conftest import Backend, backend
from tests.unit.ml_backend.fakes import CONFIG, FakePredictor, task_of

__all__ = ["backend"]

pytestmark = pytest.mark.skipif(
    find_spec("label_studio_ml") is None,
    reason="Label Studio's ML SDK 2.x is not installed: pip install -e '.[dev,label-studio-sdk]'",
)


@pytest.fixture
def sdk_server(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """The SDK's server with our class, and a model that serves."""
    from label_studio_ml.api import init_app  # type: ignore[import-not-found,unused-ignore]

    backend.serve(FakePredictor("v1"))
    monkeypatch.setattr(ml_backend.model, "process_services", lambda: backend.services)
    client: FlaskClient = init_app(CarpalModel).test_client()
    return client


def test_it_sets_a_project_up(sdk_server: FlaskClient) -> None:
    answer = sdk_server.post("/setup", json={"project": "3.1795222281", "schema": CONFIG})

    assert answer.status_code == 200
    assert answer.get_json()["model_version"] == "v1"


def test_it_answers_each_task(sdk_server: FlaskClient, backend: Backend) -> None:
    tasks = [task_of(backend.radiograph(1)), task_of(backend.radiograph(2), 2)]

    answer = sdk_server.post(
        "/predict",
        json={"tasks": tasks, "project": "3.1795222281", "label_config": CONFIG, "params": {}},
    )

    assert answer.status_code == 200
    assert [r["model_version"] for r in answer.get_json()["results"]] == ["v1", "v1"]
    assert answer.get_json()["results"] == backend.predict(tasks)["results"]


def test_it_journals_a_wish_for_training(sdk_server: FlaskClient, backend: Backend) -> None:
    answer = sdk_server.post(
        "/webhook", json={"action": "START_TRAINING", "project": {"id": 3, "label_config": CONFIG}}
    )

    assert answer.status_code == 201
    assert [event.kind for event in backend.ledger.recorded] == [EventKind.TRAIN_REQUESTED]
