"""The ledger's database: short transactions, a schema that brings itself up to date, clear errors.

Durability on SQLite: write-ahead log with `synchronous = FULL`. What a call has returned from is on
the disk; neither a killed process nor a power cut loses it (a disk that lies about flushing can).
"""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    Select,
    Table,
    bindparam,
    create_engine,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from data.errors import LedgerError
from data.ledger.dialects import (
    WRITES,
    checked_url,
    clear_error,
    install_hooks,
    use_write_ahead_log,
)
from data.ledger.schema import SCHEMA_VERSION, VERSION_TABLE
from data.migrating import MIGRATING

MIGRATIONS = Path(__file__).parent / "migrations"

CHUNK = 500
"""Values in one `IN (...)`, and events in one page."""

_TOLD = "told"
_AMONG_TOLD = select(func.json_each(bindparam(_TOLD)).table_valued("value").c.value)
"""On SQLite all values are one parameter: the statement, and what is prepared of it, stays."""


class Database:
    """The connections of one process to one ledger; may be shared by its threads."""

    def __init__(self, url: str, busy_timeout_s: float) -> None:
        address = checked_url(url)
        on_disk = address.get_backend_name() == "sqlite"
        self.place = f"The ledger {address.database if on_disk else address.render_as_string()}"
        try:
            self._engine = create_engine(address)
        except (ImportError, SQLAlchemyError) as error:
            raise LedgerError(
                f"{self.place} needs a database driver that is not installed: {error}."
            ) from error
        self._writer = self._engine.execution_options(**{WRITES: True})
        install_hooks(self._engine, busy_timeout_s)
        _close_before_forks(self._engine)
        with self._clear_errors(), ExitStack() as failed:
            failed.callback(self.close)
            use_write_ahead_log(self._engine, busy_timeout_s)
            self._migrate()
            failed.pop_all()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Opens a transaction that sees one state of the ledger and never waits for a writer.

        Raises:
            LedgerError: The database cannot be read.
            StorageError: The disk fails.
        """
        with self._clear_errors(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Opens the one writing transaction; all of it is kept, or nothing if the block raises.

        Raises:
            LedgerError: The database cannot be written, or another process holds it for too long.
            StorageError: The disk is full, read-only or fails.
        """
        with self._clear_errors(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Closes the connections."""
        self._engine.dispose()

    def _migrate(self) -> None:
        with self.read() as connection:
            if _schema_version(connection) == SCHEMA_VERSION:
                return
        with self.write() as connection:
            _upgrade(connection, self.place)  # nothing to do if another process was faster

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise clear_error(error, self.place) from error
        except SQLAlchemyError as error:
            raise LedgerError(f"{self.place} cannot be used: {error}.") from error


def rows_among(
    connection: Connection,
    query: Select[Any],
    column: ColumnElement[Any],
    wanted: Collection[Any],
) -> Iterator[RowMapping]:
    """Yields the rows of `query` whose `column` is one of `wanted`, however many those are."""
    if not wanted:
        return
    if connection.dialect.name == "sqlite":
        told = {_TOLD: json.dumps(list(wanted))}
        yield from connection.execute(query.where(column.in_(_AMONG_TOLD)), told).mappings()
        return
    for chunk in _chunks(wanted):
        yield from connection.execute(query.where(column.in_(chunk))).mappings()


def put_rows(
    connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]], *, move: bool = False
) -> None:
    """Adds rows to a table.

    SQLite gets them as they are: SQLAlchemy would spend twice as long on them as the database.

    Args:
        connection: Of a transaction that writes.
        table: Where they belong.
        rows: A value for each column, in the order of the table, in types that need no conversion.
        move: Of rows whose primary key is there, the other columns are moved to what is told.
    """
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_sqlite_insert(table, move), list(rows))
        return
    names = table.columns.keys()
    statement = _insert(table, move, postgresql.insert(table))
    connection.execute(statement, [dict(zip(names, row, strict=True)) for row in rows])


@lru_cache(maxsize=64)
def _sqlite_insert(table: Table, move: bool) -> str:
    return str(_insert(table, move, sqlite.insert(table)).compile(dialect=sqlite.dialect()))


_Insert = TypeVar("_Insert", sqlite.Insert, postgresql.Insert)


def _insert(table: Table, move: bool, insert: _Insert) -> _Insert:
    if not move:
        return insert
    key = list(table.primary_key.columns)
    others = {c.name: insert.excluded[c.name] for c in table.columns if c not in key}
    return insert.on_conflict_do_update(index_elements=key, set_=others)


def _chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(values)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


def _schema_version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608


def _upgrade(connection: Connection, place: str) -> None:
    # Alembic takes a quarter of a second to import, and is only needed for a new ledger.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        with MIGRATING:
            command.upgrade(config, "head")
    except CommandError as error:
        raise LedgerError(
            f"{place} was written by a newer Carpal (schema {_schema_version(connection)}, this "
            f"one knows {SCHEMA_VERSION}). Update Carpal."
        ) from error


def _close_before_forks(engine: Engine) -> None:
    """Closes idle connections before this process forks; both sides open new ones when needed.

    A child that inherits an open SQLite file believes to hold locks that only its parent holds, and
    may write into a log that the parent has deleted.
    """
    reference = weakref.ref(engine)

    def close_idle_connections() -> None:
        current = reference()
        if current is not None:
            current.dispose()

    os.register_at_fork(before=close_idle_connections)
