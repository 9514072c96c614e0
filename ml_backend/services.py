"""What the routes work with: ports, and the real parts behind them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from data.domain import DatasetVersion, Prediction, Radiograph, TaskSpec
from data.errors import NotFoundError
from data.images.decoding import ImageLimits
from data.ledger.events import Event, EventKind
from data.ledger.ledger import Ledger as SqlLedger
from data.runs import Run, RunState
from labeling_config.client_image_hosts import NamedHosts
from labeling_config.client_sessions import Sessions
from labeling_config.client_uploads import Uploads
from labeling_config.image_hosts import read_image_hosts
from ml_backend.decoding_pool import Asked
from ml_backend.metrics import Counters, shared_counters
from ml_backend.model_ports import Predictor
from ml_backend.serving import FIRST_LOOK_S, ModelServer, Served
from workers import assembly
from workers.adjudication import adjudicators
from workers.bootstrap import project_handle
from workers.current_standards import CurrentStandards
from workers.desk import Desk
from workers.loop_watch import LoopWatch
from workers.overview import LoopOverview
from workers.promotion import CHAMPION
from workers.queues import request_reconcile
from workers.settings import Settings
from workers.standards import Standards

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

    def radiographs_among(self, radiograph_ids: Collection[str]) -> dict[str, Radiograph]:
        """Returns id -> radiograph of those of these ids that are known."""

    def prediction(self, radiograph_id: str, model_version: str) -> Prediction | None:
        """Returns what a model version has said of a radiograph."""

    def predictions_among(
        self, radiograph_ids: Collection[str], model_version: str
    ) -> dict[str, Prediction]:
        """Returns radiograph id -> what a model version has said of it."""

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

    def submit(
        self, predictor: Predictor, asked: Asked, *, remember: bool = True
    ) -> Future[Prediction]:
        """Asks for one film and does not wait."""


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
        fetch_upload: Reads what Label Studio hands out, by its path there; see `Uploads`.
        reconcile: Asks for a reconcile, saying why; ServiceUnavailableError if nobody can be asked.
        project: Returns the id of the workspace's Label Studio project; None: not joined yet.
        overview: Looks at the loop as `carpal status` does; quick while nothing has happened.
        standards: Returns the films that others are held against.
        signed_in: Says whether a Label Studio session cookie is that of a user who is signed in.
        desk: What the pages of cases show; None: there are none.
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
    standards: Callable[[], Standards]
    signed_in: Callable[[str], bool]
    desk: Desk | None = None


def build_services(settings: Settings, counters: Counters | None = None) -> Services:
    """Opens the workspace's real parts and begins to follow the model registry.

    Args:
        settings: Name the workspace.
        counters: Shared by the processes of the server; those of its main workspace unless given.
    """
    spec = assembly.task(settings)
    ledger = SqlLedger.open(settings.ledger)
    limits = assembly.image_limits(settings)
    hosts = NamedHosts(read_image_hosts(settings.image_hosts))
    uploads = Uploads(settings.label_studio, settings.label_studio_token, hosts)
    counters = counters or shared_counters()
    standards = CurrentStandards(ledger, spec, adjudicators(settings))
    models = ModelServer(
        lambda: _registry(settings),
        lambda folder: _load_model(settings, spec, folder),
        task=spec.name,
        cache=settings.cache / "models",
        counters=counters,
        limits=limits,
        use_processes=True,
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
        overview=LoopWatch(settings, ledger).look,
        standards=standards.current,
        signed_in=Sessions(settings.label_studio).is_signed_in,
        desk=Desk.of_workspace(settings, spec, ledger, standards),
    )


def _registry(settings: Settings) -> Registry:
    """Opens the registry; torch comes with it, so that a first champion is loaded at once."""
    import trainer.predictor  # noqa: F401

    return assembly.registry(settings)


def _load_model(settings: Settings, spec: TaskSpec, folder: Path) -> Predictor:
    from trainer.predictor import Predictor

    _leave_libraries_out_of_garbage_collection()
    return Predictor.load(folder, settings.device, spec, assembly.mask_store(settings).find)


def _project(ledger: SqlLedger) -> int | None:
    try:
        return project_handle(ledger).id
    except NotFoundError:
        return None


def _leave_libraries_out_of_garbage_collection() -> None:
    """Takes what is loaded by now, mostly torch and MLflow, out of the search for garbage.

    Looking through their 660,000 objects stops every thread for a fifth of a second, now and then.
    A model is loaded afterwards, so that it can go again.
    """
    if gc.get_freeze_count() == 0:
        gc.collect()
        gc.freeze()
