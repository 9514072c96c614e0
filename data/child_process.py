"""Programs of our own that read films for this one, and end with it.

A child is a program and not a fork: a fork could inherit a lock that another thread holds for ever,
or a CUDA context, which does not survive one, and would begin with the whole of its parent. Ctrl-C
reaches the parent alone.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from threading import Thread

START = (
    "import os, sys; os.environ['OPENBLAS_NUM_THREADS'] = '1'; sys.path[:] = {path!r}; "
    "from {module} import serve; serve({number})"
)
"""One thread of the linear algebra library: each core has a process that reads already."""
ORPHAN_S = 1.0
"""How often a child looks whether it has lost its parent."""


def start_child(module: str) -> tuple[subprocess.Popen[bytes], Connection]:
    """Starts a program that answers on a connection.

    Args:
        module: Has a function `serve`, which is given the file descriptor of the child's end and
            begins with `end_with_parent`.

    Returns:
        The process, and this program's end of the connection.

    Raises:
        OSError: No process can be started.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        number = theirs.fileno()
        process = subprocess.Popen(
            [sys.executable, "-c", START.format(path=sys.path, module=module, number=number)],
            pass_fds=[number],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    return process, Connection(ours.detach())


def end_with_parent() -> None:
    """Sees to it that this program ends when its parent is gone, also while a film hangs."""
    Thread(target=_end_with, args=[os.getppid()], daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHAN_S)
    os._exit(1)
