"""The ledger: what happened, in order and for ever, and what is true now.

`Ledger` is the face; each noun behind it (`readings.py`, `runs.py`, ...) is a module of functions
on a connection. The tables, the chain and the backup are described in docs/ledger.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, Unpack

from sqlalchemy import delete, insert, select

from data.domain import DatasetVersion, Prediction, Radiograph, Reading, Split, Value
from data.errors import LedgerError
from data.importing.records import ImportBatch, NearDuplicate, Origin
from data.ledger import (
    cases as ledger_cases,
)
from data.ledger import (
    chain as ledger_chain,
)
from data.ledger import (
    figures as ledger_figures,
)
from data.ledger import (
    imports as ledger_imports,
)
from data.ledger import (
    predictions as ledger_predictions,
)
from data.ledger import (
    radiographs as ledger_radiographs,
)
from data.ledger import (
    readings as ledger_readings,
)
from data.ledger import (
    runs as ledger_runs,
)
from data.ledger import (
    snapshot as ledger_snapshot,
)
from data.ledger import (
    versions as ledger_versions,
)
from data.ledger.database import CHUNK, Database
from data.ledger.events import GENESIS, Event, EventKind, Head, check_chain
from data.ledger.schema import state
from data.runs import Run, RunChanges, RunState

BUSY_TIMEOUT_S = 10.0
"""How long a writer waits for the others; they hold the ledger for milliseconds."""


class Ledger:
    """Radiographs, readings, predictions, runs and versions, and the chain of events.

    One object may be shared by threads, and used on both sides of a fork that happens while no
    method runs. Every method is one transaction: all of it is kept, or nothing. What a
    method has returned from survives a killed process and a power cut (`synchronous = FULL`).

    Every method raises LedgerError if the database cannot be used or stays locked for longer than
    the busy timeout, and StorageError if the disk is full or cannot be written. Times are returned
    as UTC; a time without a time zone is refused with LedgerError.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, url: str, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Self:
        """Opens a ledger; makes a new one or brings an old one up to date where needed.

        Several processes may open the same new ledger at once.

        Args:
            url: SQLAlchemy URL, `sqlite:////folder/ledger.db` or `postgresql+psycopg://...`.
            busy_timeout_s: Longest wait for another writer, seconds.

        Raises:
            LedgerError: The address is none, the file is no ledger or of a newer Carpal.
        """
        return cls(Database(url, busy_timeout_s))

    def close(self) -> None:
        """Closes the connections of this process."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Events

    def append(self, kind: EventKind, subject: str, payload: Mapping[str, Any]) -> int:
        """Records an event.

        Args:
            kind: What happened.
            subject: What it happened to.
            payload: JSON values, finite numbers only; no secrets: it is kept for ever.

        Returns:
            Its sequence number.
        """
        with self._database.write() as connection:
            return ledger_chain.append_events(connection, [(kind, subject, payload)])[0]

    def head(self) -> Head:
        """Returns sequence number and hash of the last event; (0, 64 zeros) if there is none."""
        with self._database.read() as connection:
            return ledger_chain.read_head(connection)

    def events(self, after: int = 0, kinds: Collection[EventKind] | None = None) -> Iterator[Event]:
        """Yields the events after sequence number `after`, of these kinds if given, in order."""
        while True:
            with self._database.read() as connection:
                page = ledger_chain.read_events(connection, after, kinds, CHUNK)
            yield from page
            if len(page) < CHUNK:
                return
            after = page[-1].seq

    def verify_chain(self) -> int:
        """Checks every event against the hash chain.

        Returns:
            The number of events.

        Raises:
            LedgerError: The chain is broken; the sentence names the first broken event.
        """
        checked = GENESIS
        while True:
            reached = check_chain(self.events(after=checked[0]), checked)
            head = self.head()
            if head == reached:
                return head[0]
            if reached == checked or head[0] < reached[0]:
                raise LedgerError(
                    f"The ledger is broken: its head is event {head[0]}, "
                    f"but the chain ends with event {reached[0]}."
                )
            checked = reached  # Others have appended meanwhile.

    # Radiographs and the tasks that show them

    def add_radiographs(self, radiographs: Sequence[Radiograph]) -> int:
        """Adds radiographs; those that are known are left as they are.

        Returns:
            How many were new.

        Raises:
            LedgerError: A patient's radiograph comes with another split than the patient has.
        """
        with self._database.write() as connection:
            return ledger_radiographs.add_radiographs(connection, radiographs)

    def radiograph(self, radiograph_id: str) -> Radiograph | None:
        """Returns the radiograph of that id."""
        with self._database.read() as connection:
            return ledger_radiographs.find_radiograph(connection, radiograph_id)

    def radiographs(self, split: Split | None = None) -> list[Radiograph]:
        """Returns the radiographs of a split (of all if None), sorted by id."""
        with self._database.read() as connection:
            return ledger_radiographs.list_radiographs(connection, split)

    def radiographs_among(self, radiograph_ids: Collection[str]) -> dict[str, Radiograph]:
        """Returns id -> radiograph of those of these ids that are known."""
        with self._database.read() as connection:
            return ledger_radiographs.radiographs_among(connection, radiograph_ids)

    def count_radiographs(self, split: Split | None = None) -> int:
        """Counts the radiographs of a split (all if None)."""
        with self._database.read() as connection:
            return ledger_radiographs.count_radiographs(connection, split)

    def patient_splits(self, patients: Collection[str]) -> dict[str, Split]:
        """Returns the splits of those of these patients (pseudonyms) that have one."""
        with self._database.read() as connection:
            return ledger_radiographs.patient_splits(connection, patients)

    def link_tasks(self, project: int, links: Mapping[int, str]) -> None:
        """Records which radiograph each Label Studio task shows.

        Args:
            project: Label Studio's project.
            links: Task id -> radiograph id; a task that is known is linked anew.

        Raises:
            NotFoundError: The ledger does not know one of the radiographs.
        """
        with self._database.write() as connection:
            ledger_radiographs.link_tasks(connection, project, links)

    def task_links(self, project: int) -> dict[int, str]:
        """Returns task id -> radiograph id of a project, by ascending task id."""
        with self._database.read() as connection:
            return ledger_radiographs.list_task_links(connection, project)

    def radiograph_of_task(self, project: int, task: int) -> str | None:
        """Returns the id of the radiograph that a task shows."""
        with self._database.read() as connection:
            return ledger_radiographs.radiograph_of_task(connection, project, task)

    def tasks_showing(self, project: int, radiograph_ids: Collection[str]) -> dict[str, int]:
        """Returns radiograph id -> its newest task in a project, for those that have one."""
        with self._database.read() as connection:
            return ledger_cases.tasks_showing(connection, project, radiograph_ids)

    def case(self, radiograph_id: str) -> ledger_cases.CaseRows | None:
        """Returns all readings and predictions of a radiograph; None: it is not known."""
        with self._database.read() as connection:
            return ledger_cases.read_case(connection, radiograph_id)

    # Imports

    def record_import(self, batch: ImportBatch, fingerprints_known: int) -> bool:
        """Writes one batch of an import; what is known already is left, values are taken over.

        Args:
            batch: The radiographs and all that is told of them.
            fingerprints_known: How many fingerprints the importer compared with.

        Returns:
            False, and nothing is written, if the ledger holds another number of fingerprints: a
            second import runs, and its films must be compared with this batch first.

        Raises:
            LedgerError: A patient's radiograph comes with another split than the patient has, or
                something is told of a radiograph that the ledger does not know.
            NotFoundError: A reference is told of a radiograph that the ledger does not know.
        """
        with self._database.write() as connection:
            return ledger_imports.record_import(connection, batch, fingerprints_known)

    def fingerprints(self) -> dict[str, bytes]:
        """Returns radiograph id -> fingerprint, sorted by id."""
        with self._database.read() as connection:
            return dict(ledger_imports.list_fingerprints(connection))

    def near_duplicates(self) -> list[NearDuplicate]:
        """Returns all pairs of radiographs that show the same film, sorted."""
        with self._database.read() as connection:
            return ledger_imports.list_near_duplicates(connection)

    def origins(self, keys: Collection[str]) -> dict[str, Origin]:
        """Returns those of these keys that were imported, with what became of them."""
        with self._database.read() as connection:
            return ledger_imports.list_origins(connection, keys)

    def source_values(
        self, radiograph_ids: Collection[str] | None = None
    ) -> dict[str, Mapping[str, Value]]:
        """Returns radiograph id -> what its source says of it, in every split; sorted by id.

        Args:
            radiograph_ids: Only of these; None: of all.
        """
        with self._database.read() as connection:
            return ledger_imports.list_source_values(connection, radiograph_ids)

    def with_reference(self, radiograph_ids: Collection[str]) -> set[str]:
        """Returns those of these radiographs that have a reference reading."""
        with self._database.read() as connection:
            return ledger_imports.with_reference(connection, radiograph_ids)

    # Readings

    def record_readings(self, readings: Sequence[Reading]) -> int:
        """Moves the readings to what is told, with a `label` event for each one that changed.

        Safe to repeat and to reorder: a reading is told by its annotation (the reference's by its
        radiograph), what is already recorded changes nothing, and what is older (`read_at`) than
        what was told before is ignored. Radiograph, reader, values and withdrawal make a change;
        origin and lead time are taken over with one.

        Returns:
            How many readings changed.

        Raises:
            NotFoundError: The ledger does not know one of the radiographs.
            InvalidInputError: A reader's reading names no annotation, or a reference names one.
        """
        with self._database.write() as connection:
            return ledger_readings.record_readings(connection, readings)

    def withdraw_annotations(self, annotations: Collection[str]) -> int:
        """Withdraws the readings of `<project>:<annotation>`s that are gone from Label Studio.

        Returns:
            How many readings were withdrawn; unknown and withdrawn ones change nothing.
        """
        with self._database.write() as connection:
            return ledger_readings.withdraw_annotations(connection, annotations)

    def readings(self, include_withdrawn: bool = False) -> list[Reading]:
        """Returns what all readers say now, sorted by radiograph and reading."""
        with self._database.read() as connection:
            return ledger_readings.list_readings(connection, include_withdrawn)

    def live_annotations(self, project: int) -> set[int]:
        """Returns the numbers of a project's annotations that are not withdrawn."""
        with self._database.read() as connection:
            return ledger_readings.live_annotations(connection, project)

    def snapshot(self) -> tuple[Head, list[Radiograph], list[Reading]]:
        """Returns the head and exactly the radiographs and live readings that belong to it."""
        with self._database.read() as connection:
            return (
                ledger_chain.read_head(connection),
                ledger_radiographs.list_radiographs(connection, None),
                ledger_readings.list_readings(connection, include_withdrawn=False),
            )

    def label_snapshot(self, after: Head | None = None) -> ledger_snapshot.LabelSnapshot:
        """Returns what a dataset version is made of, as one moment of the ledger.

        Args:
            after: Only radiographs whose readings changed after this event are wanted. If this
                ledger does not hold exactly this event, all are returned.
        """
        with self._database.read() as connection:
            return ledger_snapshot.take_snapshot(connection, after)

    def changed_radiographs(self, after: int) -> int:
        """Counts the radiographs that can be learnt from anew since event `after`.

        A reading was recorded, changed, withdrawn or revived. Not counted: references in the
        held-out splits, and readings that were withdrawn (skipped) from the beginning.
        """
        with self._database.read() as connection:
            return ledger_readings.count_changed(connection, after)

    # Predictions

    def add_predictions(self, predictions: Sequence[Prediction]) -> int:
        """Adds predictions; one of the same radiograph and model version is left as it is.

        Returns:
            How many were new.

        Raises:
            NotFoundError: The ledger does not know one of the radiographs.
        """
        with self._database.write() as connection:
            return ledger_predictions.add_predictions(connection, predictions)

    def prediction(self, radiograph_id: str, model_version: str) -> Prediction | None:
        """Returns what a model version says of a radiograph."""
        return self.prediction_by_id(ledger_predictions.prediction_id(radiograph_id, model_version))

    def predictions_among(
        self, radiograph_ids: Collection[str], model_version: str
    ) -> dict[str, Prediction]:
        """Returns radiograph id -> what a model version has said of it, of those of these ids."""
        with self._database.read() as connection:
            return ledger_predictions.predictions_among(connection, radiograph_ids, model_version)

    def prediction_by_id(self, prediction_id: str) -> Prediction | None:
        """Returns the prediction of that id (`data.ledger.predictions.prediction_id`)."""
        with self._database.read() as connection:
            return ledger_predictions.find_prediction(connection, prediction_id)

    def latest_prediction(self, radiograph_id: str) -> Prediction | None:
        """Returns the prediction of a radiograph that was added last."""
        with self._database.read() as connection:
            return ledger_predictions.latest_prediction(connection, radiograph_id)

    def predictions(self, model_version: str) -> dict[str, Prediction]:
        """Returns radiograph id -> what a model version says of it, sorted by radiograph."""
        with self._database.read() as connection:
            return ledger_predictions.list_predictions(connection, model_version)

    def count_predictions(self, model_version: str) -> int:
        """Counts what a model version has said."""
        with self._database.read() as connection:
            return ledger_figures.count_predictions(connection, model_version)

    # Figures

    def figures(self, asked: ledger_figures.Asked) -> ledger_figures.LedgerFigures:
        """Returns sums over readings, tasks and predictions; quick however many there are."""
        with self._database.read() as connection:
            return ledger_figures.read_figures(connection, asked)

    # Training runs

    def add_run(self, run: Run) -> None:
        """Records a new run, with a `run` event.

        Raises:
            LedgerError: There is a run of that id.
            InvalidInputError: The id is not written `r0001`.
        """
        with self._database.write() as connection:
            ledger_runs.add_run(connection, run)

    def begin_run(self, trigger: str, requested_at: datetime, reason: str) -> Run | None:
        """Records the next run as queued, with a `run` event, unless one is active.

        One transaction: of several processes that ask at the same moment, one gets a run.

        Returns:
            The run; None if another one has not ended yet.
        """
        with self._database.write() as connection:
            return ledger_runs.begin_run(connection, trigger, requested_at, reason)

    def update_run(self, run_id: str, **changes: Unpack[RunChanges]) -> Run:
        """Changes a run, with a `run` event if its state changed.

        Returns:
            The run as it stands now.

        Raises:
            NotFoundError: There is no run of that id.
        """
        with self._database.write() as connection:
            return ledger_runs.update_run(connection, run_id, changes)

    def run(self, run_id: str) -> Run | None:
        """Returns the run of that id."""
        with self._database.read() as connection:
            return ledger_runs.find_run(connection, run_id)

    def runs(self, states: Collection[RunState] | None = None) -> list[Run]:
        """Returns the runs in these states (all if None), oldest first."""
        with self._database.read() as connection:
            return ledger_runs.list_runs(connection, states)

    # Dataset versions

    def add_version(self, version: DatasetVersion, trigger: str = "") -> None:
        """Records a dataset version, with a `committed` event; the same one again is no error.

        Args:
            version: As it was committed.
            trigger: Why, for the event.

        Raises:
            LedgerError: A version of that name is another commit.
        """
        with self._database.write() as connection:
            ledger_versions.add_version(connection, version, trigger)

    def versions(self) -> list[DatasetVersion]:
        """Returns the dataset versions, oldest first."""
        with self._database.read() as connection:
            return ledger_versions.list_versions(connection)

    def latest_version(self) -> DatasetVersion | None:
        """Returns the newest dataset version."""
        return next(reversed(self.versions()), None)

    # Small facts that jobs carry over

    def get_state(self, key: str) -> str | None:
        """Returns what was set last under that key."""
        with self._database.read() as connection:
            query = select(state.c.value).where(state.c.key == key)
            return connection.execute(query).scalar_one_or_none()

    def set_state(self, key: str, value: str) -> None:
        """Sets a value, whatever it was before."""
        with self._database.write() as connection:
            connection.execute(delete(state).where(state.c.key == key))
            connection.execute(insert(state).values(key=key, value=value))
