"""What a person reads when the ledger cannot be used."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Pool, event
from sqlalchemy.exc import OperationalError

from data.errors import CarpalError, LedgerError, StorageError
from data.ledger.dialects import clear_error
from data.ledger.events import EventKind
from data.ledger.ledger import Ledger
from tests.unit.data.ledger_cases import ledger_url

PAGE = 4096


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A ledger of five events, closed."""
    with Ledger.open(ledger_url(tmp_path)) as ledger:
        for number in range(5):
            ledger.append(EventKind.GATE, f"model {number}", {"number": number})
    return tmp_path / "ledger.db"


def tamper(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


# The chain


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        pytest.param(
            ["UPDATE events SET payload = '{\"number\":9}' WHERE seq = 3"],
            r"event 3 \(gate model 2\) is not what was recorded",
            id="changed",
        ),
        pytest.param(
            ["UPDATE events SET payload = '{' WHERE seq = 3"],
            "event 3 is not what was recorded",
            id="no JSON",
        ),
        pytest.param(
            ["UPDATE events SET kind = 'gift' WHERE seq = 3"],
            "event 3 is not what was recorded",
            id="unknown kind",
        ),
        pytest.param(["DELETE FROM events WHERE seq = 3"], "event 3 is missing", id="removed"),
        pytest.param(["DELETE FROM events WHERE seq = 1"], "event 1 is missing", id="first"),
        pytest.param(
            ["DELETE FROM events WHERE seq > 3"],
            "head is event 5, but the chain ends with event 3",
            id="end removed",
        ),
        pytest.param(
            ["DELETE FROM events"],
            "head is event 5, but the chain ends with event 0",
            id="all removed",
        ),
        pytest.param(
            [
                "UPDATE events SET seq = 99 WHERE seq = 2",
                "UPDATE events SET seq = 2 WHERE seq = 3",
                "UPDATE events SET seq = 3 WHERE seq = 99",
            ],
            r"event 2 \(gate model 2\) is not what was recorded",
            id="reordered",
        ),
        pytest.param(
            ["INSERT INTO events SELECT 6, at, kind, subject, payload, hash FROM events LIMIT 1"],
            "event 6",
            id="added",
        ),
        pytest.param(["DELETE FROM chain_head"], "head is missing", id="without a head"),
    ],
)
def test_a_tampered_chain_is_noticed(file: Path, statements: list[str], message: str) -> None:
    tamper(file, *statements)

    with (
        Ledger.open(f"sqlite:///{file}") as ledger,
        pytest.raises(LedgerError, match=message),
    ):
        ledger.verify_chain()


# The file


@contextmanager
def pages_limited_to(count: int) -> Iterator[None]:
    """SQLite itself says that the disk is full when a database would exceed so many pages."""

    def limit(connection: sqlite3.Connection, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {count}")

    event.listen(Pool, "connect", limit)
    try:
        yield
    finally:
        event.remove(Pool, "connect", limit)


def test_a_full_disk_is_said_and_keeps_what_was_there(file: Path) -> None:
    used = file.stat().st_size // PAGE
    with pages_limited_to(used + 2), Ledger.open(f"sqlite:///{file}") as ledger:
        with pytest.raises(StorageError, match=r"^The disk is full: .*ledger\.db"):
            ledger.append(EventKind.GATE, "model", {"text": "x" * PAGE * 5})

        assert ledger.verify_chain() == 5
        assert ledger.append(EventKind.GATE, "model", {"text": "short"}) == 6


def test_a_file_that_cannot_be_written_can_be_read_and_says_so(file: Path) -> None:
    with Ledger.open(f"sqlite:///file:{file}?mode=ro&uri=true") as ledger:
        assert ledger.verify_chain() == 5
        with pytest.raises(StorageError, match="cannot be written"):
            ledger.append(EventKind.GATE, "model", {})


def test_a_folder_that_does_not_exist_is_said(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"nowhere/ledger\.db cannot be opened.*folder"):
        Ledger.open(ledger_url(tmp_path / "nowhere"))


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"age,sex\n" * 1000)

    with pytest.raises(LedgerError, match="damaged or is not a ledger"):
        Ledger.open(ledger_url(tmp_path))


def test_a_damaged_file_is_said(file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[: 2 * PAGE] + b"\xff" * (len(whole) - 2 * PAGE))

    with pytest.raises(LedgerError, match="damaged or is not a ledger"):
        Ledger.open(f"sqlite:///{file}").verify_chain()


def test_a_writer_that_waits_too_long_for_another_says_so_and_readers_go_on(file: Path) -> None:
    with (
        Ledger.open(f"sqlite:///{file}", busy_timeout_s=0.05) as ledger,
        closing(sqlite3.connect(file)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="locked for too long"):
            ledger.append(EventKind.GATE, "model", {})
        assert ledger.verify_chain() == 5
        other.rollback()

        assert ledger.append(EventKind.GATE, "model", {}) == 6


# The address


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param("ledger.db", "no address of a ledger", id="a file name"),
        pytest.param("mysql://host/db", "SQLite or PostgreSQL, not in mysql", id="other database"),
        pytest.param("sqlite://", "in memory would be lost", id="in memory"),
        pytest.param("sqlite:///:memory:", "in memory would be lost", id="in memory by name"),
        pytest.param("sqlite+unknown:///x.db", "driver that is not installed", id="driver"),
    ],
)
def test_an_address_that_cannot_hold_a_ledger_is_refused(url: str, message: str) -> None:
    with pytest.raises(LedgerError, match=message):
        Ledger.open(url)


def test_a_password_in_the_address_is_never_shown() -> None:
    with pytest.raises(LedgerError) as raised:
        Ledger.open("postgresql+unknown://carpal:s3cret@host/db")

    assert "s3cret" not in str(raised.value)


# Errors of PostgreSQL, as its drivers raise them


class DriverError(Exception):
    def __init__(self, sqlstate: str | None) -> None:
        super().__init__("could not\nDETAIL: more")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("sqlstate", "kind", "message"),
    [
        pytest.param("53100", StorageError, "The disk is full", id="disk full"),
        pytest.param("55P03", LedgerError, "locked for too long", id="lock not available"),
        pytest.param("XX001", LedgerError, "damaged", id="data corrupted"),
        pytest.param(None, LedgerError, "does not answer", id="no connection"),
        pytest.param("22012", LedgerError, "cannot be used: could not.$", id="anything else"),
    ],
)
def test_an_error_of_postgresql_is_translated(
    sqlstate: str | None, kind: type[CarpalError], message: str
) -> None:
    error = clear_error(OperationalError("SELECT 1", None, DriverError(sqlstate)), "The ledger")

    assert type(error) is kind
    with pytest.raises(kind, match=message):
        raise error
