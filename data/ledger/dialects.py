"""What differs between the databases that can hold a ledger: locking, durability, error codes.

Everything else of the ledger is portable SQL. A transaction on a connection with the execution
option `WRITES` waits until no other process writes: with `BEGIN IMMEDIATE` on SQLite, with an
advisory lock on PostgreSQL. That makes every "look, then write" of the ledger free of races. All
other transactions read one unchanging state of the ledger and wait for nobody.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from sqlalchemy import URL, Connection, Engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from data.errors import CarpalError, LedgerError, StorageError

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

WRITES = "ledger_writes"
"""Execution option of connections whose transactions write."""

ADVISORY_LOCK = int.from_bytes(b"CARPAL")
"""Key of the lock that PostgreSQL's writers take in turn."""

WAL_RETRY_S = 0.02
"""Pause between two tries to switch a new database to write-ahead logging."""

FULL = "The disk is full: {place} takes nothing more. Free some space and try again."
READ_ONLY = "{place} cannot be written. Check the rights of the file and of its folder."
UNOPENED = "{place} cannot be opened. Check that its folder exists and may be written."
DAMAGED = (
    "{place} is damaged or is not a ledger. Restore a backup (docs/ledger.md says how) and "
    "keep the damaged file."
)
BUSY = "{place} has been locked for too long by another process. Try again."
DISK = "{place} cannot be read or written: the disk reports an error."
UNREACHABLE = "{place} does not answer. Check its address and that the database runs."
OTHER = "{place} cannot be used: {cause}."

SQLITE_FAILURES: Mapping[int, tuple[type[CarpalError], str]] = {
    sqlite3.SQLITE_FULL: (StorageError, FULL),
    sqlite3.SQLITE_READONLY: (StorageError, READ_ONLY),
    sqlite3.SQLITE_PERM: (StorageError, READ_ONLY),
    sqlite3.SQLITE_IOERR: (StorageError, DISK),
    sqlite3.SQLITE_CANTOPEN: (LedgerError, UNOPENED),
    sqlite3.SQLITE_CORRUPT: (LedgerError, DAMAGED),
    sqlite3.SQLITE_NOTADB: (LedgerError, DAMAGED),
    sqlite3.SQLITE_BUSY: (LedgerError, BUSY),
    sqlite3.SQLITE_LOCKED: (LedgerError, BUSY),
}
"""Primary result code -> error and sentence."""

POSTGRESQL_FAILURES: Mapping[str, tuple[type[CarpalError], str]] = {
    "53100": (StorageError, FULL),
    "25006": (StorageError, READ_ONLY),
    "55P03": (LedgerError, BUSY),
    "58030": (StorageError, DISK),
    "XX001": (LedgerError, DAMAGED),
    "XX002": (LedgerError, DAMAGED),
}
"""SQLSTATE -> error and sentence."""


def checked_url(text: str) -> URL:
    """Reads the address of a ledger.

    Raises:
        LedgerError: It is no database address, or of a database that cannot hold a ledger.
    """
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise LedgerError(
            f"{text!r} is no address of a ledger: write sqlite:////folder/ledger.db or "
            "postgresql+psycopg://user@host/database."
        ) from error
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise LedgerError(
            f"A ledger lives in SQLite or PostgreSQL, not in {url.get_backend_name()}."
        )
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise LedgerError("A ledger in memory would be lost: name a file (sqlite:////folder/x.db).")
    return url


def install_hooks(engine: Engine, busy_timeout_s: float) -> None:
    """Makes connections durable, writing transactions exclusive and reading ones unchanging.

    Args:
        engine: The engine of the ledger.
        busy_timeout_s: Longest wait for another writer, seconds.
    """
    wait_ms = round(busy_timeout_s * 1000)
    if engine.dialect.name != "sqlite":

        @event.listens_for(engine, "begin")
        def begin_on_postgresql(connection: Connection) -> None:
            if connection.get_execution_options().get(WRITES):
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {wait_ms}")
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
            else:
                connection.exec_driver_sql(
                    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
                )

        return

    @event.listens_for(engine, "connect")
    def set_pragmas(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # or the driver would begin transactions by itself
        for pragma in (f"busy_timeout = {wait_ms}", "foreign_keys = ON", "synchronous = FULL"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin_on_sqlite(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def use_write_ahead_log(engine: Engine, busy_timeout_s: float) -> None:
    """Switches a SQLite file to write-ahead logging, in which readers never wait for a writer.

    The switch does not honour the busy timeout when several processes open a new file at once,
    so it is tried again until `busy_timeout_s` has passed.
    """
    if engine.dialect.name != "sqlite":
        return
    give_up_at = time.monotonic() + busy_timeout_s
    while True:
        with engine.connect() as connection:
            driver = cast(sqlite3.Connection, connection.connection.driver_connection)
            try:
                if driver.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                    driver.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.Error as error:
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > give_up_at:
                    raise DBAPIError("PRAGMA journal_mode = WAL", None, error) from error
        time.sleep(WAL_RETRY_S)


def clear_error(error: DBAPIError, place: str) -> CarpalError:
    """Returns the error that says in one sentence what a driver's error means.

    Args:
        error: As SQLAlchemy raised it.
        place: What the sentence calls the ledger.
    """
    cause = str(error.orig).strip().splitlines()
    known: tuple[type[CarpalError], str] | None = None
    if isinstance(error.orig, sqlite3.Error):
        code = getattr(error.orig, "sqlite_errorcode", None)
        known = SQLITE_FAILURES.get(code & 0xFF) if code is not None else None
    else:
        state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
        known = POSTGRESQL_FAILURES.get(state or "")
        if known is None and isinstance(error, OperationalError) and not state:
            known = (LedgerError, UNREACHABLE)
    kind, sentence = known or (LedgerError, OTHER)
    return kind(sentence.format(place=place, cause=cause[0] if cause else type(error).__name__))
