from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from data.errors import StackError, StorageError
from data.importing import workers as import_workers
from data.importing.reading import Outcome, Refused, Request, Stopped, Taken
from data.importing.workers import CRASHED, Readers
from data.pool import Pool
from data.sources.item import Delivered, SourceItem
from tests.support import eventually
from tests.unit.data.dataset_cases import a_film, encoded
from tests.unit.data.ledger_cases import start_script


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes are started with the first film, and get few films at a time."""
    monkeypatch.setattr(import_workers, "START_AFTER_S", 0.0)
    monkeypatch.setattr(import_workers, "LARGEST_CHUNK", 3)


def films(count: int) -> list[SourceItem]:
    return [
        SourceItem(f"film-{n}", load=partial(Delivered, encoded(a_film(20, 20 + n % 7, n))))
        for n in range(count)
    ]


def full_disk() -> Delivered:
    raise StorageError("The disk is full.")


def waits_for_ever(pipe: Path) -> Delivered:
    return Delivered(pipe.read_bytes())


def own_process() -> Delivered:
    return Delivered(encoded(a_film()), {"process": str(os.getpid())})


def endless(item: SourceItem) -> Iterator[tuple[str, Request | None]]:
    """Asks again and again, so that there is something to do when the processes have started."""
    while True:
        yield item.name, item


def answers(pool: Pool, items: list[SourceItem], workers: int) -> list[tuple[str, Outcome | None]]:
    with Readers[str](pool, workers) as readers:
        wait_for_processes(readers)
        return list(readers.read((item.name, item) for item in items))


def wait_for_processes(readers: Readers[str]) -> None:
    """Reads until the other processes are there."""
    if readers._workers > 1:
        for _ in readers.read(endless(films(1)[0])):
            if readers.may_share():
                break


def widths(outcomes: list[tuple[str, Outcome | None]]) -> list[tuple[str, int]]:
    return [(name, o.width) for name, o in outcomes if isinstance(o, Taken)]


def test_several_processes_answer_in_the_order_of_the_questions(tmp_path: Path) -> None:
    items = films(40)

    alone = answers(Pool(tmp_path / "one"), items, 1)
    together = answers(Pool(tmp_path / "two"), items, 2)

    assert widths(alone) == widths(together) == [(f"film-{n}", 20 + n % 7) for n in range(40)]


def test_other_processes_read(tmp_path: Path) -> None:
    item = SourceItem("film", load=own_process)

    outcomes = answers(Pool(tmp_path), [item] * 20, 2)

    readers = {o.metadata["process"] for _, o in outcomes if isinstance(o, Taken)}
    assert readers - {str(os.getpid())}


def test_what_is_not_to_be_read_keeps_its_place(tmp_path: Path) -> None:
    film = films(1)[0]
    questions = [(str(n), film if n % 3 else None) for n in range(20)]
    with Readers[str](Pool(tmp_path), 2) as readers:
        wait_for_processes(readers)

        outcomes = list(readers.read(questions))

    assert [name for name, _ in outcomes] == [name for name, _ in questions]
    assert [o is None for _, o in outcomes] == [request is None for _, request in questions]


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_is_answered_after_a_full_disk(tmp_path: Path, workers: int) -> None:
    items = [*films(10), SourceItem("full", load=full_disk), *films(10)]

    outcomes = answers(Pool(tmp_path), items, workers)

    assert [name for name, _ in outcomes][-1] == "full"
    assert len(outcomes) == 11
    assert isinstance(outcomes[-1][1], Stopped)


def test_a_film_that_ends_its_process_is_refused_and_the_others_are_read(tmp_path: Path) -> None:
    deadly = SourceItem("deadly", load=partial(os._exit, 1))
    items = [*films(8), deadly, *films(8)]

    outcomes = answers(Pool(tmp_path), items, 2)

    assert [name for name, o in outcomes if o == Refused(CRASHED)] == ["deadly"]
    assert len(widths(outcomes)) == 16


def test_no_process_is_left_behind(tmp_path: Path) -> None:
    others = set(psutil.Process().children())
    with Readers[str](Pool(tmp_path), 2) as readers:
        wait_for_processes(readers)
        started = set(psutil.Process().children()) - others
        assert len(started) >= 2

    assert not any(process.is_running() for process in started)


@pytest.mark.long
def test_processes_end_with_the_import_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.unit.data import test_import_workers as cases\n"
        "cases.import_workers.START_AFTER_S = 0.0\n"
        "readers = cases.Readers(cases.Pool(Path(sys.argv[1])), 2)\n"
        "cases.wait_for_processes(readers)\n"
        "print('started', flush=True)\n"
        "sys.stdin.read()\n"
    )
    killed = start_script(script, str(tmp_path))
    assert killed.stdout is not None
    assert killed.stdout.readline() == "started\n"
    started = psutil.Process(killed.pid).children()

    killed.kill()
    killed.communicate()

    assert len(started) == 2
    assert eventually(lambda: not any(process.is_running() for process in started))


HANGS = """
import sys
from functools import partial
from pathlib import Path
from tests.unit.data import test_import_workers as cases

cases.import_workers.START_AFTER_S = 0.0
cases.import_workers.LARGEST_CHUNK = 1
folder = Path(sys.argv[1])
slow = cases.SourceItem("slow", load=partial(cases.waits_for_ever, folder / "pipe"))
with cases.Readers(cases.Pool(folder), 2) as readers:
    cases.wait_for_processes(readers)
    items = [*cases.films(9), slow, *cases.films(9)]
    for name, _ in readers.read((item.name, item) for item in items):
        if name == "film-8":
            print("reads on", flush=True)
            THEN
"""
"""An import of which one film takes for ever; THEN is what it does after the film before."""


def start_import_that_hangs(folder: Path, then: str) -> subprocess.Popen[str]:
    os.mkfifo(folder / "pipe")
    return start_script(HANGS.replace("THEN", then), str(folder))


@pytest.mark.long
def test_an_import_that_is_stopped_does_not_wait_for_films_that_take_long(tmp_path: Path) -> None:
    stopped = start_import_that_hangs(tmp_path, "raise KeyboardInterrupt")

    out, _ = stopped.communicate(timeout=60)

    assert out == "reads on\n"


@pytest.mark.long
def test_a_process_whose_film_hangs_ends_with_the_import_that_is_killed(tmp_path: Path) -> None:
    killed = start_import_that_hangs(tmp_path, "sys.stdin.read()")
    assert killed.stdout is not None
    assert killed.stdout.readline() == "reads on\n"
    started = psutil.Process(killed.pid).children()

    killed.kill()
    killed.communicate()

    assert len(started) == 2
    assert eventually(lambda: not any(process.is_running() for process in started))


def test_the_import_ends_with_one_sentence_where_no_process_can_be_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    deadly = SourceItem("deadly", load=partial(os._exit, 1))
    with Readers[str](Pool(tmp_path), 2) as readers:
        wait_for_processes(readers)
        monkeypatch.setattr(import_workers, "ReadingProcess", refuse)

        with pytest.raises(StackError, match=r"^No process .*: Cannot allocate memory\."):
            list(readers.read((item.name, item) for item in [*films(8), deadly, *films(8)]))


def test_one_process_reads_where_no_other_can_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(import_workers, "ReadingProcess", refuse)

    with Readers[str](Pool(tmp_path), 2) as readers:
        outcomes = list(readers.read((item.name, item) for item in films(10)))

    assert len(widths(outcomes)) == 10
