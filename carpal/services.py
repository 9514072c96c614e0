"""Which programs the local stack consists of, and how each is started.

A service whose address is given in the settings (Redis, Label Studio, MLflow) runs elsewhere and
is not part of the stack. So does the backend if its address has a path: then the backend of another
workspace serves this one; an address without a path only says how Label Studio reaches ours.
"""

from __future__ import annotations

import http.client
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from carpal import label_studio, redis_server
from carpal.watch import Service
from workers.settings import PREFIX, Settings
from workers.workspaces import other_workspaces

ROOT = Path(__file__).resolve().parent.parent
"""The repository, or where the packages are installed."""
LOOPBACK = "127.0.0.1"
ANSWER_TIMEOUT_S = 1.0
LABEL_STUDIO_TIMEOUT_S = 240.0
"""Bounds a start that has to make Label Studio's database (50 s on two cores)."""
MLFLOW_TIMEOUT_S = 120.0
BEFORE_WORK = ("redis", "label-studio", "backend")
"""What the workers talk to; only at the first start is it waited for."""
QUICK_STOP_S = 3.0
"""For services whose work can be done again: a training under way starts again from its dataset
version, a prediction is asked for again."""


def services(settings: Settings) -> list[Service]:
    """Returns the services of the stack in the order of their names in `carpal up`'s report.

    Raises:
        StackError: A program that a service needs is not installed, or the backend cannot serve
            what `also_serves` names.
    """
    settings = with_absolute_paths(settings)
    other_workspaces(settings)
    stack: list[Service] = []
    if not settings.redis_url:
        stack.append(_redis(settings))
    if not settings.label_studio_url:
        stack.append(_label_studio(settings))
    if not urlsplit(settings.backend_url).path.strip("/"):
        stack.append(_backend(settings))
    stack += [
        _worker(settings, "light"),
        replace(_worker(settings, "heavy"), stop_timeout_s=QUICK_STOP_S),
        _ours(settings, "timer", "workers.timer", needs=BEFORE_WORK),
    ]
    if not urlsplit(settings.mlflow_uri).scheme.startswith("http"):
        stack.append(_mlflow(settings))
    return stack


def settings_environment(settings: Settings) -> dict[str, str]:
    """Returns the variables from which `Settings.load` makes these settings again."""
    values = {item.name: str(getattr(settings, item.name)) for item in fields(Settings)}
    return {f"{PREFIX}{name.upper()}": value for name, value in values.items()}


def with_absolute_paths(settings: Settings) -> Settings:
    """Returns the settings as they hold in any working directory.

    A relative path means the working directory, or the repository where it is not there. Links
    are kept: the Python of a virtual environment is one.
    """
    python = settings.label_studio_python.expanduser()
    if not python.is_absolute():
        here = Path.cwd() / python
        python = here if here.exists() else ROOT / python
    return replace(
        settings,
        home=settings.home.absolute(),
        label_studio_python=python,
        train_config=_absolute(settings.train_config),
        dvc_remote=_absolute(settings.dvc_remote),
        also_serves=",".join(_absolute(p.strip()) for p in settings.also_serves.split(",")),
    )


def http_answers(host: str, port: int, path: str) -> bool:
    """Returns whether a GET is answered with a status below 400, without using any proxy."""
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _absolute(address: str) -> str:
    if not address or "://" in address:
        return address
    return str(Path(address).expanduser().absolute())


def _redis(settings: Settings) -> Service:
    return Service(
        name="redis",
        argv=redis_server.argv(settings),
        log=_log(settings, "redis"),
        cwd=settings.home,
        prepare=partial(redis_server.write_configuration, settings),
        ready=partial(redis_server.answers, settings),
        ready_timeout_s=20.0,
        address=(LOOPBACK, settings.redis_port),
        port_setting="CARPAL_REDIS_PORT",
    )


def _label_studio(settings: Settings) -> Service:
    return Service(
        name="label-studio",
        argv=tuple(label_studio.argv(settings)),
        env=label_studio.environment(settings),
        log=_log(settings, "label-studio"),
        cwd=settings.home,
        prepare=partial(label_studio.seed_workspace, settings),
        ready=partial(label_studio.ready, settings),
        ready_timeout_s=LABEL_STUDIO_TIMEOUT_S,
        address=(LOOPBACK, settings.label_studio_port),
        port_setting="CARPAL_LABEL_STUDIO_PORT",
    )


def _backend(settings: Settings) -> Service:
    configuration = ROOT / "ml_backend" / "gunicorn.conf.py"
    host = LOOPBACK if settings.backend_host == "0.0.0.0" else settings.backend_host  # noqa: S104
    arguments = ("ml_backend.server:create_server()", "--config", str(configuration))
    return replace(
        _ours(settings, "backend", "gunicorn", *arguments),
        ready=_http_ready(host, settings.backend_port, "/health"),
        stop_timeout_s=QUICK_STOP_S,
        address=(settings.backend_host, settings.backend_port),
        port_setting="CARPAL_BACKEND_PORT",
    )


def _mlflow(settings: Settings) -> Service:
    folder = settings.home / "mlflow"
    ours = _ours(settings, "mlflow", "carpal.mlflow_pages")
    return replace(
        ours,
        # The address of the store may hold a password, so it stands in the environment.
        env={
            **ours.env,
            "MLFLOW_BACKEND_STORE_URI": settings.mlflow,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        },
        cwd=folder,
        prepare=partial(folder.mkdir, parents=True, exist_ok=True),
        ready=_http_ready(LOOPBACK, settings.mlflow_port, "/health"),
        ready_timeout_s=MLFLOW_TIMEOUT_S,
        stop_timeout_s=QUICK_STOP_S,
        # Nobody waits for its pages; whoever trains opens the store directly.
        after=("label-studio", "backend"),
        address=(LOOPBACK, settings.mlflow_port),
        port_setting="CARPAL_MLFLOW_PORT",
    )


def _worker(settings: Settings, queue: str) -> Service:
    return _ours(settings, f"worker-{queue}", "workers.worker", queue, needs=BEFORE_WORK)


def _ours(
    settings: Settings, name: str, module: str, *arguments: str, needs: tuple[str, ...] = ()
) -> Service:
    return Service(
        name=name,
        argv=(sys.executable, "-m", module, *arguments),
        env={
            **settings_environment(settings),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DVC_NO_ANALYTICS": "true",
            "PYTHONUNBUFFERED": "1",
        },
        log=_log(settings, name),
        cwd=ROOT,
        needs=needs,
    )


def _http_ready(host: str, port: int, path: str) -> Callable[[], bool]:
    return partial(http_answers, host, port, path)


def _log(settings: Settings, name: str) -> Path:
    return settings.logs / f"{name}.log"
