"""One service of the local stack: what it is, and when to start, restart and end it."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from carpal import processes
from data.errors import CarpalError, StackError

FIRST_BACKOFF_S = 1.0
LAST_BACKOFF_S = 30.0
HEALTHY_AFTER_S = 60.0
"""A service that was ready for this long starts again with the shortest back-off."""
ATTEMPTS_TO_START = 3
"""A service that fails this often before it was ever ready is given up by whoever waits for it."""

Report = Callable[[str, str], None]
"""Is told (name of the service, what happened to it)."""


@dataclass(frozen=True)
class Service:
    """One program of the stack.

    Attributes:
        name: Unique in the stack; also names its log.
        argv: Its command line; holds no secret.
        log: What it prints is added to this file.
        env: Variables added to the environment that the supervisor itself has.
        cwd: Its working directory.
        prepare: Makes what the program needs (configuration, folders), before each start.
        ready: Whether it answers; asked again and again, so it must return within a second or
            two. None: it counts as ready once it is started.
        ready_timeout_s: A service that does not answer this long after its start is restarted.
        stop_timeout_s: A service that lives this long after SIGTERM gets SIGKILL.
        needs: Services that must have been ready once before this one is started, and that are
            ended after it; those that are not part of the stack are not waited for.
        after: Likewise, but only for the start.
        address: Host and port that it listens on, or None.
        port_setting: The variable that chooses the port.
    """

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: Path = Path()
    prepare: Callable[[], object] | None = None
    ready: Callable[[], bool] | None = None
    ready_timeout_s: float = 60.0
    stop_timeout_s: float = 10.0
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    address: tuple[str, int] | None = None
    port_setting: str = ""

    def check_port(self) -> None:
        """Checks that nobody listens where this service wants to.

        Raises:
            StackError: The port is taken, or the address is not one of this machine.
        """
        if self.address is None:
            return
        host, port = self.address
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise StackError(
                    f"{self.name} cannot listen on {host}:{port} ({error.strerror}): end the "
                    f"program that uses it, or choose another port with {self.port_setting}."
                ) from error


class Watch:
    """Keeps one service running; `tick` does what is due.

    Attributes:
        process: None while it is not running.
        born: Time of birth of the process, by which it is known again.
        ready_at: When it first answered (monotonic clock), None while it does not.
        was_ready: It has answered at least once since the supervisor runs.
        trouble: What went wrong last.
    """

    def __init__(self, service: Service, home: Path, report: Report) -> None:
        self.service = service
        self.process: subprocess.Popen[bytes] | None = None
        self.born = 0.0
        self.ready_at: float | None = None
        self.was_ready = False
        self.trouble = ""
        self._home = home
        self._report = report
        self._started_at = 0.0
        self._asked_at: float | None = None
        self._next_start = 0.0
        self._backoff_s = FIRST_BACKOFF_S
        self._failed_starts = 0

    @property
    def hopeless(self) -> bool:
        """Whether it has never been ready and has failed too often to go on waiting for it."""
        return not self.was_ready and self._failed_starts >= ATTEMPTS_TO_START

    def tick(self, now: float, *, may_start: bool) -> bool:
        """Does what is due: start it, see whether it is ready, see whether it has died.

        Args:
            now: Monotonic clock, seconds.
            may_start: The services that it needs are ready.

        Returns:
            Whether another process, or none, runs now.
        """
        before = self.process
        if self.process is None:
            if may_start and now >= self._next_start:
                self._start(now)
        elif (status := self.process.poll()) is not None:
            self._lost(now, f"ended {_in_words(status)}")
        elif self.ready_at is None:
            self._look(now)
        elif now - self.ready_at > HEALTHY_AFTER_S:
            self._backoff_s = FIRST_BACKOFF_S
        return self.process is not before

    def ask_to_end(self, now: float) -> None:
        """Sends SIGTERM, once."""
        if self._asked_at is None and self.process is not None:
            self._asked_at = now
            self.process.terminate()

    def has_ended(self, now: float, *, at_once: bool) -> bool:
        """Returns whether the service has ended; kills it if its time is over, or `at_once`."""
        if self.process is None:
            return True
        late = self._asked_at is not None and now - self._asked_at > self.service.stop_timeout_s
        if late or at_once:
            self.process.kill()
            self.process.wait()
        return self.process.poll() is not None

    def _start(self, now: float) -> None:
        s = self.service
        self._started_at = now
        try:
            if s.prepare is not None:
                s.prepare()
            self.process = processes.launch(
                s.name, s.argv, env=s.env, cwd=s.cwd, log=s.log, home=self._home
            )
        except OSError as error:
            self._failed(now, f"cannot be started: {error}")
            return
        except CarpalError as error:
            self._failed_starts = ATTEMPTS_TO_START  # It says what to do; trying does not help.
            self._failed(now, f"cannot be started: {str(error).rstrip('.')}")
            return
        self.born = processes.birth(self.process.pid) or 0.0
        if s.ready is None:
            self.ready_at, self.was_ready = now, True
            self._report(s.name, "started")

    def _look(self, now: float) -> None:
        waited_s = now - self._started_at
        if self.service.ready is None or self.service.ready():
            self.ready_at, self.was_ready = now, True
            self._report(self.service.name, f"ready after {waited_s:.1f} s")
        elif waited_s > self.service.ready_timeout_s:
            self._lost(now, f"did not answer within {self.service.ready_timeout_s:g} s")

    def _lost(self, now: float, what: str) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            processes.kill_all(processes.members(self._home, self.service.name))
        said = processes.last_words(self.service.log)
        self._failed(now, f"{what}: {said}" if said else what)

    def _failed(self, now: float, trouble: str) -> None:
        self.trouble = trouble
        self._failed_starts += self.ready_at is None
        self.ready_at = None
        self._next_start = now + self._backoff_s
        self._report(self.service.name, f"{trouble}; starts again in {self._backoff_s:g} s")
        self._backoff_s = min(2 * self._backoff_s, LAST_BACKOFF_S)


def _in_words(status: int) -> str:
    if status >= 0:
        return f"with status {status}"
    return f"by {signal.Signals(-status).name}"
