"""Keeps what was tried: one MLflow run per training, with its options, curves, metrics and model.

Also opens the connection to MLflow that `trainer.registry` uses; nothing else imports MLflow.
"""

from __future__ import annotations

import fcntl
import logging
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import InvalidInputError, NotFoundError, ServiceUnavailableError

if TYPE_CHECKING:
    from mlflow import MlflowClient

ARTEFACTS = "model"
"""Folder of a run's artefacts that is the model folder."""

MLFLOW_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
"""Settings of MLflow: nothing is reported to anybody, and a server that is down is an error after
seconds, not minutes. What the installation has set stays as it is."""

SQLITE = "sqlite:///"
SERVER = ("http://", "https://")
METRICS_PER_CALL = 1000
"""MLflow's own limit."""


class RunLog:
    """The runs of one task.

    Args:
        uri: `sqlite:///FILE` (folder and file are made) or the address of an MLflow server.
        name: The task: name of the experiment.

    Raises:
        InvalidInputError: The URI is neither.
    """

    def __init__(self, uri: str, name: str) -> None:
        if not uri.startswith((SQLITE, *SERVER)):
            raise InvalidInputError(
                f"MLflow must be {SQLITE}FILE or a server's http address, not {_shown(uri)}."
            )
        self.uri, self.name = uri, name
        self._opened: MlflowClient | None = None
        self._opening = threading.Lock()

    def write(
        self,
        *,
        params: Mapping[str, Any],
        epochs: Sequence[Mapping[str, float]],
        metrics: Mapping[str, Any],
        tags: Mapping[str, str],
        folder: Path,
    ) -> str:
        """Logs one finished training and returns its run id.

        Args:
            params: Option -> value.
            epochs: Per epoch, metric -> value; `epoch` is its number.
            metrics: Final metrics; nested ones are named by path, such as
                `bands/female 60-120/mae`.
            tags: Such as git commits.
            folder: Kept as the artefact `model`.

        Raises:
            ServiceUnavailableError: MLflow does not answer.
        """
        with self.client() as client:
            run = client.create_run(self._experiment(client), tags=dict(tags))
            run_id: str = run.info.run_id
            status = "FAILED"
            try:
                _write_numbers(client, run_id, params, epochs, metrics)
                client.log_dict(run_id, dict(metrics), "evaluation.json")
                client.log_artifacts(run_id, str(folder), ARTEFACTS)
                status = "FINISHED"
            finally:
                client.set_terminated(run_id, status)
        return run_id

    @contextmanager
    def client(self) -> Iterator[MlflowClient]:
        """Yields the connection and translates MLflow's errors.

        Raises:
            NotFoundError: MLflow does not know what was asked for.
            ServiceUnavailableError: MLflow does not answer, or refuses.
        """
        from mlflow.exceptions import MlflowException

        try:
            yield self._open()
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise NotFoundError(f"MLflow at {_shown(self.uri)}: {error.message}") from error
            raise ServiceUnavailableError(
                f"MLflow at {_shown(self.uri)} does not answer as it should: {error.message}"
            ) from error
        except OSError as error:
            raise ServiceUnavailableError(
                f"MLflow at {_shown(self.uri)} cannot be reached: {error}"
            ) from error

    def _open(self) -> MlflowClient:
        with self._opening:
            if self._opened is None:
                self._opened = _connect(self.uri)
            return self._opened

    def _experiment(self, client: MlflowClient) -> str:
        found = client.get_experiment_by_name(self.name)
        if found is not None:
            return str(found.experiment_id)
        return str(client.create_experiment(self.name, self._artefact_location()))

    def _artefact_location(self) -> str | None:
        """Where a new experiment keeps its artefacts; None lets a server decide."""
        if self.uri.startswith(SQLITE):
            return (_database_file(self.uri).parent / "artefacts" / self.name).as_uri()
        return None


def _connect(uri: str) -> MlflowClient:
    with _without_chatter():
        _settle()
        from mlflow import MlflowClient

        if not uri.startswith(SQLITE):
            return MlflowClient(tracking_uri=uri, registry_uri=uri)
        file = _database_file(uri)
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists() and file.stat().st_size and not _is_sqlite(file):
            raise ServiceUnavailableError(f"{file} is not an SQLite database: move it away.")
        # MLflow makes its tables in hundreds of steps that two processes must not take at once.
        with (file.parent / f".{file.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            client.search_registered_models(max_results=1)
        return client


def _is_sqlite(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(16) == b"SQLite format 3\0"


def _settle() -> None:
    """Applies `MLFLOW_SETTINGS`; MLflow looks at them anew whenever it needs them."""
    from mlflow import environment_variables, telemetry

    for name, value in MLFLOW_SETTINGS.items():
        variable = getattr(environment_variables, name)
        if not variable.is_set():
            variable.set(value)
    telemetry.set_telemetry_client()  # type: ignore[no-untyped-call]


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Keeps the deprecations of MLflow and the lines about new tables out of the log."""
    names = ("alembic", "mlflow.store.db.utils")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # MLflow's mappers still say `noload`, which SQLAlchemy 2.1 deprecates.
            warnings.filterwarnings("ignore", "The ``noload`` loader", DeprecationWarning)
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _write_numbers(
    client: MlflowClient,
    run_id: str,
    params: Mapping[str, Any],
    epochs: Sequence[Mapping[str, float]],
    metrics: Mapping[str, Any],
) -> None:
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    curve = [
        Metric(key, value, now, int(row["epoch"]))
        for row in epochs
        for key, value in row.items()
        if key != "epoch"
    ]
    final = [Metric(key, value, now, 0) for key, value in flatten(metrics).items()]
    client.log_batch(run_id, params=[Param(key, str(value)) for key, value in params.items()])
    every = curve + final
    for start in range(0, len(every), METRICS_PER_CALL):
        client.log_batch(run_id, metrics=every[start : start + METRICS_PER_CALL])


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Names every number in nested results by its path; what is no number is left out.

    A list of things that have a `name` is taken by name, another list by position.
    """
    flat: dict[str, float] = {}
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, list | tuple):
            named = [
                v["name"] if isinstance(v, Mapping) and "name" in v else i
                for i, v in enumerate(value)
            ]
            value = {str(name): item for name, item in zip(named, value, strict=True)}
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{path}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[path] = float(value)
    return flat


def _database_file(uri: str) -> Path:
    return Path(uri.removeprefix(SQLITE).split("?")[0]).absolute()


def _shown(uri: str) -> str:
    """The address without a password."""
    scheme, separator, rest = uri.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
