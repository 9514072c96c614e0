"""What imports leave in the ledger: fingerprints, near duplicates, origins, what sources say."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping

from sqlalchemy import Connection, func, select

from data.domain import REFERENCE_READER, Value
from data.importing.records import ImportBatch, NearDuplicate, Origin
from data.ledger.database import put_rows, rows_among
from data.ledger.radiographs import add_radiographs, settle_splits
from data.ledger.readings import record_readings
from data.ledger.schema import fingerprints, near_duplicates, origins, readings, source_values

_VALUES = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
"""Writes flat values as `events.canonical_json` does, in a tenth of the time."""


def record_import(connection: Connection, batch: ImportBatch, fingerprints_known: int) -> bool:
    """Writes one batch of an import; see `Ledger.record_import`."""
    if batch.fingerprints and count_fingerprints(connection) != fingerprints_known:
        return False
    if batch.radiographs:
        add_radiographs(connection, batch.radiographs)
    if batch.patients:
        settle_splits(connection, set(batch.patients.items()))
    films = [(key, film.hex()) for key, film in batch.fingerprints.items()]
    put_rows(connection, fingerprints, films, move=True)
    pairs = [(pair.one, pair.other, pair.distance) for pair in batch.near_duplicates]
    put_rows(connection, near_duplicates, pairs, move=True)
    items = [(key, item.radiograph_id, item.stamp) for key, item in batch.origins.items()]
    put_rows(connection, origins, items, move=True)
    told = [(key, _VALUES.encode(values)) for key, values in batch.source_values.items()]
    put_rows(connection, source_values, told, move=True)
    if batch.references:
        record_readings(connection, batch.references)
    return True


def count_fingerprints(connection: Connection) -> int:
    """Counts the radiographs that have a fingerprint."""
    query = select(func.count()).select_from(fingerprints)
    return connection.execute(query).scalar_one()


def list_fingerprints(connection: Connection) -> Iterator[tuple[str, bytes]]:
    """Yields radiograph id and fingerprint, sorted by id."""
    query = select(fingerprints).order_by(fingerprints.c.radiograph_id)
    for key, film in connection.execute(query):
        yield key, bytes.fromhex(film)


def list_near_duplicates(connection: Connection) -> list[NearDuplicate]:
    """Returns all pairs, sorted."""
    query = select(near_duplicates).order_by(near_duplicates.c.one, near_duplicates.c.other)
    return [NearDuplicate(row.one, row.other, row.distance) for row in connection.execute(query)]


def list_origins(connection: Connection, keys: Collection[str]) -> dict[str, Origin]:
    """Returns those of these keys that are known, with what the item became."""
    rows = rows_among(connection, select(origins), origins.c.key, keys)
    return {row["key"]: Origin(row["radiograph_id"], row["stamp"]) for row in rows}


def list_source_values(
    connection: Connection, wanted: Collection[str] | None
) -> dict[str, Mapping[str, Value]]:
    """Returns radiograph id -> what its source says of it (of all if None), sorted by id."""
    query = select(source_values)
    column = source_values.c.radiograph_id
    rows = (
        list(connection.execute(query.order_by(column)).mappings())
        if wanted is None
        else sorted(rows_among(connection, query, column, wanted), key=lambda row: str(row[column]))
    )
    return {row["radiograph_id"]: json.loads(row["values"]) for row in rows}


def with_reference(connection: Connection, wanted: Collection[str]) -> set[str]:
    """Returns those of these radiographs that have a reference reading."""
    keys = {f"{REFERENCE_READER}:{radiograph_id}" for radiograph_id in wanted}
    rows = rows_among(connection, select(readings.c.radiograph_id), readings.c.key, keys)
    return {row["radiograph_id"] for row in rows}
