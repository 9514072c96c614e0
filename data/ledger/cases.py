"""All that the ledger holds of one radiograph, as one moment of the ledger."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from data.domain import Prediction, Radiograph, Reading
from data.ledger.database import rows_among
from data.ledger.events import utc_time
from data.ledger.predictions import prediction_of
from data.ledger.radiographs import find_radiograph
from data.ledger.readings import readings_of
from data.ledger.schema import predictions, task_links


@dataclass(frozen=True, slots=True)
class CaseRows:
    """What is known of one radiograph.

    Attributes:
        radiograph: The film.
        readings: What readers say or said of it, withdrawn readings included, by time.
        predictions: (when it was made, what a model said), oldest first.
    """

    radiograph: Radiograph
    readings: tuple[Reading, ...]
    predictions: tuple[tuple[datetime, Prediction], ...]


def read_case(connection: Connection, radiograph_id: str) -> CaseRows | None:
    """Returns what is known of a radiograph; None: the ledger does not know it."""
    radiograph = find_radiograph(connection, radiograph_id)
    if radiograph is None:
        return None
    made = (
        select(predictions)
        .where(predictions.c.radiograph_id == radiograph_id)
        .order_by(predictions.c.created_at, predictions.c.model_version)
    )
    return CaseRows(
        radiograph,
        tuple(sorted(readings_of(connection, radiograph_id), key=lambda one: one.read_at)),
        tuple(
            (utc_time(row["created_at"]), prediction_of(row))
            for row in connection.execute(made).mappings()
        ),
    )


def tasks_showing(
    connection: Connection, project: int, radiograph_ids: Collection[str]
) -> dict[str, int]:
    """Returns radiograph -> its newest task in a project, for those that have one."""
    query = (
        select(task_links.c.radiograph_id, task_links.c.task)
        .where(task_links.c.project == project)
        .order_by(task_links.c.task)
    )
    rows = rows_among(connection, query, task_links.c.radiograph_id, radiograph_ids)
    return {row["radiograph_id"]: row["task"] for row in sorted(rows, key=lambda r: r["task"])}
