# ruff: noqa: N999 the name is gunicorn's
"""How gunicorn serves the backend: `gunicorn "ml_backend.server:create_server()" -c THIS_FILE`.

One process, many threads; `--workers 2` or WEB_CONCURRENCY=2 makes it two. The application is
built in each process after the fork: torch and CUDA do not survive one.
"""

from __future__ import annotations

import sys
from typing import Any

from ml_backend.inference import MAX_COMPUTING
from ml_backend.metrics import MAX_PROCESSES, shared_counters
from workers.settings import Settings
from workers.workspaces import other_workspaces

_settings = Settings.load()
_workspaces = ("", *other_workspaces(_settings))

bind = f"{_settings.backend_host}:{_settings.backend_port}"
worker_class = "gthread"
threads = MAX_COMPUTING * (1 + len(_workspaces))
"""Each workspace may hold so many of them with what it computes; as many are left for the rest."""
preload_app = False
timeout = 60
"""Seconds without a sign of life after which a process is replaced; a long request is none."""
graceful_timeout = 30
"""Seconds that requests under way have to end after SIGTERM."""
keepalive = 5
control_socket_disable = True
accesslog = None
"""The application writes the access log; see `ml_backend/logs.py`."""

SWITCH_INTERVAL_S = 0.0005
"""How long a thread may keep Python's lock while others want it. A request gives the lock up some
fifty times, at each row of the ledger and each piece of the answer; with Python's own 5 ms a
handful of requests at once hold each other up for a tenth of a second."""


def on_starting(server: Any) -> None:
    """Makes the counters before the first process is forked, so that all share them."""
    for workspace in _workspaces:
        shared_counters(workspace)


def pre_fork(server: Any, worker: Any) -> None:
    """Gives a new process a row of the counters that no living one has."""
    taken = {getattr(other, "counters_row", None) for other in server.WORKERS.values()}
    worker.counters_row = min(set(range(MAX_PROCESSES)) - taken)


def post_fork(server: Any, worker: Any) -> None:
    """Makes the new process write to its row, and lets its threads take turns quickly."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    for workspace in _workspaces:
        shared_counters(workspace).use_row(worker.counters_row)


def child_exit(server: Any, worker: Any) -> None:
    """Notes that a process that has ended serves nothing any more."""
    for workspace in _workspaces:
        shared_counters(workspace).set_model_version("", row=worker.counters_row)
