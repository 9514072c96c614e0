"""Where a prediction comes from: model, training, dataset version, readers, gate, image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from data.domain import DatasetVersion, Prediction, Radiograph, Value
from data.errors import NotFoundError
from data.ledger.events import EventKind
from data.ledger.ledger import Ledger
from data.ledger.predictions import prediction_id
from data.runs import Run
from workers.bootstrap import project_handle


class VersionRows(Protocol):
    """What is asked of the dataset repository (see `data.versions.repository`)."""

    def rows(self, version: str) -> Sequence[Mapping[str, str]]:
        """Returns the rows of a version's `labels.csv`."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """All that stands behind one prediction.

    Attributes:
        prediction_id: Its id for ever.
        prediction: What was said.
        radiograph: Of which image.
        run: The training that made the model; None if the ledger knows of none.
        version: The dataset version that it learnt from; None if the ledger knows of none.
        learnt_from: Split -> labelled radiographs in that version.
        readers: Reader -> radiographs that he or she read in that version.
        row: The radiograph's own row in that version; empty: it was not labelled then.
        readings: What readers say of it now: (reader, when, values).
        decisions: (when, what happened to the model, why), oldest first.
    """

    prediction_id: str
    prediction: Prediction
    radiograph: Radiograph
    run: Run | None
    version: DatasetVersion | None
    learnt_from: Mapping[str, int]
    readers: Mapping[str, int]
    row: Mapping[str, str]
    readings: tuple[tuple[str, datetime, Mapping[str, Value]], ...]
    decisions: tuple[tuple[datetime, str, str], ...]


def find_prediction(ledger: Ledger, wanted: str) -> Prediction:
    """Returns the prediction of that id, or the newest one of a task or a radiograph.

    Args:
        ledger: Open ledger.
        wanted: 16 digits of a prediction, 64 digits of a radiograph, or a Label Studio task's
            number.

    Raises:
        NotFoundError: There is no such prediction.
    """
    found = ledger.prediction_by_id(wanted)
    if found is None and wanted.isdecimal() and len(wanted) < 10:
        shown = ledger.radiograph_of_task(project_handle(ledger).id, int(wanted))
        found = ledger.latest_prediction(shown) if shown else None
    found = found or ledger.latest_prediction(wanted)
    if found is None:
        raise NotFoundError(
            f"There is no prediction {wanted!r}: give the id of a prediction, of a radiograph, or "
            "the number of a Label Studio task that a model has scored."
        )
    return found


def explain(ledger: Ledger, repository: VersionRows, prediction: Prediction) -> Lineage:
    """Gathers what stands behind a prediction.

    Raises:
        NotFoundError: The ledger does not know its radiograph.
        VersionError: The dataset repository cannot be read.
    """
    case = ledger.case(prediction.radiograph_id)
    if case is None:
        raise NotFoundError(f"The ledger does not know radiograph {prediction.radiograph_id}.")
    radiograph = case.radiograph
    model = prediction.model_version
    run = next((run for run in ledger.runs() if run.model_version == model), None)
    name = run.version if run else model.partition("-")[0]
    version = next((v for v in ledger.versions() if v.name == name), None)
    rows = repository.rows(name) if version else []
    readers = Counter(reader for row in rows for reader in row["readers"].split(";") if reader)
    return Lineage(
        prediction_id=prediction_id(radiograph.id, model),
        prediction=prediction,
        radiograph=radiograph,
        run=run,
        version=version,
        learnt_from=dict(Counter(row["split"] for row in rows)),
        readers=dict(sorted(readers.items())),
        row=next((row for row in rows if row["id"] == radiograph.id), {}),
        readings=tuple(
            (reading.reader, reading.read_at, reading.values)
            for reading in case.readings
            if not reading.withdrawn
        ),
        decisions=tuple(_decisions(ledger, model)),
    )


def _decisions(ledger: Ledger, model: str) -> list[tuple[datetime, str, str]]:
    kinds = [EventKind.GATE, EventKind.PROMOTED, EventKind.ROLLED_BACK]
    return [
        (event.at, event.kind.value, str(event.payload.get("reason", "")))
        for event in ledger.events(kinds=kinds)
        if event.subject == model
    ]


def as_json(lineage: Lineage) -> dict[str, Any]:
    """Returns the lineage as JSON-ready values; times are ISO 8601 in UTC."""
    said, film = lineage.prediction, lineage.radiograph
    run, version = lineage.run, lineage.version
    return {
        "prediction": lineage.prediction_id,
        "model_version": said.model_version,
        "values": dict(said.values),
        "intervals": {name: list(ends) for name, ends in said.intervals.items()},
        "coverage": said.coverage,
        "confidence": said.confidence,
        "radiograph": {
            "id": film.id,
            "split": film.split.value,
            "source": film.source,
            "patient": film.patient,
            "imported_at": film.imported_at.isoformat(),
        },
        "run": run and {"id": run.id, "trigger": run.trigger, "finished_at": _iso(run.finished_at)},
        "dataset_version": version
        and {
            "name": version.name,
            "commit": version.commit,
            "ledger_event": version.last_event,
            "learnt_from": dict(lineage.learnt_from),
            "readers": dict(lineage.readers),
        },
        "row_in_that_version": dict(lineage.row),
        "readings_now": [
            {"reader": reader, "read_at": at.isoformat(), "values": dict(values)}
            for reader, at, values in lineage.readings
        ],
        "decisions": [
            {"at": at.isoformat(), "what": what, "why": why} for at, what, why in lineage.decisions
        ],
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
