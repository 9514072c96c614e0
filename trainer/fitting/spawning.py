"""Starts the processes of one training on this host, and ends them together.

They are fresh interpreters that are handed one function call: nothing of what the calling process
was doing, such as working on a queue, is done again in them.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

from data.errors import CarpalError, TrainingError
from trainer.fitting.team import Team

T = TypeVar("T")
Work = Callable[[Team, Callable[[Any], None] | None], T]
"""Takes the process's place and what it tells its progress; both have to be picklable."""

END_WAIT_S = 10.0
"""Seconds in which a process ends that has been asked to."""

RAISED = 1
"""Exit status of a process that an error has ended."""

LAST_WORD_S = 10.0
"""Seconds in which the first process may still say why another one was ended by an error: often the
same error has met all of them, and only the first one tells it."""


def run_together(work: Work[T], size: int, progress: Callable[[Any], None] | None) -> T:
    """Lets processes do the same work together, and returns what the first of them returns.

    Args:
        work: What each does.
        size: Processes.
        progress: Told what the first process tells.

    Raises:
        CarpalError: What the first process has raised.
        TrainingError: One of the processes has died.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="carpal-team-") as folder:
        hears, tells = context.Pipe(duplex=False)
        team = [Team(i, size, i, size, f"file://{Path(folder) / 'meeting'}") for i in range(size)]
        processes = [
            context.Process(target=_work, args=(work, place, tells), daemon=True) for place in team
        ]
        try:
            for process in processes:
                process.start()
            tells.close()
            answer: T = _heard(hears, processes, progress)
            return answer
        finally:
            hears.close()
            for process in processes:
                _end(process)


def _heard(
    hears: Connection, processes: Sequence[BaseProcess], progress: Callable[[Any], None] | None
) -> Any:
    """Passes the progress on until the first process has ended its work, or another has died."""
    watched: list[Any] = [hears, *(process.sentinel for process in processes)]
    died = ""
    while ready := wait(watched, LAST_WORD_S if died else None):
        if hears in ready:
            kind, said = _received(hears, processes[0])
            if kind == "failed":
                raise said
            if kind == "done":
                return said
            if progress is not None:
                progress(said)
            continue
        for process in processes:
            if process.sentinel in ready:
                watched.remove(process.sentinel)
                if process.exitcode:
                    died = _death_of(process)
                    if process.exitcode != RAISED:
                        raise TrainingError(died)
    raise TrainingError(died)


def _received(hears: Connection, first: BaseProcess) -> tuple[str, Any]:
    """Returns the next word of the first process."""
    try:
        kind, said = hears.recv()
    except EOFError:
        first.join(END_WAIT_S)
        raise TrainingError(_death_of(first)) from None
    return kind, said


def _death_of(process: BaseProcess) -> str:
    return f"A process of the training has died with exit status {process.exitcode}."


def _end(process: BaseProcess) -> None:
    if process.pid is None:
        return
    process.join(0.0 if process.exitcode is not None else 1.0)
    if process.is_alive():
        process.terminate()
        process.join(END_WAIT_S)
    if process.is_alive():
        process.kill()
        process.join()


def _work(work: Work[Any], place: Team, tells: Connection) -> None:
    """What a new process does."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    if not place.leads:
        tells.close()
        with suppress(KeyboardInterrupt):
            work(place, None)
        return
    # Nobody waits for the answer any more, or Ctrl-C, which all processes of a terminal get.
    with suppress(BrokenPipeError, KeyboardInterrupt):
        try:
            answer = work(place, lambda report: tells.send(("progress", report)))
        except CarpalError as error:
            tells.send(("failed", error))
        else:
            tells.send(("done", answer))


def _die_with_parent() -> None:
    """Ends this process as soon as the one that started it is gone, even if it was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
