"""Several processes and threads at one ledger."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Timer

import pytest

from data.ledger.chain import read_head
from data.ledger.database import Database
from data.ledger.events import EventKind
from data.ledger.ledger import Ledger
from tests.unit.data.ledger_cases import ledger_url, start_script

PROCESSES = 4
APPENDS = 60

APPEND_MANY = f"""
import sys
from data.ledger.ledger import Ledger
from data.ledger.events import EventKind

print("ready", flush=True)
sys.stdin.readline()
with Ledger.open(sys.argv[1]) as ledger:
    for number in range({APPENDS}):
        ledger.append(EventKind.HINT, sys.argv[2], {{"number": number}})
"""

FORK_WHILE_OPEN = """
import os, sys
from data.ledger.ledger import Ledger
from data.ledger.events import EventKind

ledger = Ledger.open(sys.argv[1])
ledger.append(EventKind.HINT, "before the fork", {})
closed, told = os.pipe()
child = os.fork()
if child == 0:
    os.read(closed, 1)
    ledger.append(EventKind.HINT, "child", {})
    os._exit(0)
ledger.close()
with Ledger.open(sys.argv[1]) as again:
    again.append(EventKind.HINT, "parent", {})
    os.write(told, b"x")
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.long
def test_processes_that_make_and_fill_a_new_ledger_at_once_share_one_chain(tmp_path: Path) -> None:
    url = ledger_url(tmp_path)
    names = [f"process {number}" for number in range(PROCESSES)]
    writers = [start_script(APPEND_MANY, url, name) for name in names]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)

    assert [writer.returncode for writer in writers] == [0] * PROCESSES
    with Ledger.open(url) as ledger:
        assert ledger.verify_chain() == PROCESSES * APPENDS
        for name in names:
            told = [e.payload["number"] for e in ledger.events() if e.subject == name]
            assert told == list(range(APPENDS))


def test_opening_waits_for_a_process_that_is_making_the_file(tmp_path: Path) -> None:
    with closing(
        sqlite3.connect(tmp_path / "ledger.db", isolation_level=None, check_same_thread=False)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        release = Timer(0.2, other.execute, ["COMMIT"])
        release.start()

        with Ledger.open(ledger_url(tmp_path)) as ledger:
            assert ledger.verify_chain() == 0
        release.join()


def test_a_reader_sees_one_state_however_much_is_written_meanwhile(tmp_path: Path) -> None:
    database = Database(ledger_url(tmp_path), busy_timeout_s=1.0)
    with Ledger.open(ledger_url(tmp_path)) as ledger:
        with database.read() as connection:
            before = read_head(connection)
            ledger.append(EventKind.HINT, "task", {})

            assert read_head(connection) == before

        assert ledger.head()[0] == 1
    database.close()


def test_threads_that_share_one_ledger_share_one_chain(tmp_path: Path) -> None:
    with Ledger.open(ledger_url(tmp_path)) as ledger, ThreadPoolExecutor(4) as threads:
        list(
            threads.map(
                lambda number: ledger.append(EventKind.HINT, "task", {"number": number}),
                range(100),
            )
        )

        assert ledger.verify_chain() == 100
        assert sorted(e.payload["number"] for e in ledger.events()) == list(range(100))


@pytest.mark.long
def test_a_child_keeps_the_ledger_that_its_parent_closed_after_the_fork(tmp_path: Path) -> None:
    process = start_script(FORK_WHILE_OPEN, ledger_url(tmp_path))
    told, _ = process.communicate(timeout=60)

    assert told == "0\n"
    with Ledger.open(ledger_url(tmp_path)) as ledger:
        assert [event.subject for event in ledger.events()] == [
            "before the fork",
            "parent",
            "child",
        ]
        assert ledger.verify_chain() == 3
