"""Which processes belong to the stack of a workspace, and how they are ended.

A process belongs to it if `carpal up` started it (process id and time of birth are written down
in `stack.json`), or if it carries the mark that every service hands down to its children in its
environment. Nothing else is ever touched: a process id that has been given to another program
since has another time of birth.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from io import FileIO
from pathlib import Path

import psutil

from data.atomic import storage_error
from data.errors import StackError

MARK = "CARPAL_STACK"
"""Environment variable `<workspace>#<service>` that the processes of a stack carry."""
RECORD = "stack.json"
LOCK = "stack.lock"
LOOPBACK = "localhost,127.0.0.1,::1"
START_LINE = "--- started"
MAX_LOG_BYTES = 10 * 1024 * 1024
LAST_WORDS_BYTES = 4096
KILL_LIMIT_S = 5.0


def only_stack(home: Path) -> AbstractContextManager[None]:
    """Holds the workspace's lock, as `only_one` does."""
    return only_one(home / LOCK, f"The stack of {home}")


@contextmanager
def only_one(path: Path, what: str) -> Iterator[None]:
    """Holds a lock during the block; it falls with the process that holds it, however that ends.

    Args:
        path: The lock's file, in a workspace.
        what: What it is of, for the sentence.

    Raises:
        StackError: Another process holds it.
        StorageError: The workspace cannot be written.
    """
    with _opened_lock(path) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().decode(errors="replace").strip() or "unknown"
            raise StackError(
                f"{what} already runs (process {holder}): "
                "stop it first, or choose another workspace with CARPAL_HOME."
            ) from None
        try:
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n".encode())
        except OSError as error:
            raise storage_error(error, path) from error
        yield


def _opened_lock(path: Path) -> FileIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+b", buffering=0)
    except OSError as error:
        raise storage_error(error, path) from error


def launch(
    name: str, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path, home: Path
) -> subprocess.Popen[bytes]:
    """Starts a service in a session of its own, so that a Ctrl-C reaches only the supervisor.

    Args:
        name: Name of the service.
        argv: Its command line.
        env: Variables that are added to the environment of this process.
        cwd: Its working directory.
        log: What it prints is added to this file.
        home: The workspace.

    Raises:
        OSError: The program does not exist or may not be run.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        output.write(f"{START_LINE} {datetime.now().astimezone():%F %T %z}\n".encode())
        output.flush()
        return subprocess.Popen(
            argv,
            env={**_inherited_environment(), **env, MARK: f"{home}#{name}"},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def birth(pid: int) -> float | None:
    """Returns the time at which the process was created, or None if there is none."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def write_record(home: Path, started: Mapping[str, tuple[int, float]]) -> None:
    """Writes down which processes run as services: name -> (process id, time of birth)."""
    draft = home / f"{RECORD}.new"
    draft.write_text(json.dumps({name: list(who) for name, who in started.items()}))
    draft.replace(home / RECORD)


def read_record(home: Path) -> dict[str, int]:
    """Returns service -> process id of what was started on this workspace and still lives."""
    try:
        record = json.loads((home / RECORD).read_text())
    except (OSError, ValueError):
        return {}
    return {name: pid for name, (pid, born) in record.items() if birth(pid) == born}


def members(home: Path, name: str = "") -> list[psutil.Process]:
    """Returns the living processes of one service, or of every service of the workspace."""
    mark = f"{home}#{name}"
    ours = {pid for service, pid in read_record(home).items() if name in ("", service)}
    kept_out = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        if process.pid in kept_out:
            continue
        with suppress(psutil.Error):
            if process.pid in ours or _carries(process, mark, exact=bool(name)):
                found.append(process)
    return found


def end_all(processes: Iterable[psutil.Process], limit_s: float) -> int:
    """Asks the processes to end, and ends them after the limit.

    Returns:
        How many there were.
    """
    living = list(processes)
    for process in living:
        with suppress(psutil.Error):
            process.terminate()
    _, stubborn = psutil.wait_procs(living, timeout=limit_s)
    kill_all(stubborn)
    return len(living)


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """Ends the processes at once, without asking."""
    doomed = list(processes)
    for process in doomed:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(doomed, timeout=KILL_LIMIT_S)


def rotate(log: Path) -> None:
    """Moves a log that has grown large aside, to `<name>.1`, where it replaces an older one."""
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        log.replace(log.with_name(log.name + ".1"))


def last_words(log: Path) -> str:
    """Returns the last line that a service printed since its last start, or an empty text."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LAST_WORDS_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    if not lines or START_LINE in lines[-1]:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _inherited_environment() -> dict[str, str]:
    """Returns this process's environment, with loopback kept away from any proxy."""
    environment = dict(os.environ)
    for name in ("no_proxy", "NO_PROXY"):
        exempt = environment.get(name, "")
        environment[name] = f"{exempt},{LOOPBACK}" if exempt else LOOPBACK
    return environment


def _carries(process: psutil.Process, mark: str, *, exact: bool) -> bool:
    carried = process.environ().get(MARK, "")
    return carried == mark if exact else carried.startswith(mark)
