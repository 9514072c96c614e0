"""The queues on a real Redis: reconciles coalesce, heavy jobs are never doubled or blocked."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from redis import Redis
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from carpal.free_ports import free_port
from data.errors import ServiceUnavailableError
from tests.support import eventually
from workers.queues import (
    HEAVY,
    LIGHT,
    RECONCILE_FLAG,
    accept_reconcile,
    depths,
    is_alive,
    queue,
    request_reconcile,
    request_soon,
    submit_once,
)
from workers.settings import Settings

pytestmark = pytest.mark.service


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    return replace(Settings.load({"CARPAL_HOME": str(tmp_path)}), redis_url=redis_url)


def submit(settings: Settings) -> bool:
    return submit_once(settings, "workers.jobs.train", "train-r0001-1", "r0001", timeout_s=60)


def own_command_line() -> str:
    """The job of the last test."""
    return " ".join(psutil.Process().cmdline())


def test_a_redis_that_is_gone_is_said_without_numbers(
    settings: Settings,
) -> None:
    gone = replace(settings, redis_url=f"redis://:secret@127.0.0.1:{free_port()}/0")

    with pytest.raises(ServiceUnavailableError) as refused:
        depths(gone)

    address = gone.redis_url.partition("@")[2]
    assert str(refused.value) == f"Redis at {address} does not answer: Connection refused."


def test_a_password_behind_the_address_is_not_said_either(settings: Settings) -> None:
    gone = replace(settings, redis_url=f"redis://127.0.0.1:{free_port()}/0?password=hush-hush")

    with pytest.raises(ServiceUnavailableError) as refused:
        depths(gone)

    assert "hush-hush" not in str(refused.value)


def test_a_burst_of_hints_asks_for_one_reconcile(settings: Settings) -> None:
    assert request_reconcile(settings, "webhook")
    assert not request_reconcile(settings, "webhook")

    assert depths(settings) == {LIGHT: 1, HEAVY: 0}


def test_while_the_light_worker_is_gone_reconciles_do_not_pile_up(settings: Settings) -> None:
    request_reconcile(settings, "timer")
    Redis.from_url(settings.redis).delete(RECONCILE_FLAG)  # as it does by itself after a while

    assert not request_reconcile(settings, "timer")

    assert depths(settings)[LIGHT] == 1


def test_a_hint_during_a_reconcile_asks_for_another(settings: Settings) -> None:
    request_reconcile(settings, "webhook")
    queue(LIGHT, Redis.from_url(settings.redis)).empty()  # A worker has taken it.
    accept_reconcile(settings)

    assert request_reconcile(settings, "webhook")


def test_the_same_training_is_queued_once(settings: Settings) -> None:
    assert submit(settings)
    assert not submit(settings)

    assert depths(settings)[HEAVY] == 1


@pytest.mark.parametrize("ended", [JobStatus.FAILED, JobStatus.FINISHED, JobStatus.STOPPED])
def test_a_job_that_has_ended_can_be_queued_again(settings: Settings, ended: JobStatus) -> None:
    submit(settings)
    redis = Redis.from_url(settings.redis)
    job = Job.fetch("train-r0001-1", connection=redis, serializer=JSONSerializer)
    queue(HEAVY, redis).empty()
    job.save()
    job.set_status(ended)

    assert submit(settings)


def test_a_wiped_redis_knows_no_job(settings: Settings) -> None:
    submit(settings)
    redis = Redis.from_url(settings.redis)
    redis.flushall()

    assert not is_alive(redis, "train-r0001-1")
    assert submit(settings)


def test_a_redis_that_is_down_is_one_sentence_without_its_password(tmp_path: Path) -> None:
    port = free_port()
    settings = replace(
        Settings.load({"CARPAL_HOME": str(tmp_path)}),
        redis_url=f"redis://:hush-hush@127.0.0.1:{port}/0",
    )

    with pytest.raises(ServiceUnavailableError, match=f"127.0.0.1:{port}") as caught:
        request_reconcile(settings, "webhook")
    request_soon(settings, "webhook")
    accept_reconcile(settings)  # A reconcile that has begun goes on.

    assert "hush-hush" not in str(caught.value)


def test_the_heavy_worker_runs_a_job_in_a_process_that_shows_no_secret(
    settings: Settings,
) -> None:
    redis = Redis.from_url(settings.redis)
    job = queue(HEAVY, redis).enqueue(
        "tests.service.test_queues.own_command_line", job_id="where", result_ttl=60
    )
    environment = {"CARPAL_HOME": str(settings.home), "CARPAL_REDIS_URL": settings.redis}
    argv = [sys.executable, "-m", "workers.worker", HEAVY]

    with subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True) as worker:
        try:
            assert eventually(lambda: job.get_status() is JobStatus.FINISHED, 60)
        finally:
            worker.terminate()

    shown = str(job.return_value())
    assert "workers.horse" in shown
    assert settings.redis not in shown
