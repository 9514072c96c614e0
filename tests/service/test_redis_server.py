"""The stack's own Redis, run for real."""

from __future__ import annotations

import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError

from carpal import redis_server
from carpal.free_ports import free_port
from workers.settings import Settings

pytestmark = pytest.mark.service


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, redis_port=free_port(), redis_password="only for this test")


@contextmanager
def running(settings: Settings) -> Iterator[None]:
    redis_server.write_configuration(settings)
    server = subprocess.Popen(redis_server.argv(settings), stdout=subprocess.DEVNULL)
    end = time.monotonic() + 10
    try:
        while not redis_server.answers(settings) and time.monotonic() < end:
            time.sleep(0.02)
        yield
    finally:
        server.terminate()
        server.wait(timeout=10)


def test_it_answers_with_the_workspaces_password(settings: Settings) -> None:
    with running(settings):
        assert redis_server.answers(settings)


def test_it_does_not_answer_with_another_password(settings: Settings) -> None:
    with running(settings):
        assert not redis_server.answers(replace(settings, redis_password="wrong"))


def test_it_refuses_whoever_has_no_password(settings: Settings) -> None:
    with (
        running(settings),
        Redis(port=settings.redis_port) as client,
        pytest.raises(AuthenticationError),
    ):
        client.ping()


def test_a_redis_that_does_not_run_does_not_answer(settings: Settings) -> None:
    assert not redis_server.answers(settings)


def test_it_writes_no_queue_to_disk(settings: Settings) -> None:
    with running(settings), Redis(port=settings.redis_port, password="only for this test") as redis:
        redis.set("key", "value")
        assert redis.config_get("save") == {"save": ""}
        assert redis.config_get("appendonly") == {"appendonly": "no"}
    assert [path.name for path in (settings.home / "redis").iterdir()] == ["redis.conf"]


def test_a_full_queue_is_refused_rather_than_silently_shortened(settings: Settings) -> None:
    with running(settings), Redis(port=settings.redis_port, password="only for this test") as redis:
        assert redis.config_get("maxmemory*")["maxmemory-policy"] == "noeviction"


def test_the_password_is_readable_by_its_owner_alone_and_not_on_the_command_line(
    settings: Settings,
) -> None:
    redis_server.write_configuration(settings)
    path = redis_server.configuration_file(settings)
    assert settings.redis_password in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert settings.redis_password not in " ".join(redis_server.argv(settings))


def test_a_workspace_with_spaces_and_quotes_in_its_name_works(settings: Settings) -> None:
    home = settings.home / 'Lena\'s "new" workspace'
    with running(replace(settings, home=home)):
        assert redis_server.answers(settings)
