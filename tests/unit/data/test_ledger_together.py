"""Several processes and threads at one ledger."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from data.ledger import Ledger
from data.ledger_events import EventKind
from tests.unit.data.ledger_cases import ledger_url, start_script

PROCESSES = 4
APPENDS = 60

APPEND_MANY = f"""
import sys
from data.ledger import Ledger
from data.ledger_events import EventKind

print("ready", flush=True)
sys.stdin.readline()
with Ledger.open(sys.argv[1]) as ledger:
    for number in range({APPENDS}):
        ledger.append(EventKind.HINT, sys.argv[2], {{"number": number}})
"""

FORK_AFTER_OPENING = """
import os, sys
from data.ledger import Ledger
from data.ledger_events import EventKind

ledger = Ledger.open(sys.argv[1])
ledger.append(EventKind.HINT, "before", {})
children = []
for child in range(3):
    pid = os.fork()
    if pid == 0:
        for number in range(20):
            ledger.append(EventKind.HINT, f"child {child}", {"number": number})
        os._exit(0)
    children.append(pid)
for number in range(20):
    ledger.append(EventKind.HINT, "parent", {"number": number})
print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children])
"""


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


def test_a_forked_child_uses_the_ledger_beside_its_parent(tmp_path: Path) -> None:
    process = start_script(FORK_AFTER_OPENING, ledger_url(tmp_path))
    told, _ = process.communicate(timeout=60)

    assert told.strip() == "[0, 0, 0]"
    with Ledger.open(ledger_url(tmp_path)) as ledger:
        assert ledger.verify_chain() == 1 + 4 * 20
