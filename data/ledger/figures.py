"""Sums over the ledger, made by the database: what a page shows without reading every row.

Readings are those of experts that count now, unless it says otherwise. All figures are of one
moment of the ledger.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, case, func, select

from data.domain import Prediction, Split, Value
from data.ledger.events import utc_text, utc_time
from data.ledger.predictions import prediction_of
from data.ledger.schema import patients, predictions, radiographs, readings, task_links

SAMPLE = 500
"""Radiographs that a distribution is made of, at most."""


@dataclass(frozen=True, slots=True)
class ReaderDay:
    """How many radiographs one reader read on one day (UTC)."""

    day: date
    reader: str
    labels: int


@dataclass(frozen=True, slots=True)
class ReaderOrigin:
    """How many readings of one reader came about in one way.

    Attributes:
        reader: E-mail address.
        origin: See `Reading.origin`.
        readings: How many.
        unreadable: Of these, those that say that the radiograph cannot be read.
    """

    reader: str
    origin: str
    readings: int
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class HeldPrediction:
    """A prediction and what an expert said of the radiograph afterwards.

    Attributes:
        prediction: What the model said before anybody had read the radiograph.
        values: The newest reading: target name -> value.
        origin: How it came about; see `Reading.origin`.
        read_at: When, UTC.
    """

    prediction: Prediction
    values: Mapping[str, Value]
    origin: str
    read_at: datetime


@dataclass(frozen=True, slots=True)
class OpenTasks:
    """Tasks of a project that no expert has read.

    Attributes:
        waiting: How many.
        behind: How many of these come after a given task.
    """

    waiting: int
    behind: int


@dataclass(frozen=True, slots=True)
class Asked:
    """What figures are wanted of.

    Attributes:
        champion: Model version that serves; empty: none.
        challenger: Model version that waits for its place; empty: none.
        project: Label Studio project; None: the workspace is not joined with one.
        written: Last task of it that has the champion's prediction.
        since: Where the last days begin, UTC.
        last: Radiographs that a live figure is made of.
    """

    champion: str
    challenger: str
    project: int | None
    written: int
    since: datetime
    last: int


@dataclass(frozen=True, slots=True)
class LedgerFigures:
    """What `Asked` asks for.

    Attributes:
        labelled: Radiographs with a reading.
        days: Readings by day and reader, sorted.
        origins: Readings by reader and origin, sorted.
        lead_times: (reader, seconds that a reading took) where it is known.
        open: Tasks that nobody has read.
        champion: What the champion said before an expert did, the newest reading first.
        challenger: The same of the challenger.
        recent: The champion's newest predictions of the last days.
        before: Its newest predictions before them.
        learnt: What is said of radiographs of the training split, references included.
    """

    labelled: int
    days: list[ReaderDay]
    origins: list[ReaderOrigin]
    lead_times: list[tuple[str, float]]
    open: OpenTasks
    champion: list[HeldPrediction]
    challenger: list[HeldPrediction]
    recent: list[Prediction]
    before: list[Prediction]
    learnt: list[Mapping[str, Value]]


def read_figures(connection: Connection, asked: Asked) -> LedgerFigures:
    """Makes the figures; see `Ledger.figures`."""
    scored_since = predictions.c.created_at >= utc_text(asked.since)
    return LedgerFigures(
        labelled=_labelled(connection),
        days=_days(connection),
        origins=_origins(connection),
        lead_times=_lead_times(connection),
        open=_open_tasks(connection, asked.project, asked.written),
        champion=_held(connection, asked.champion, asked.last),
        challenger=_held(connection, asked.challenger, asked.last),
        recent=_scored(connection, asked.champion, scored_since),
        before=_scored(connection, asked.champion, ~scored_since),
        learnt=_learnt(connection),
    )


def _labelled(connection: Connection) -> int:
    query = select(func.count(readings.c.radiograph_id.distinct())).where(_counts())
    return connection.execute(query).scalar_one()


def _days(connection: Connection) -> list[ReaderDay]:
    day = func.substr(readings.c.read_at, 1, 10)
    query = (
        select(day, readings.c.reader, func.count())
        .where(_counts())
        .group_by(day, readings.c.reader)
        .order_by(day, readings.c.reader)
    )
    rows = connection.execute(query)
    return [ReaderDay(date.fromisoformat(on), who, count) for on, who, count in rows]


def _origins(connection: Connection) -> list[ReaderOrigin]:
    by = readings.c.reader, readings.c.origin
    unreadable = func.sum(case((readings.c.unreadable != "", 1), else_=0))
    counts = func.count(), unreadable
    query = select(*by, *counts).where(_counts()).group_by(*by).order_by(*by)
    return [ReaderOrigin(*row) for row in connection.execute(query)]


def _lead_times(connection: Connection) -> list[tuple[str, float]]:
    query = select(readings.c.reader, readings.c.lead_time_s).where(
        _counts(), readings.c.lead_time_s.is_not(None)
    )
    return [(who, seconds) for who, seconds in connection.execute(query)]


def _open_tasks(connection: Connection, project: int | None, after: int) -> OpenTasks:
    if project is None:
        return OpenTasks(0, 0)
    read = select(readings.c.radiograph_id).where(_counts())
    behind = func.coalesce(func.sum(case((task_links.c.task > after, 1), else_=0)), 0)
    query = select(func.count(), behind).where(
        task_links.c.project == project, task_links.c.radiograph_id.not_in(read)
    )
    return OpenTasks(*connection.execute(query).one())


def _held(connection: Connection, model_version: str, limit: int) -> list[HeldPrediction]:
    """Returns what a model said of radiographs that experts read only later, the newest first.

    A radiograph that somebody had read before the prediction is left out, whatever became of that
    reading: the model may have learnt from it. Each counts once, with its newest reading.
    """
    earlier = readings.alias()
    known_before = (
        select(earlier.c.key)
        .where(
            earlier.c.radiograph_id == predictions.c.radiograph_id,
            earlier.c.label_event > 0,
            earlier.c.read_at <= predictions.c.created_at,
        )
        .exists()
    )
    query = (
        select(
            predictions,
            readings.c.read_at,
            readings.c.origin,
            readings.c["values"].label("read_values"),
        )
        .join(readings, readings.c.radiograph_id == predictions.c.radiograph_id)
        .where(
            predictions.c.model_version == model_version,
            readings.c.unreadable == "",
            _counts(),
            ~known_before,
        )
        .order_by(readings.c.read_at.desc(), readings.c.key.desc())
    )
    found: dict[str, HeldPrediction] = {}
    for row in connection.execute(query).mappings():
        if len(found) == limit:
            break
        if row["radiograph_id"] not in found:
            found[row["radiograph_id"]] = _held_of(row)
    return list(found.values())


def _scored(
    connection: Connection, model_version: str, when: ColumnElement[bool]
) -> list[Prediction]:
    query = (
        select(predictions)
        .where(predictions.c.model_version == model_version, when)
        .order_by(predictions.c.created_at.desc(), predictions.c.radiograph_id)
        .limit(SAMPLE)
    )
    return [prediction_of(row) for row in connection.execute(query).mappings()]


def _held_of(row: RowMapping) -> HeldPrediction:
    values = json.loads(row["read_values"])
    return HeldPrediction(prediction_of(row), values, row["origin"], utc_time(row["read_at"]))


def count_predictions(connection: Connection, model_version: str) -> int:
    """Counts what a model has said."""
    query = select(func.count()).where(predictions.c.model_version == model_version)
    return connection.execute(query).scalar_one()


def _learnt(connection: Connection) -> list[Mapping[str, Value]]:
    """The order is that of hashes, so this is a random sample."""
    query: Select[Any] = (
        select(readings.c["values"])
        .select_from(readings.join(radiographs).join(patients))
        .where(readings.c.withdrawn.is_(False), patients.c.split == Split.TRAIN.value)
        .order_by(readings.c.radiograph_id, readings.c.key)
        .limit(SAMPLE)
    )
    return [json.loads(text) for text in connection.execute(query).scalars()]


def _counts() -> ColumnElement[bool]:
    return and_(readings.c.project.is_not(None), readings.c.withdrawn.is_(False))
