"""Training runs as they stand now; each change of state is a `run` event as well."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select, update

from data.errors import InvalidInputError, LedgerError, NotFoundError
from data.ledger.chain import append_events
from data.ledger.events import EventKind, canonical_json, utc_text, utc_time
from data.ledger.schema import training_runs
from data.runs import ACTIVE, Run, RunChanges, RunState

RUN_ID = re.compile(r"r(\d{4,9})", re.ASCII)
TIMES = ("requested_at", "started_at", "heartbeat_at", "finished_at")
MAPPINGS = ("metrics", "seconds")


def add_run(connection: Connection, run: Run) -> None:
    """Records a new run and its event; see `Ledger.add_run`."""
    number = RUN_ID.fullmatch(run.id)
    if number is None:
        raise InvalidInputError(f"{run.id!r} is no id of a run: it is written r0001.")
    if find_run(connection, run.id) is not None:
        raise LedgerError(f"Run {run.id} is already in the ledger.")
    connection.execute(insert(training_runs).values(number=int(number[1]), **_to_row(run)))
    _journal(connection, None, run)


def begin_run(
    connection: Connection, trigger: str, requested_at: datetime, reason: str
) -> Run | None:
    """Records the next run unless one is active; see `Ledger.begin_run`."""
    runs = list_runs(connection, None)
    if any(run.state in ACTIVE for run in runs):
        return None
    number = 1 + max((int(run.id[1:]) for run in runs), default=0)
    run = Run(id=f"r{number:04d}", trigger=trigger, requested_at=requested_at, reason=reason)
    add_run(connection, run)
    return run


def update_run(connection: Connection, run_id: str, changes: RunChanges) -> Run:
    """Changes a run and records an event if its state changed; see `Ledger.update_run`."""
    old = find_run(connection, run_id)
    if old is None:
        raise NotFoundError(f"The ledger knows no run {run_id!r}.")
    new = replace(old, **changes)
    same = update(training_runs).where(training_runs.c.id == run_id)
    connection.execute(same.values(**_to_row(new)))
    if new.state is not old.state:
        _journal(connection, old.state, new)
    return new


def find_run(connection: Connection, run_id: str) -> Run | None:
    """Returns the run of that id."""
    query = select(training_runs).where(training_runs.c.id == run_id)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _from_row(row)


def list_runs(connection: Connection, states: Collection[RunState] | None) -> list[Run]:
    """Returns the runs in these states (all if None), oldest first."""
    query = select(training_runs).order_by(training_runs.c.number)
    if states is not None:
        query = query.where(training_runs.c.state.in_(states))
    return [_from_row(row) for row in connection.execute(query).mappings()]


def _journal(connection: Connection, old: RunState | None, run: Run) -> None:
    facts = {key: value for key, value in _facts(run).items() if key not in ("id", "heartbeat_at")}
    append_events(connection, [(EventKind.RUN, run.id, {"old_state": old, **facts})])


def _facts(run: Run) -> dict[str, Any]:
    """Returns a run's fields as JSON holds them."""
    facts = {item.name: getattr(run, item.name) for item in fields(run)}
    for name in TIMES:
        moment: datetime | None = facts[name]
        facts[name] = None if moment is None else utc_text(moment)
    facts["state"] = run.state.value
    return facts


def _to_row(run: Run) -> dict[str, Any]:
    row = _facts(run)
    for name in MAPPINGS:
        row[name] = canonical_json(row[name])
    return row


def _from_row(row: RowMapping) -> Run:
    facts = {item.name: row[item.name] for item in fields(Run)}
    for name in TIMES:
        facts[name] = None if facts[name] is None else utc_time(facts[name])
    for name in MAPPINGS:
        facts[name] = json.loads(facts[name])
    facts["state"] = RunState(facts["state"])
    return Run(**facts)
