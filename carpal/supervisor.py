"""Runs the services of the local stack: starts, watches, restarts and ends them.

One thread looks at every service ten times a second and does what is due, so that the order of
events is the order of the code. The caller's thread only asks: `wait_ready`, `wait`, `stop`.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from carpal import processes
from carpal.watch import Report, Service, Watch
from data.atomic import storage_error
from data.errors import StackError

__all__ = ["Report", "Service", "Supervisor"]

TICK_S = 0.1
ORPHAN_LIMIT_S = 5.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """Runs services until it is told to stop; use it as a context manager.

    Args:
        services: What to run.
        home: The workspace; only one supervisor runs on it at a time.
        report: Is told what happens, from the supervisor's own thread.
    """

    def __init__(
        self, services: Sequence[Service], home: Path, report: Report = lambda name, text: None
    ) -> None:
        self._home = home
        self._report = report
        self._watches = {s.name: Watch(s, home, report) for s in services}
        self._lock = ExitStack()
        self._ended = threading.Event()
        self._ended.set()
        self._stopping = False
        self._impatient = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the services."""
        return tuple(self._watches)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Ends what a killed supervisor left behind, checks the ports, and begins.

        Raises:
            StackError: Another stack runs on this workspace, or a port is taken.
        """
        with ExitStack() as undo:
            undo.enter_context(processes.only_stack(self._home))
            left = processes.end_all(processes.members(self._home), ORPHAN_LIMIT_S)
            if left:
                self._report("stack", f"ended {left} processes that a killed start had left")
            for watch in self._watches.values():
                watch.service.check_port()
                processes.rotate(watch.service.log)
            self._lock = undo.pop_all()
        self._ended.clear()
        threading.Thread(target=self._supervise, name="supervisor").start()

    def wait_ready(self, *names: str) -> None:
        """Waits until the named services (all unless named) are ready.

        Raises:
            StackError: One of them does not come up, or the stack is being stopped.
        """
        for name in names or self.names:
            watch = self._watches[name]
            while watch.ready_at is None:
                if watch.hopeless:
                    raise StackError(f"{name} {watch.trouble} (see {watch.service.log}).")
                if self._stopping:
                    raise StackError(f"The stack was stopped before {name} was ready.")
                time.sleep(TICK_S / 2)

    def wait(self) -> None:
        """Waits until the stack has been stopped (by a signal, or from another thread)."""
        # Not Thread.join(): interrupted by a signal, it takes the thread for ended (Python 3.11).
        self._ended.wait()

    def stop(self) -> None:
        """Ends every process of the stack and returns when the last one is gone."""
        self._stopping = True
        self._ended.wait()
        self._lock.close()

    def pids(self) -> dict[str, int]:
        """Returns the process id of each service that runs at this moment."""
        running = {name: watch.process for name, watch in self._watches.items()}
        return {name: process.pid for name, process in running.items() if process is not None}

    @contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """Within this block SIGINT, SIGTERM and SIGHUP stop the stack.

        The first signal ends the services in order and raises KeyboardInterrupt in the block; a
        second one kills them at once. A SIGHUP that is ignored (nohup) stays so; a SIGINT that
        is, as a shell's background job begins, does not: it has to end the stack all the same.
        """
        before = {n: signal.getsignal(n) for n in STOP_SIGNALS}
        nohup = before[signal.SIGHUP] is signal.SIG_IGN
        ours = [n for n in STOP_SIGNALS if not (nohup and n is signal.SIGHUP)]
        for number in ours:
            signal.signal(number, self._interrupt)
        try:
            yield
        finally:
            for number in ours:
                signal.signal(number, before[number])

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._impatient = self._stopping
        if not self._stopping:
            self._stopping = True
            raise KeyboardInterrupt

    def _supervise(self) -> None:
        try:
            while not self._stopping:
                for watch in self._watches.values():
                    may_start = not self._stopping and self._may_start(watch.service)
                    if watch.tick(time.monotonic(), may_start=may_start):
                        self._write_record()
                time.sleep(TICK_S)
        finally:
            self._stopping = True
            try:
                self._end_services()
            finally:
                self._ended.set()

    def _may_start(self, service: Service) -> bool:
        first = [self._watches.get(name) for name in service.needs + service.after]
        return all(watch.was_ready for watch in first if watch is not None)

    def _write_record(self) -> None:
        started = {
            name: (watch.process.pid, watch.born)
            for name, watch in self._watches.items()
            if watch.process is not None
        }
        self._record(started)

    def _record(self, started: Mapping[str, tuple[int, float]]) -> None:
        # Without it the stack still runs, and its processes are still known by their mark.
        try:
            processes.write_record(self._home, started)
        except OSError as error:
            self._report("stack", str(storage_error(error, self._home / processes.RECORD)))

    def _end_services(self) -> None:
        living = dict(self._watches)
        while living:
            now = time.monotonic()
            needed = {name for watch in living.values() for name in watch.service.needs}
            for name, watch in list(living.items()):
                if name not in needed:
                    watch.ask_to_end(now)
                if watch.has_ended(now, at_once=self._impatient):
                    del living[name]
            time.sleep(TICK_S / 2)
        processes.kill_all(processes.members(self._home))
        self._record({})
