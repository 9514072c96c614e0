"""What is left of a ledger whose process was killed."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from data.ledger.ledger import Ledger
from tests.unit.data.ledger_cases import a_radiograph, ledger_url, start_script

BATCH = 50

DIE_AT_EACH_STATEMENT = f"""
import os, signal, sys
from sqlalchemy import Engine, event
from data.ledger.ledger import Ledger
from tests.unit.data.ledger_cases import a_reading

def die_before(statement):
    left = [statement]
    def count(*_):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return count

for statement in range(1, 100):
    pid = os.fork()
    if pid == 0:
        ledger = Ledger.open(sys.argv[1])
        die = die_before(statement)
        event.listen(Engine, "before_cursor_execute", die)
        event.listen(Engine, "commit", die)
        ledger.record_readings([a_reading(n, annotation=n) for n in range(1, {BATCH} + 1)])
        os._exit(0)
    killed = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    with Ledger.open(sys.argv[1]) as ledger:
        kept = (len(ledger.readings()), ledger.changed_radiographs(0), ledger.verify_chain())
    print(killed, *kept, flush=True)
    if not killed:
        break
"""

RECORD_FOR_EVER = f"""
import sys
from data.ledger.ledger import Ledger
from tests.unit.data.ledger_cases import a_reading

ledger = Ledger.open(sys.argv[1])
for first in range(1, 10**9, {BATCH}):
    ledger.record_readings([a_reading(1, annotation=first + n) for n in range({BATCH})])
    print(first + {BATCH} - 1, flush=True)
"""


@pytest.mark.long
def test_a_process_killed_before_any_statement_of_a_batch_leaves_nothing_of_it(
    tmp_path: Path,
) -> None:
    with Ledger.open(ledger_url(tmp_path)) as ledger:
        ledger.add_radiographs([a_radiograph(number) for number in range(1, BATCH + 1)])

    process = start_script(DIE_AT_EACH_STATEMENT, ledger_url(tmp_path))
    told, _ = process.communicate(timeout=120)

    *killed, finished = told.splitlines()
    assert len(killed) >= 6
    assert set(killed) == {"True 0 0 0"}
    assert finished == f"False {BATCH} {BATCH} {BATCH}"


@pytest.mark.long
def test_what_was_recorded_before_a_kill_is_kept_in_whole_batches(tmp_path: Path) -> None:
    with Ledger.open(ledger_url(tmp_path)) as ledger:
        ledger.add_radiographs([a_radiograph()])
    process = start_script(RECORD_FOR_EVER, ledger_url(tmp_path))
    assert process.stdout is not None
    for _ in range(5):
        recorded = int(process.stdout.readline())

    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)

    with Ledger.open(ledger_url(tmp_path)) as ledger:
        kept = len(ledger.readings())
        assert kept >= recorded == 5 * BATCH
        assert kept % BATCH == 0
        assert ledger.verify_chain() == kept
