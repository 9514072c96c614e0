"""The ledger on a PostgreSQL of its own, started and removed by these tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from data.errors import LedgerError
from data.ledger.chain import read_head
from data.ledger.events import EventKind
from data.ledger.figures import Asked
from data.ledger.ledger import Ledger
from tests.support import missing
from tests.unit.data.ledger_cases import (
    a_prediction,
    a_radiograph,
    a_reading,
    radiograph_id,
    start_script,
)
from tests.unit.workers.loop_ledger import CHAMPION_VERSION, NOON, PROJECT, LoopLedger, fill

pytestmark = pytest.mark.service

APPENDS = 50
APPEND_MANY = f"""
import sys
from data.ledger.ledger import Ledger
from data.ledger.events import EventKind

with Ledger.open(sys.argv[1]) as ledger:
    for number in range({APPENDS}):
        ledger.append(EventKind.HINT, sys.argv[2], {{"number": number}})
"""


def program(name: str) -> Path:
    """Finds a program of PostgreSQL, where Debian hides it too."""
    found = shutil.which(name)
    candidates = (
        [Path(found)] if found else sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    )
    if not candidates:
        missing(f"PostgreSQL is not installed: there is no program {name}.")
    return candidates[-1]


def run(name: str, *arguments: str) -> None:
    # PostgreSQL refuses to be started by root.
    user = "postgres" if os.geteuid() == 0 else None
    subprocess.run([program(name), *arguments], check=True, user=user, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def server() -> Iterator[Path]:
    """A running PostgreSQL that listens on a socket in the returned folder, and on no port."""
    pytest.importorskip("psycopg", reason="the PostgreSQL driver psycopg is not installed")
    program("initdb")
    folder = Path(tempfile.mkdtemp(prefix="carpal-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, user="postgres")
    files = str(folder / "data")
    run("initdb", "-D", files, "-U", "carpal", "-A", "trust", "--no-sync")
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    run("pg_ctl", "-D", files, "-w", "-l", str(folder / "log"), "-o", options, "start")
    yield folder
    run("pg_ctl", "-D", files, "-w", "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.fixture
def url(server: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an empty database."""
    name = f"ledger_{abs(hash(request.node.name))}"
    run("createdb", "-h", str(server), "-U", "carpal", name)
    yield f"postgresql+psycopg://carpal@/{name}?host={server}"
    run("dropdb", "-h", str(server), "-U", "carpal", "--force", name)


def test_processes_that_make_and_fill_a_new_ledger_at_once_share_one_chain(url: str) -> None:
    writers = [start_script(APPEND_MANY, url, f"process {number}") for number in range(3)]
    for writer in writers:
        writer.communicate(timeout=60)

    assert [writer.returncode for writer in writers] == [0, 0, 0]
    with Ledger.open(url) as ledger:
        assert ledger.verify_chain() == 3 * APPENDS


def test_radiographs_readings_and_predictions_come_back_as_they_were_recorded(url: str) -> None:
    with Ledger.open(url) as ledger:
        ledger.add_radiographs([a_radiograph()])
        ledger.link_tasks(3, {7: radiograph_id(1)})
        ledger.record_readings([a_reading(age=120.0, lead_time_s=0.1)])
        ledger.record_readings([a_reading(age=132.0, minute=1, lead_time_s=0.2)])
        ledger.add_predictions([a_prediction()])

        assert ledger.radiographs() == [a_radiograph()]
        assert ledger.task_links(3) == {7: radiograph_id(1)}
        assert ledger.readings() == [a_reading(age=132.0, minute=1, lead_time_s=0.2)]
        assert ledger.latest_prediction(radiograph_id(1)) == a_prediction()
        assert ledger.changed_radiographs(1) == 1
        assert ledger.verify_chain() == 2


def test_the_figures_are_those_of_sqlite(url: str, tmp_path: Path) -> None:
    found = []
    for address in (url, f"sqlite:///{tmp_path / 'ledger.db'}"):
        with Ledger.open(address) as ledger:
            fill(LoopLedger(ledger, address), films=40, labelled=24)
            since = NOON - timedelta(days=1)
            found.append(ledger.figures(Asked(CHAMPION_VERSION, "", PROJECT, 30, since, 10)))

    on_postgresql, on_sqlite = (replace(one, lead_times=sorted(one.lead_times)) for one in found)
    assert on_postgresql == on_sqlite
    assert len(on_sqlite.champion) == 10


def test_a_writer_that_waits_too_long_for_another_says_so_and_readers_go_on(url: str) -> None:
    with Ledger.open(url) as one, Ledger.open(url, busy_timeout_s=0.05) as other:
        with one._database.write():
            with pytest.raises(LedgerError, match="locked for too long"):
                other.append(EventKind.HINT, "task", {})
            assert other.verify_chain() == 0

        assert other.append(EventKind.HINT, "task", {}) == 1


def test_a_reader_sees_one_state_however_much_is_written_meanwhile(url: str) -> None:
    with Ledger.open(url) as one, Ledger.open(url) as other:
        with one._database.read() as connection:
            before = read_head(connection)
            other.append(EventKind.HINT, "task", {})

            assert read_head(connection) == before

        assert one.head()[0] == 1


def test_a_server_that_does_not_answer_is_said(server: Path) -> None:
    with pytest.raises(LedgerError, match="does not answer"):
        Ledger.open(f"postgresql+psycopg://carpal@/ledger?host={server / 'nowhere'}")
