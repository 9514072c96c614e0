"""`CarpalModel` keeps the class shape of Label Studio's ML SDK."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

import ml_backend.model
import ml_backend.sdk
from data.errors import InvalidInputError
from data.ledger.events import EventKind
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


SDK_MODEL = """
class LabelStudioMLBase:
    def __init__(self, project_id=None, label_config=None):
        self.project_id = project_id or ""
        self.cache = {}
        if label_config is not None:
            self.use_label_config(label_config)
        self.setup()

    def use_label_config(self, label_config):
        self.set("label_config", label_config)

    def get(self, key):
        return self.cache.get(key)

    def set(self, key, value):
        assert isinstance(value, str)
        self.cache[key] = value
"""

SDK_RESPONSE = """
class ModelResponse:
    def __init__(self, *, model_version=None, predictions):
        self.model_version, self.predictions = model_version, predictions
"""


@pytest.fixture
def sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Yields `ml_backend.model` as it is where the SDK is installed."""
    package = tmp_path / "label_studio_ml"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "model.py").write_text(SDK_MODEL)
    (package / "response.py").write_text(SDK_RESPONSE)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.reload(ml_backend.sdk)
    found = spec_from_file_location("model_beside_the_sdk", ml_backend.model.__file__)
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    found.loader.exec_module(module)
    yield module
    monkeypatch.undo()
    for name in ("label_studio_ml", "label_studio_ml.model", "label_studio_ml.response"):
        sys.modules.pop(name, None)
    importlib.reload(ml_backend.sdk)


def test_beside_the_sdk_the_class_inherits_from_its_base_and_answers_in_its_form(
    sdk: ModuleType, backend: Backend
) -> None:
    base = importlib.import_module("label_studio_ml.model").LabelStudioMLBase
    response_class = importlib.import_module("label_studio_ml.response").ModelResponse
    backend.serve(FakePredictor("v1"))

    model = sdk.CarpalModel(project_id="3", label_config=CONFIG, services=backend.services)
    response = model.predict([task_of(backend.radiograph(1))])

    assert issubclass(sdk.CarpalModel, base)
    assert isinstance(response, response_class)
    assert model.get("model_version") == "v1"
