"""The backend in this process: a real ledger, pool and network, no Label Studio and no Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flask import Flask
from werkzeug.datastructures import Authorization

from data.domain import Radiograph
from data.errors import NotFoundError
from data.images.decoding import ImageLimits
from data.importing.items import import_items
from data.ledger.ledger import Ledger
from data.pool import Pool
from data.sources.known_targets import AGE, SEX
from data.sources.phantoms import read_phantoms
from labeling_config.tasks import load_task
from ml_backend.app import create_app
from ml_backend.metrics import Counters
from ml_backend.model_ports import Predictor as AnyPredictor
from ml_backend.services import Services
from ml_backend.serving import ModelServer
from tests.unit.trainer.small_models import save_random_model
from trainer.model.card import ModelCard
from trainer.predictor import Predictor
from workers.current_standards import CurrentStandards
from workers.desk import Desk
from workers.loop_watch import LoopWatch
from workers.settings import Settings

USER, PASSWORD, SECRET = "label-studio", "basic-password", "webhook-secret"
AUTH = Authorization("basic", {"username": USER, "password": PASSWORD})
FILMS = 6
PROJECT = 3
LIMITS = ImageLimits(2_000_000, 4_000_000)
NOBODY = "127.0.0.1:1"
"""An address at which nobody answers."""


@dataclass(frozen=True)
class SmallBackend:
    """What a test of the whole backend holds in its hands."""

    settings: Settings
    services: Services
    app: Flask
    version: str
    films: list[Radiograph]

    def payload(self, number: int) -> bytes:
        """Returns the file of a film of the pool."""
        return (self.settings.pool / self.films[number].path).read_bytes()


class OneModel:
    """A registry that holds one model, in a folder."""

    def __init__(self, folder: Path, card: ModelCard) -> None:
        self._folder, self._card = folder, card

    def champion(self) -> ModelCard:
        return self._card

    def fetch(self, model_version: str, cache: Path) -> Path:
        if model_version != self._card.model_version:
            raise NotFoundError(f"There is no model {model_version}.")
        return self._folder

    def models(self) -> list[ModelCard]:
        return [self._card]


@contextmanager
def small_backend(home: Path, fetch_upload: Callable[[str], bytes]) -> Iterator[SmallBackend]:
    """Makes a workspace with a few phantoms and an untrained network, and serves it."""
    settings = Settings(
        home=home,
        backend_user=USER,
        backend_password=PASSWORD,
        webhook_secret=SECRET,
        redis_url=f"redis://{NOBODY}/0",
        label_studio_url=f"http://{NOBODY}",
        max_image_bytes=LIMITS.max_bytes,
        max_image_pixels=LIMITS.max_pixels,
    )
    spec = load_task("bone_age")
    card = save_random_model(home / "model")
    with Ledger.open(settings.ledger) as ledger:
        films = _imported(settings, ledger)
        registry, counters = OneModel(home / "model", card), Counters()
        models = ModelServer(
            lambda: registry,
            _load,
            task=spec.name,
            cache=home / "models",
            counters=counters,
            limits=LIMITS,
        )
        models.look()
        standards = CurrentStandards(ledger, spec)
        services = Services(
            settings=settings,
            spec=spec,
            ledger=ledger,
            models=models,
            counters=counters,
            limits=LIMITS,
            fetch_upload=fetch_upload,
            reconcile=lambda reason: None,
            project=lambda: PROJECT,
            overview=LoopWatch(settings, ledger).look,
            standards=standards.current,
            signed_in=lambda cookie: False,
            desk=Desk.of_workspace(settings, spec, ledger, standards),
        )
        try:
            app = create_app(services=services)
            yield SmallBackend(settings, services, app, card.model_version, films)
        finally:
            models.stop()


def _load(folder: Path) -> AnyPredictor:
    return Predictor.load(folder, "cpu")


def _imported(settings: Settings, ledger: Ledger) -> list[Radiograph]:
    report = import_items(
        read_phantoms(FILMS, seed=0, size=96),
        pool=Pool(settings.pool),
        ledger=ledger,
        source="phantoms",
        salt="salt",
        calibration_share=0.2,
        test_share=0.2,
        reference_splits=frozenset(),
        targets=(AGE, SEX),
    )
    assert report.new == FILMS, report
    return ledger.radiographs()
