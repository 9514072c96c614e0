"""The server: `gunicorn "ml_backend.server:create_server()" -c ml_backend/gunicorn.conf.py`.

It serves the workspace of its settings and, with `also_serves`, others below a prefix each:
`/hand/predict` is the `/predict` of the workspace in the folder `hand`. Each is an application of
its own (`app.py`) with its own ledger, model, credentials and counters; the processes and threads
are shared.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from data.errors import CarpalError, StackError
from ml_backend.app import create_app
from ml_backend.errors import problem
from ml_backend.logs import configure_logging
from ml_backend.metrics import shared_counters
from ml_backend.services import build_services
from workers.settings import Settings
from workers.workspaces import other_workspaces, settings_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

OPENING_S = 25.0
"""Longest time that a starting process waits for the other workspaces, all together; with the wait
for its own model it stays below gunicorn's `timeout`."""
RETRY_S = 30.0
"""A workspace that could not be opened is tried again after this long."""

log = logging.getLogger(__name__)


def create_server(settings: Settings | None = None) -> WSGIApplication:
    """Builds what one process serves.

    Args:
        settings: Read from the environment and the workspace unless given.

    Raises:
        StackError: A secret is missing, or `also_serves` names what cannot be served.
    """
    configure_logging()
    settings = settings or Settings.load()
    folders = other_workspaces(settings)
    main = create_app(settings)
    others = {
        name: MountedWorkspace(name, partial(_open, name, folder, settings.device))
        for name, folder in folders.items()
    }
    return mounted(main, others, OPENING_S)


def mounted(
    main: Flask, others: dict[str, MountedWorkspace], wait_s: float = 0.0
) -> WSGIApplication:
    """Puts other workspaces below their prefixes and begins to open them.

    Args:
        main: Answers everything that lies below no prefix.
        others: Prefix, without slashes -> what answers below it.
        wait_s: They are waited for at most this long.

    Raises:
        StackError: A prefix is an address of `main`.
    """
    taken = {rule.rule.split("/")[1] for rule in main.url_map.iter_rules()}
    for name in others:
        if name in taken:
            raise StackError(
                f"CARPAL_ALSO_SERVES: a workspace named '{name}' cannot be served, because /{name} "
                "is an address of the backend: rename its folder."
            )
    if not others:
        return main
    for workspace in others.values():
        workspace.start()
    _wait(others.values(), wait_s)
    return DispatcherMiddleware(main, {f"/{name}": other for name, other in others.items()})


class MountedWorkspace:
    """A workspace below a prefix: opened in a thread, again and again where that fails.

    Until it is open every address below its prefix answers 503.

    Args:
        name: Its prefix, without slashes.
        open_app: Builds its application; may take long, and fail.
        retry_s: Seconds between two attempts.
    """

    def __init__(
        self, name: str, open_app: Callable[[], WSGIApplication], retry_s: float = RETRY_S
    ) -> None:
        self._name = name
        self._open = open_app
        self._retry_s = retry_s
        self._app: WSGIApplication | None = None
        self._refusal = f"The workspace '{name}' is being opened; ask again in a moment."
        self._tried = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_opening, name=f"open-{name}", daemon=True)

    def start(self) -> None:
        """Begins to open it, and returns."""
        self._thread.start()

    def stop(self) -> None:
        """Tries no more to open it."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def wait(self, seconds: float) -> bool:
        """Waits for the first attempt; returns whether it is over."""
        return self._tried.wait(seconds)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers a request below the prefix."""
        if self._app is not None:
            environ["PATH_INFO"] = environ["PATH_INFO"] or "/"  # of `/hand`, as people type it
            return self._app(environ, start_response)
        answer = problem(503, self._refusal)
        answer.headers["Retry-After"] = f"{self._retry_s:.0f}"
        answer.headers["Cache-Control"] = "no-store"
        return answer(environ, start_response)

    def _keep_opening(self) -> None:
        while self._app is None and not self._stop.is_set():
            try:
                self._app = self._open()
            except CarpalError as error:
                log.error("The workspace '%s' cannot be opened: %s", self._name, error)
            except Exception:
                # The edge of the thread: whatever a workspace fails with, the others are served.
                log.exception("Opening the workspace '%s' failed.", self._name)
            self._refusal = f"The workspace '{self._name}' cannot be opened; the log says why."
            self._tried.set()
            if self._app is None:
                self._stop.wait(self._retry_s)


def _open(name: str, folder: Path, device: str) -> Flask:
    services = build_services(settings_of(folder, device), shared_counters(name))
    log.info("The workspace %s is served below /%s.", folder, name)
    return create_app(services=services)


def _wait(others: Iterable[MountedWorkspace], seconds: float) -> None:
    until = time.monotonic() + seconds
    for workspace in others:
        workspace.wait(max(0.0, until - time.monotonic()))
