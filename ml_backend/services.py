"""What the routes work with: ports, and the real parts behind them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from data.domain import DatasetVersion, Prediction, Radiograph, TaskSpec
from data.errors import NotFoundError
from data.images.decoding import ImageLimits
from data.ledger.events import Event, EventKind
from data.ledger.ledger import Ledger as SqlLedger
from data.runs import Run, RunState
from labeling_config.client_uploads import Uploads
from ml_backend.metrics import Counters, shared_counters
from ml_backend.serving import FIRST_LOOK_S, ModelServer, Predictor, Served
from workers import assembly
from workers.bootstrap import project_handle
from workers.overview import LoopOverview, overview
from workers.promotion import CHAMPION
from workers.queues import request_reconcile
from workers.settings import Settings

if TYPE_CHECKING:
    from trainer.registry.registry import Registry


class Ledger(Protocol):
    """What the backend asks of the ledger; see `data.ledger.ledger.Ledger`."""

    def append(self, kind: EventKind, subject: str, payload: Mapping[str, Any]) -> int:
        """Records an event and returns its sequence number."""

    def events(self, after: int = 0, kinds: Collection[EventKind] | None = None) -> Iterator[Event]:
        """Yields the events after a sequence number."""

    def head(self) -> tuple[int, str]:
        """Returns sequence number and hash of the last event."""

    def radiograph(self, radiograph_id: str) -> Radiograph | None:
        """Returns a radiograph of the pool."""

    def prediction(self, radiograph_id: str, model_version: str) -> Prediction | None:
        """Returns what a model version has said of a radiograph."""

    def add_predictions(self, predictions: Sequence[Prediction]) -> int:
        """Records predictions and returns how many are new."""

    def runs(self, states: Collection[RunState] | None = None) -> list[Run]:
        """Returns the training runs."""

    def latest_version(self) -> DatasetVersion | None:
        """Returns the newest dataset version."""


class Models(Protocol):
    """What the backend asks of the model server; see `ml_backend.serving.ModelServer`."""

    @property
    def served(self) -> Served:
        """What serves now."""

    def versions(self) -> list[str]:
        """Returns the versions of all registered models, the one that serves first."""

    def reserve(self) -> AbstractContextManager[None]:
        """Holds one of the places for requests that compute."""

    def predict(
        self, predictor: Predictor, images: Sequence[NDArray[np.uint8]], ids: Sequence[str]
    ) -> list[Prediction]:
        """Returns one prediction per grey image (height, width), in order."""


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of one process.

    Attributes:
        settings: Credentials and limits.
        spec: The task of the workspace.
        ledger: Journal, radiographs, predictions, runs.
        models: The model that serves.
        counters: What `/metrics` shows.
        limits: Under which images are read.
        fetch_upload: Reads what was uploaded into Label Studio, by its path below `/data/upload/`.
        reconcile: Asks for a reconcile, saying why; ServiceUnavailableError if nobody can be asked.
        project: Returns the id of the workspace's Label Studio project; None: not joined yet.
        overview: Looks at the loop as `carpal status` does; may take as long.
    """

    settings: Settings
    spec: TaskSpec
    ledger: Ledger
    models: Models
    counters: Counters
    limits: ImageLimits
    fetch_upload: Callable[[str], bytes]
    reconcile: Callable[[str], object]
    project: Callable[[], int | None]
    overview: Callable[[], LoopOverview]


def build_services(settings: Settings) -> Services:
    """Opens the workspace's real parts and begins to follow the model registry."""
    spec = assembly.task(settings)
    ledger = SqlLedger.open(settings.ledger)
    limits = assembly.image_limits(settings)
    uploads = Uploads(settings.label_studio, settings.label_studio_token)
    counters = shared_counters()
    models = ModelServer(
        lambda: _registry(settings),
        lambda folder: _load_model(settings, spec, folder),
        task=spec.name,
        cache=settings.cache / "models",
        counters=counters,
    )
    # A champion that serves again after a restart is worth waiting for; a first one is not there.
    models.start(FIRST_LOOK_S if ledger.get_state(CHAMPION) else 0.0)
    return Services(
        settings=settings,
        spec=spec,
        ledger=ledger,
        models=models,
        counters=counters,
        limits=limits,
        fetch_upload=lambda path: uploads.read(path, limits.max_bytes),
        reconcile=lambda reason: request_reconcile(settings, reason),
        project=lambda: _project(ledger),
        overview=lambda: overview(settings, ledger),
    )


def _registry(settings: Settings) -> Registry:
    """Opens the registry; torch comes with it, so that a first champion is loaded at once."""
    import trainer.predictor  # noqa: F401

    return assembly.registry(settings)


def _load_model(settings: Settings, spec: TaskSpec, folder: Path) -> Predictor:
    from trainer.predictor import Predictor

    return Predictor.load(folder, settings.device, spec, assembly.mask_store(settings).find)


def _project(ledger: SqlLedger) -> int | None:
    try:
        return project_handle(ledger).id
    except NotFoundError:
        return None
