"""The supervisor, with tiny real programs as services."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from carpal import processes, watch
from carpal.supervisor import Service, Supervisor
from data.errors import StackError
from tests.support import LIMIT_S, eventually

pytestmark = pytest.mark.service

SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('up', flush=True); time.sleep(600)"
)
PARENT_OF_TWO = (
    "import os, subprocess, sys, time\n"
    "run = [sys.executable, '-S', '-c', 'import time; time.sleep(600)']\n"
    "same = subprocess.Popen(run)\n"
    "other = subprocess.Popen(run, start_new_session=True)\n"
    "print(same.pid, other.pid, flush=True)\n"
    "time.sleep(600)\n"
)


class Notices(list[str]):
    """What was reported, as `<service>: <what happened>`."""

    def __call__(self, name: str, text: str) -> None:
        self.append(f"{name}: {text}")

    def mention(self, *parts: str) -> bool:
        return any(all(part in line for part in parts) for line in self)


@pytest.fixture
def notices() -> Notices:
    return Notices()


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "FIRST_BACKOFF_S", 0.2)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Makes a service that runs a line of Python; it is ready once it has printed something."""

    def make(name: str, code: str, **fields: object) -> Service:
        log = tmp_path / "logs" / f"{name}.log"
        return replace(
            Service(
                name=name,
                argv=(sys.executable, "-S", "-c", code),
                log=log,
                cwd=tmp_path,
                ready=lambda: bool(processes.last_words(log)),
            ),
            **fields,  # type: ignore[arg-type]
        )

    yield make
    processes.kill_all(processes.members(tmp_path))


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pids_in(log: Path) -> list[int]:
    return [int(word) for word in processes.last_words(log).split()]


def test_services_run_while_the_block_runs_and_are_gone_after_it(
    tmp_path: Path, service: Callable[..., Service], notices: Notices
) -> None:
    services = [service("one", SLEEPER), service("two", SLEEPER)]
    with Supervisor(services, tmp_path, notices) as stack:
        stack.wait_ready()
        pids = stack.pids()
        assert all(is_alive(pid) for pid in pids.values())
        assert set(pids) == {"one", "two"}
    assert not any(is_alive(pid) for pid in pids.values())
    assert notices.mention("one", "ready after")
    assert processes.read_record(tmp_path) == {}


def test_a_service_starts_only_after_the_one_it_needs_is_ready(
    tmp_path: Path, service: Callable[..., Service]
) -> None:
    gate = tmp_path / "gate"
    first = service("first", SLEEPER, ready=gate.exists)
    second = service("second", SLEEPER, needs=("first",))
    with Supervisor([second, first], tmp_path) as stack:
        assert eventually(lambda: processes.last_words(first.log) == "up")
        assert "second" not in stack.pids()
        gate.touch()
        stack.wait_ready("second")


def test_a_service_ends_before_the_one_it_needs(
    tmp_path: Path, service: Callable[..., Service]
) -> None:
    farewell = (
        "import pathlib, signal, sys, time\n"
        "def end(*_):\n"
        "    with open('ends', 'a') as f: f.write('{name} ')\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('up', flush=True)\n"
        "time.sleep(600)\n"
    )
    first = service("first", farewell.format(name="first"))
    second = service("second", farewell.format(name="second"), needs=("first",))
    with Supervisor([first, second], tmp_path) as stack:
        stack.wait_ready()
    assert (tmp_path / "ends").read_text() == "second first "


def test_a_killed_service_is_reported_by_name_and_started_again(
    tmp_path: Path, service: Callable[..., Service], notices: Notices
) -> None:
    with Supervisor([service("one", SLEEPER)], tmp_path, notices) as stack:
        stack.wait_ready()
        before = stack.pids()["one"]
        os.kill(before, signal.SIGKILL)
        assert eventually(lambda: stack.pids().get("one", before) != before)
        stack.wait_ready()
    assert notices.mention("one", "ended by SIGKILL: up", "starts again")


def test_a_service_that_fails_is_reported_with_its_status_and_its_last_line(
    tmp_path: Path, service: Callable[..., Service], notices: Notices
) -> None:
    failing = service("one", "import sys; print('no disk left', flush=True); sys.exit(3)")
    with Supervisor([replace(failing, ready=lambda: False)], tmp_path, notices):
        assert eventually(lambda: notices.mention("one", "ended with status 3: no disk left"))


def test_the_pause_before_a_restart_doubles(
    tmp_path: Path, service: Callable[..., Service], notices: Notices
) -> None:
    failing = service("one", "raise SystemExit(1)", ready=lambda: False)
    with Supervisor([failing], tmp_path, notices):
        assert eventually(lambda: len(notices) >= 3)
    waits = [float(line.rpartition(" in ")[2].split()[0]) for line in notices[:3]]
    assert waits == pytest.approx([0.2, 0.4, 0.8])


def test_whoever_waits_for_a_service_that_cannot_start_is_told_why(
    tmp_path: Path, service: Callable[..., Service]
) -> None:
    failing = service("one", "print('bad option'); raise SystemExit(2)", ready=lambda: False)
    with (
        Supervisor([failing], tmp_path) as stack,
        pytest.raises(StackError, match="one ended with status 2: bad option"),
    ):
        stack.wait_ready()


def test_a_program_that_does_not_exist_is_named(
    tmp_path: Path, service: Callable[..., Service]
) -> None:
    missing = replace(service("one", ""), argv=("/no/such/program",))
    with (
        Supervisor([missing], tmp_path) as stack,
        pytest.raises(StackError, match="No such file or directory: '/no/such/program'"),
    ):
        stack.wait_ready()


def test_what_stands_in_the_way_of_a_start_is_told_at_once(
    tmp_path: Path, service: Callable[..., Service], notices: Notices
) -> None:
    def prepare() -> None:
        raise StackError("Its folder is not there: make it.")

    one = service("one", SLEEPER, prepare=prepare)
    with (
        Supervisor([one], tmp_path, notices) as stack,
        pytest.raises(StackError, match="one cannot be started: Its folder is not there: make it"),
    ):
        stack.wait_ready()
    assert len(notices) == 1


def test_a_service_is_prepared_before_each_start(
    tmp_path: Path, service: Callable[..., Service]
) -> None:
    prepared: list[int] = []
    one = service("one", SLEEPER, prepare=lambda: prepared.append(1))
    with Supervisor([one], tmp_path) as stack:
        stack.wait_ready()
        assert len(prepared) == 1
        os.kill(stack.pids()["one"], signal.SIGKILL)
        assert eventually(lambda: len(prepared) == 2)


def test_a_service_that_never_answers_is_started_again(
    tmp_path: Path, service: Callable[..., Service], notices: Notices
) -> None:
    mute = service("one", SLEEPER, ready=lambda: False, ready_timeout_s=0.3)
    with Supervisor([mute], tmp_path, notices) as stack:
        assert eventually(lambda: "one" in stack.pids())
        before = stack.pids()["one"]
        assert eventually(lambda: notices.mention("one", "did not answer within 0.3 s"))
        assert not is_alive(before)
        assert eventually(lambda: stack.pids().get("one", before) != before)


def test_a_service_that_ignores_sigterm_is_killed_after_its_limit(
    tmp_path: Path, service: Callable[..., Service]
) -> None:
    with Supervisor([service("one", STUBBORN, stop_timeout_s=0.3)], tmp_path) as stack:
        stack.wait_ready()
        pid = stack.pids()["one"]
    assert not is_alive(pid)


def test_grandchildren_end_with_the_stack_even_in_sessions_of_their_own(
    tmp_path: Path, service: Callable[..., Service]
) -> None:
    one = service("one", PARENT_OF_TWO)
    with Supervisor([one], tmp_path) as stack:
        stack.wait_ready()
        children = pids_in(one.log)
        assert all(is_alive(pid) for pid in children)
    assert not any(is_alive(pid) for pid in children)


def test_what_a_dead_service_leaves_is_ended_before_it_starts_again(
    tmp_path: Path, service: Callable[..., Service], notices: Notices
) -> None:
    one = service("one", PARENT_OF_TWO)
    with Supervisor([one], tmp_path, notices) as stack:
        stack.wait_ready()
        children = pids_in(one.log)
        os.kill(stack.pids()["one"], signal.SIGKILL)
        assert eventually(lambda: notices.mention("one", "ended by SIGKILL"))
        assert not any(is_alive(pid) for pid in children)


def test_a_disk_that_takes_no_record_is_reported_and_the_services_run_on(
    tmp_path: Path, service: Callable[..., Service], notices: Notices
) -> None:
    (tmp_path / f"{processes.RECORD}.new").mkdir()
    with Supervisor([service("one", SLEEPER)], tmp_path, notices) as stack:
        stack.wait_ready()
        assert is_alive(stack.pids()["one"])
    assert notices.mention("stack:", "stack.json cannot be written")


def test_a_second_start_on_the_same_workspace_is_refused_in_one_sentence(
    tmp_path: Path, service: Callable[..., Service]
) -> None:
    with (
        Supervisor([service("one", SLEEPER)], tmp_path),
        pytest.raises(StackError, match=f"already runs .process {os.getpid()}."),
    ):
        Supervisor([service("two", SLEEPER)], tmp_path).start()


def test_a_stack_can_be_started_again_after_it_has_stopped(
    tmp_path: Path, service: Callable[..., Service]
) -> None:
    for _ in range(2):
        with Supervisor([service("one", SLEEPER)], tmp_path) as stack:
            stack.wait_ready()


def test_a_taken_port_is_named_with_its_setting_before_anything_starts(
    tmp_path: Path, service: Callable[..., Service], notices: Notices
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        services = [
            service("first", SLEEPER),
            service("web", SLEEPER, address=("127.0.0.1", port), port_setting="CARPAL_WEB_PORT"),
        ]
        with pytest.raises(StackError, match=rf"web .*{port}.*CARPAL_WEB_PORT"):
            Supervisor(services, tmp_path, notices).start()
    assert notices == []
    assert not (tmp_path / "logs").exists()


SUPERVISED = """
import sys
from pathlib import Path
from carpal.supervisor import Service, Supervisor
home = Path(sys.argv[1])
service = Service("one", (sys.executable, "-S", "-c", sys.argv[2]), home / "one.log", cwd=home)
stack = Supervisor([service], home, lambda name, text: print(name, text, flush=True))
try:
    with stack.stopped_by_signals(), stack:
        stack.wait()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts a supervisor in a process of its own and returns once its service runs."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str) -> subprocess.Popen[str]:
        supervisor = subprocess.Popen(
            [sys.executable, "-c", SUPERVISED, str(tmp_path), code],
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(supervisor)
        assert eventually(lambda: bool(processes.last_words(tmp_path / "one.log")))
        assert eventually(lambda: "one" in processes.read_record(tmp_path))
        return supervisor

    yield start
    for supervisor in started:
        supervisor.kill()
        supervisor.communicate()
    processes.kill_all(processes.members(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_services_and_then_the_supervisor(
    tmp_path: Path, supervised: Callable[[str], subprocess.Popen[str]], number: signal.Signals
) -> None:
    supervisor = supervised(SLEEPER)
    pid = processes.read_record(tmp_path)["one"]
    supervisor.send_signal(number)
    output, _ = supervisor.communicate(timeout=LIMIT_S)
    assert supervisor.returncode == 0
    assert output.endswith("interrupted\n")
    assert not is_alive(pid)


def test_a_second_signal_ends_stubborn_services_at_once(
    tmp_path: Path, supervised: Callable[[str], subprocess.Popen[str]]
) -> None:
    supervisor = supervised(STUBBORN)
    pid = processes.read_record(tmp_path)["one"]
    began = time.monotonic()
    again = threading.Timer(0.5, supervisor.send_signal, [signal.SIGINT])
    supervisor.send_signal(signal.SIGINT)
    again.start()
    supervisor.communicate(timeout=LIMIT_S)
    again.join()
    assert not is_alive(pid)
    assert time.monotonic() - began < 5  # its stop limit is 10 s


def test_orphans_of_a_killed_supervisor_end_at_the_next_start(
    tmp_path: Path,
    supervised: Callable[[str], subprocess.Popen[str]],
    service: Callable[..., Service],
    notices: Notices,
) -> None:
    supervisor = supervised(PARENT_OF_TWO)
    orphans = [processes.read_record(tmp_path)["one"], *pids_in(tmp_path / "one.log")]
    supervisor.kill()
    supervisor.wait()
    assert all(is_alive(pid) for pid in orphans)
    with Supervisor([service("two", SLEEPER)], tmp_path, notices) as stack:
        stack.wait_ready()
        assert not any(is_alive(pid) for pid in orphans)
    assert notices.mention("stack", "ended 3 processes")


def test_a_process_that_has_taken_over_the_id_of_an_old_service_is_left_alone(
    tmp_path: Path, service: Callable[..., Service], notices: Notices
) -> None:
    stranger = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    try:
        born = processes.birth(stranger.pid)
        assert born is not None
        processes.write_record(tmp_path, {"one": (stranger.pid, born - 100)})
        with Supervisor([service("two", SLEEPER)], tmp_path, notices) as stack:
            stack.wait_ready()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_processes_of_another_workspace_are_left_alone(
    tmp_path: Path, service: Callable[..., Service]
) -> None:
    nested = tmp_path / "demo"
    with Supervisor([service("inner", SLEEPER)], nested) as inner:
        inner.wait_ready()
        with Supervisor([service("outer", SLEEPER)], tmp_path) as outer:
            outer.wait_ready()
        assert is_alive(inner.pids()["inner"])


def test_a_large_log_is_moved_aside_at_the_start(
    tmp_path: Path, service: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "MAX_LOG_BYTES", 1000)
    one = service("one", SLEEPER)
    one.log.parent.mkdir()
    one.log.write_text("old\n" * 500)
    with Supervisor([one], tmp_path) as stack:
        stack.wait_ready()
    assert "old" not in one.log.read_text()
    assert one.log.with_name("one.log.1").read_text() == "old\n" * 500


def test_the_environment_of_a_service_holds_its_variables_and_keeps_loopback_off_proxies(
    tmp_path: Path, service: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "intranet")
    tell = (
        "import os, time; print(os.environ['COLOUR'], os.environ['NO_PROXY'], flush=True); "
        "time.sleep(600)"
    )
    one = service("one", tell, env={"COLOUR": "blue"})
    with Supervisor([one], tmp_path) as stack:
        stack.wait_ready()
    assert "blue intranet,localhost,127.0.0.1" in one.log.read_text()
