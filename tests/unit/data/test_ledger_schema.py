from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from data.errors import LedgerError
from data.importing.records import ImportBatch, Origin
from data.ledger.database import MIGRATIONS, Database
from data.ledger.events import EventKind, utc_text
from data.ledger.ledger import Ledger
from data.ledger.schema import SCHEMA_VERSION, VERSION_TABLE, metadata
from tests.unit.data.ledger_cases import NOON, a_radiograph, ledger_url


def pragma(file: Path, name: str) -> object:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_the_migrations_make_exactly_the_tables_of_the_schema(tmp_path: Path) -> None:
    Ledger.open(ledger_url(tmp_path)).close()
    engine = create_engine(ledger_url(tmp_path))
    with engine.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)

        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_schema_version_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))

    assert ScriptDirectory.from_config(config).get_current_head() == SCHEMA_VERSION


def test_opening_again_keeps_what_is_there(tmp_path: Path) -> None:
    with Ledger.open(ledger_url(tmp_path)) as ledger:
        ledger.append(EventKind.HINT, "task", {})

    with Ledger.open(ledger_url(tmp_path)) as ledger:
        assert ledger.verify_chain() == 1


def test_a_ledger_is_kept_in_a_write_ahead_log(tmp_path: Path) -> None:
    Ledger.open(ledger_url(tmp_path)).close()

    assert pragma(tmp_path / "ledger.db", "journal_mode") == "wal"


@pytest.mark.parametrize(
    ("name", "value"),
    [pytest.param("synchronous", 2, id="every commit flushed"), pytest.param("foreign_keys", 1)],
)
def test_every_connection_is_durable_and_checks_references(
    tmp_path: Path, name: str, value: int
) -> None:
    database = Database(ledger_url(tmp_path), busy_timeout_s=1.0)
    with database.write() as connection:
        assert connection.exec_driver_sql(f"PRAGMA {name}").scalar() == value
    database.close()


def test_a_ledger_of_a_newer_carpal_is_refused_and_left_alone(tmp_path: Path) -> None:
    Ledger.open(ledger_url(tmp_path)).close()
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection, connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")

    with pytest.raises(LedgerError, match=r"schema 9999.*Update Carpal"):
        Ledger.open(ledger_url(tmp_path))


def test_a_folder_with_a_percent_sign_can_hold_a_ledger(tmp_path: Path) -> None:
    folder = tmp_path / "50% done"
    folder.mkdir()

    with Ledger.open(ledger_url(folder)) as ledger:
        assert ledger.append(EventKind.HINT, "task", {}) == 1


def make_ledger_of_schema(version: str, folder: Path, rows: list[str]) -> None:
    engine = create_engine(ledger_url(folder))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        for row in rows:
            connection.execute(text(row))
    engine.dispose()


def test_a_ledger_of_the_first_schema_is_upgraded_with_all_that_it_holds(tmp_path: Path) -> None:
    film = a_radiograph(1)
    make_ledger_of_schema(
        "0001",
        tmp_path,
        [
            f"INSERT INTO patients VALUES ('{film.patient}', 'train')",
            "INSERT INTO radiographs VALUES "
            f"('{film.id}', '{film.patient}', 'rsna', '{film.path}', 512, 640, '{utc_text(NOON)}')",
            "INSERT INTO state VALUES ('cursor', '17')",
        ],
    )

    with Ledger.open(ledger_url(tmp_path)) as ledger:
        assert ledger.radiographs() == [film]
        assert ledger.get_state("cursor") == "17"
        assert (ledger.fingerprints(), ledger.source_values()) == ({}, {})
        assert ledger.record_import(ImportBatch(origins={"k": Origin(film.id, "s")}), 0)
