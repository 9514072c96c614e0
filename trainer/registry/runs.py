"""Keeps what was tried: one MLflow run per training, with its options, curves, metrics and model.

Also opens the connection to MLflow that the registry uses.
"""

from __future__ import annotations

import fcntl
import logging
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import InvalidInputError, NotFoundError, ServiceUnavailableError
from data.migrating import MIGRATING
from trainer.registry.environment import code_commit, environment_text
from trainer.registry.numbers import Dataset, write_dataset, write_numbers

if TYPE_CHECKING:
    from mlflow import MlflowClient

ARTEFACTS = "model"
"""Folder of a run's artefacts that is the model folder."""

REPORT = "report"
"""Folder of a run's artefacts that is the evaluation's report."""

LOGS = "log"
"""Folder of a run's artefacts that is the training's log."""

ENVIRONMENT = "environment.txt"
CODE_COMMIT = "mlflow.source.git.commit"
"""MLflow's own tag, which its pages show."""

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
        artefacts: Sequence[tuple[Path | None, str]],
        dataset: Dataset,
    ) -> str:
        """Logs one finished training and returns its run id.

        The environment in which this is called is kept, too: libraries and the code's commit.

        Args:
            params: Option -> value.
            epochs: Per epoch, metric -> value; `epoch` is its number.
            metrics: Final metrics; nested ones are named by path, such as
                `bands/female 60-120/mae`.
            tags: Such as git commits.
            artefacts: (folder, name) of what is kept; what is None or not there is left out.
            dataset: What it learnt from.

        Raises:
            ServiceUnavailableError: MLflow does not answer.
        """
        with self.client() as client:
            commit = code_commit()
            known = {CODE_COMMIT: commit} if commit else {}
            run = client.create_run(self._experiment(client), tags={**known, **tags})
            run_id: str = run.info.run_id
            status = "FAILED"
            try:
                write_numbers(client, run_id, params, epochs, metrics)
                write_dataset(client, run_id, dataset)
                client.log_dict(run_id, dict(metrics), "evaluation.json")
                client.log_text(run_id, environment_text(), ENVIRONMENT)
                for folder, name in artefacts:
                    if folder is not None and folder.is_dir():
                        client.log_artifacts(run_id, str(folder), name)
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
        # MLflow makes its tables in hundreds of steps that nobody else must take meanwhile.
        with MIGRATING, (file.parent / f".{file.name}.lock").open("w") as lock:
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


def _database_file(uri: str) -> Path:
    return Path(uri.removeprefix(SQLITE).split("?")[0]).absolute()


def _shown(uri: str) -> str:
    """The address without a password."""
    scheme, separator, rest = uri.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
