"""What each model version says of each radiograph; written once, never changed."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select

from data.domain import Prediction
from data.ledger.database import rows_among
from data.ledger.events import canonical_json, utc_text
from data.ledger.radiographs import require_radiographs
from data.ledger.schema import predictions


def prediction_id(radiograph_id: str, model_version: str) -> str:
    """Returns the id by which a prediction can be explained for ever: 16 hexadecimal digits."""
    return sha256(f"{radiograph_id}|{model_version}".encode()).hexdigest()[:16]


def add_predictions(connection: Connection, made: Sequence[Prediction]) -> int:
    """Adds those that are not there yet; see `Ledger.add_predictions`."""
    by_id = {prediction_id(item.radiograph_id, item.model_version): item for item in reversed(made)}
    for row in rows_among(connection, select(predictions.c.id), predictions.c.id, set(by_id)):
        del by_id[row["id"]]
    require_radiographs(connection, {item.radiograph_id for item in by_id.values()})
    now = utc_text(datetime.now(UTC))
    if by_id:
        rows = [_to_row(key, item, now) for key, item in by_id.items()]
        connection.execute(insert(predictions), rows)
    return len(by_id)


def find_prediction(connection: Connection, wanted_id: str) -> Prediction | None:
    """Returns the prediction of that id."""
    query = select(predictions).where(predictions.c.id == wanted_id)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else prediction_of(row)


def latest_prediction(connection: Connection, radiograph_id: str) -> Prediction | None:
    """Returns the prediction of a radiograph that was made last."""
    query = (
        select(predictions)
        .where(predictions.c.radiograph_id == radiograph_id)
        .order_by(predictions.c.created_at.desc(), predictions.c.model_version.desc())
        .limit(1)
    )
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else prediction_of(row)


def predictions_among(
    connection: Connection, radiograph_ids: Collection[str], model_version: str
) -> dict[str, Prediction]:
    """Returns radiograph id -> what a model version says of it, of those that it has predicted."""
    wanted = [prediction_id(radiograph_id, model_version) for radiograph_id in radiograph_ids]
    rows = rows_among(connection, select(predictions), predictions.c.id, wanted)
    return {row["radiograph_id"]: prediction_of(row) for row in rows}


def list_predictions(connection: Connection, model_version: str) -> dict[str, Prediction]:
    """Returns radiograph id -> what a model version says of it, sorted by radiograph."""
    query = (
        select(predictions)
        .where(predictions.c.model_version == model_version)
        .order_by(predictions.c.radiograph_id)
    )
    return {
        row["radiograph_id"]: prediction_of(row) for row in connection.execute(query).mappings()
    }


def _to_row(key: str, item: Prediction, created_at: str) -> dict[str, Any]:
    return {
        "id": key,
        "radiograph_id": item.radiograph_id,
        "model_version": item.model_version,
        "values": canonical_json(item.values),
        "intervals": canonical_json(item.intervals),
        "probabilities": canonical_json(item.probabilities),
        "confidence": item.confidence,
        "coverage": item.coverage,
        "created_at": created_at,
        "used": canonical_json(item.used),
        "predicted_inputs": json.dumps(item.predicted_inputs),
        "novelty": item.novelty,
    }


def prediction_of(row: RowMapping) -> Prediction:
    """Returns the prediction that a row of the table holds."""
    intervals = json.loads(row["intervals"])
    return Prediction(
        radiograph_id=row["radiograph_id"],
        model_version=row["model_version"],
        values=json.loads(row["values"]),
        intervals={name: (low, high) for name, (low, high) in intervals.items()},
        probabilities=json.loads(row["probabilities"]),
        confidence=row["confidence"],
        coverage=row["coverage"],
        used=json.loads(row["used"]),
        predicted_inputs=tuple(json.loads(row["predicted_inputs"])),
        novelty=row["novelty"],
    )
