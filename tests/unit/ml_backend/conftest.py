"""The application on fakes, and a client that knows the password."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import Authorization
from werkzeug.test import TestResponse

from data.domain import Radiograph
from data.images.decoding import ImageLimits
from ml_backend.app import create_app
from ml_backend.metrics import Counters
from ml_backend.services import Services
from ml_backend.serving import ModelServer
from tests.unit.ml_backend.fakes import (
    NOW,
    SPEC,
    FakeLedger,
    FakePredictor,
    FakeQueue,
    FakeRegistry,
    FakeUploads,
    png,
    put_into_pool,
)
from workers.attention import Notice
from workers.loop_figures import model_figures
from workers.overview import LoopFigures, LoopOverview
from workers.settings import Settings
from workers.standards import Standards

USER, PASSWORD, SECRET = "label-studio", "basic-password", "webhook-secret"
SIGNED_IN = "the-session"
"""Cookie of a browser that is signed in to Label Studio."""


@dataclass
class Backend:
    """Everything that a test of the backend holds in its hands."""

    settings: Settings
    ledger: FakeLedger
    registry: FakeRegistry
    models: ModelServer
    queue: FakeQueue
    uploads: FakeUploads
    services: Services
    app: Flask

    @property
    def client(self) -> FlaskClient:
        """A client without credentials."""
        return self.app.test_client()

    def post(self, path: str, body: object = None, **kwargs: Any) -> TestResponse:
        """Posts JSON with the right name and password."""
        auth = Authorization("basic", {"username": USER, "password": PASSWORD})
        return self.client.post(path, json=body, auth=auth, **kwargs)

    def get(self, path: str) -> TestResponse:
        auth = Authorization("basic", {"username": USER, "password": PASSWORD})
        return self.client.get(path, auth=auth)

    def serve(self, predictor: FakePredictor) -> FakePredictor:
        """Makes a model champion, seen by the backend."""
        self.registry.add(predictor)
        self.models.look()
        return predictor

    def radiograph(self, seed: int, size: int = 48) -> Radiograph:
        """Returns a radiograph that lies in the pool."""
        return put_into_pool(self.settings.pool, self.ledger, png(seed, size))

    def predict(self, tasks: object, **more: object) -> dict[str, Any]:
        answer = self.post("/predict", {"tasks": tasks, "project": "3.1795222281", **more})
        assert answer.status_code == 200, answer.text
        body = answer.get_json()
        assert isinstance(body, dict)
        return body

    def with_overview(self, view: LoopOverview) -> Backend:
        """Returns the same backend on another loop."""
        services = replace(self.services, overview=lambda: view)
        return replace(self, services=services, app=create_app(services=services))

    def with_project(self, project: int | None) -> Backend:
        """Returns the same backend, joined with that Label Studio project."""
        services = replace(self.services, project=lambda: project)
        return replace(self, services=services, app=create_app(services=services))


def overview_of(ledger: FakeLedger) -> LoopOverview:
    """Returns what `workers.overview` would say of a small loop with these trainings."""
    versions = [] if ledger.version is None else [ledger.version]
    return LoopOverview(
        radiographs={"train": 80, "calibration": 12, "test": 8},
        labelled=31,
        waiting=49,
        new_labels=12,
        training="12 of 50 new labels since the last training.",
        versions=versions,
        runs=ledger.trainings,
        champion="",
        queues=None,
        attention=[Notice(said) for said in ledger.attention],
        figures=LoopFigures(models=model_figures(ledger.trainings, versions, [], "")),
        at=NOW,
    )


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    settings = Settings(
        home=tmp_path,
        backend_user=USER,
        backend_password=PASSWORD,
        webhook_secret=SECRET,
        max_image_bytes=100_000,
        max_image_pixels=1_000_000,
    )
    ledger, registry, counters = FakeLedger(), FakeRegistry(), Counters()
    queue, uploads = FakeQueue(), FakeUploads()
    limits = ImageLimits(settings.max_image_bytes, settings.max_image_pixels)
    models = ModelServer(
        lambda: registry,
        registry.load,
        task=SPEC.name,
        cache=tmp_path / "cache",
        counters=counters,
        poll_s=0.01,
        limits=limits,
    )
    models.look()
    services = Services(
        settings=settings,
        spec=SPEC,
        ledger=ledger,
        models=models,
        counters=counters,
        limits=limits,
        fetch_upload=uploads,
        reconcile=queue,
        project=lambda: None,
        overview=lambda: overview_of(ledger),
        standards=lambda: Standards((), 0.0),
        signed_in=lambda cookie: cookie == SIGNED_IN,
    )
    app = create_app(services=services)
    yield Backend(settings, ledger, registry, models, queue, uploads, services, app)
    models.stop()
