"""Fixtures that tests of several packages use, and how the suite is spread over processes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from carpal import redis_server
from carpal.free_ports import free_port
from data.errors import StackError
from tests.support import eventually, missing, with_new_ports
from workers.settings import PREFIX, Settings, ensure_secrets

TEST_DATA = "CARPAL_TEST_DATA"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Each process computes on its own core; must be set before torch is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keeps the tests of the whole stack in one process, and lets them begin first."""
    items.sort(key=lambda item: not _needs_stack(item))
    if config.pluginmanager.has_plugin("xdist"):
        for item in items:
            if _needs_stack(item):
                item.add_marker(pytest.mark.xdist_group("stack"))


def _needs_stack(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("stack", "browser"))


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the CARPAL_ variables of whoever runs the tests away from them."""
    for name in os.environ:
        if name.startswith(PREFIX) and name != TEST_DATA:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real radiographs (never part of the repository)."""
    folder = os.environ.get(TEST_DATA, "")
    if not folder:
        pytest.skip(f"{TEST_DATA} is not set: it names a folder with real radiographs")
    return Path(folder)


@pytest.fixture
def tmp_workspace(tmp_path: Path) -> Settings:
    """Settings of an empty workspace with secrets and free ports of its own."""
    home = tmp_path / "workspace"
    ensure_secrets(home)
    return with_new_ports(Settings.load({"CARPAL_HOME": str(home)}))


@pytest.fixture(scope="session")
def redis_server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis that runs as long as the tests; use `redis_url`, which empties it."""
    settings = Settings(
        home=tmp_path_factory.mktemp("redis"), redis_port=free_port(), redis_password="test"
    )
    redis_server.write_configuration(settings)
    try:
        argv = redis_server.argv(settings)
    except StackError as error:
        missing(str(error))
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as server:
        try:
            assert eventually(lambda: redis_server.answers(settings))
            yield settings.redis
        finally:
            server.terminate()


@pytest.fixture
def redis_url(redis_server_url: str) -> str:
    """The address of a real and empty Redis."""
    with Redis.from_url(redis_server_url) as client:
        client.flushall()
    return redis_server_url


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium for tests in a real browser."""
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if found is None:
        missing("There is no Chromium: apt-get install chromium")
    return found
