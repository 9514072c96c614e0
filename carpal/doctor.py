"""`carpal doctor`: what this machine lacks to run the stack, and what to do about it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from carpal import processes, redis_server
from carpal.services import services, with_absolute_paths
from data.errors import CarpalError
from workers.settings import Settings

OLDEST_PYTHON = (3, 11)
OLDEST_GIT = (2, 28)
"""First git whose `init` takes the name of the branch."""
LEAST_FREE_BYTES = 5 * 1024**3
"""Bounds the pool, the dataset repository and the models of a first session."""
PROGRAM_TIMEOUT_S = 30.0
GIT_VERSION = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Check:
    """What one look has found.

    Attributes:
        name: What was looked at.
        ok: Nothing needs to be done.
        said: What was found; where something is wrong, what to do.
    """

    name: str
    ok: bool
    said: str


def examine(load: Callable[[], Settings] = Settings.load) -> list[Check]:
    """Looks at everything that `carpal up` needs; changes nothing."""
    checks = [python(), packages(), git()]
    try:
        settings = with_absolute_paths(load())
    except CarpalError as error:
        return [*checks, Check("settings", False, str(error))]
    checks.append(Check("settings", True, f"task {settings.task}, workspace {settings.home}"))
    checks += [label_studio(settings), redis(settings), workspace(settings), disk(settings)]
    return [*checks, *ports(settings)]


def python() -> Check:
    """The interpreter is new enough."""
    found = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] >= OLDEST_PYTHON:
        return Check("Python", True, f"{found} ({sys.executable})")
    return Check("Python", False, f"{found} is too old: install 3.11 or newer, then 'make setup'.")


def packages() -> Check:
    """Everything that Carpal requires is installed in the promised version."""
    wrong = sorted(_unmet(metadata.requires("carpal") or []))
    if wrong:
        return Check("packages", False, f"{', '.join(wrong)}: run 'make setup'.")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "dvc", "mlflow"))
    return Check("packages", True, versions)


def git() -> Check:
    """Git is there and new enough for the dataset repository."""
    said = _output(["git", "--version"])
    number = GIT_VERSION.search(said)
    if number is None:
        return Check("git", False, "not found: install it (apt-get install git, brew install git).")
    if (int(number[1]), int(number[2])) < OLDEST_GIT:
        return Check("git", False, f"{number[0]} is too old: install 2.28 or newer.")
    return Check("git", True, number[0])


def label_studio(settings: Settings) -> Check:
    """Label Studio's own environment is there."""
    name = "Label Studio"
    if settings.label_studio_url:
        return Check(name, True, f"runs elsewhere: {settings.label_studio_url}")
    question = "from importlib.metadata import version; print(version('label-studio'))"
    said = _output([str(settings.label_studio_python), "-c", question])
    if said:
        return Check(name, True, said)
    return Check(
        name,
        False,
        f"{settings.label_studio_python} has no Label Studio: run 'make setup', or name its Python "
        "in CARPAL_LABEL_STUDIO_PYTHON.",
    )


def redis(settings: Settings) -> Check:
    """There is a Redis server to start."""
    if settings.redis_url:
        return Check("Redis", True, "runs elsewhere (CARPAL_REDIS_URL)")
    try:
        return Check("Redis", True, str(redis_server.find_redis_server()))
    except CarpalError as error:
        return Check("Redis", False, str(error))


def workspace(settings: Settings) -> Check:
    """The workspace, or the folder in which it will be made, can be written."""
    folder = _nearest(settings.home)
    if os.access(folder, os.W_OK | os.X_OK):
        return Check("workspace", True, f"{settings.home} can be written")
    return Check(
        "workspace",
        False,
        f"{folder} cannot be written: change its owner, or choose another with CARPAL_HOME.",
    )


def disk(settings: Settings) -> Check:
    """There is room for images, versions and models."""
    free = shutil.disk_usage(_nearest(settings.home)).free
    said = f"{free / 1024**3:.0f} GiB free at {settings.home}"
    if free >= LEAST_FREE_BYTES:
        return Check("disk", True, said)
    return Check("disk", False, f"{said}: make room, or choose another place with CARPAL_HOME.")


def ports(settings: Settings) -> list[Check]:
    """The ports are free, or used by this workspace's own stack."""
    try:
        stack = services(settings)
    except CarpalError as error:
        return [Check("ports", False, str(error))]
    running = processes.read_record(settings.home)
    checks = []
    for service in stack:
        if service.address is None:
            continue
        name, port = f"port of {service.name}", service.address[1]
        if service.name in running:
            checks.append(Check(name, True, f"{port}, running"))
            continue
        try:
            service.check_port()
            checks.append(Check(name, True, f"{port}, free"))
        except CarpalError as error:
            checks.append(Check(name, False, str(error)))
    return checks


def _unmet(requirements: list[str]) -> Iterator[str]:
    for text in requirements:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            yield f"{wanted.name} is missing"
            continue
        if not wanted.specifier.contains(installed, prereleases=True):
            yield f"{wanted.name} {installed} is not {wanted.specifier}"


def _output(argv: list[str]) -> str:
    """Returns what a program prints, or an empty text if it cannot be run or fails."""
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=PROGRAM_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _nearest(folder: Path) -> Path:
    """Returns the folder, or the nearest one above it that exists."""
    return next(place for place in (folder, *folder.parents) if place.exists())
