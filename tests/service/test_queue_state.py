"""What waits and who works, on a real Redis."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis
from rq import Worker
from rq.job import Job
from rq.serializers import JSONSerializer

from carpal.free_ports import free_port
from data.errors import ServiceUnavailableError
from workers.queue_state import QueueState, queue_state
from workers.queues import HEAVY, LIGHT, queue, submit_once
from workers.settings import Settings

pytestmark = pytest.mark.service


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    return replace(Settings.load({"CARPAL_HOME": str(tmp_path)}), redis_url=redis_url)


def submit(settings: Settings, run: str) -> None:
    submit_once(settings, "workers.jobs.train", f"train-{run}-1", run, timeout_s=60)


def test_idle_queues_are_empty_and_nobody_works(settings: Settings) -> None:
    state = queue_state(settings)

    assert state.queues == (QueueState(LIGHT, 0), QueueState(HEAVY, 0))
    assert state.workers == ()
    assert state.serving(HEAVY) == 0


def test_waiting_jobs_are_told_with_the_age_of_the_oldest(settings: Settings) -> None:
    submit(settings, "r0001")
    submit(settings, "r0002")

    state = queue_state(settings, datetime.now(UTC) + timedelta(minutes=5))

    heavy = state.queues[1]
    assert (heavy.waiting, heavy.next_job) == (2, "train r0001")
    assert heavy.oldest_s == pytest.approx(300, abs=30)
    assert state.depths() == {LIGHT: 0, HEAVY: 2}


def test_workers_are_told_with_what_they_do(settings: Settings) -> None:
    submit(settings, "r0001")
    with Redis.from_url(settings.redis_url) as redis:
        busy, idle = (
            Worker([queue(name, redis)], connection=redis, serializer=JSONSerializer)
            for name in (HEAVY, LIGHT)
        )
        busy.register_birth()
        idle.register_birth()
        job = Job.fetch("train-r0001-1", connection=redis, serializer=JSONSerializer)
        busy.set_current_job_id(job.id)
        busy.set_state("busy")

        state = queue_state(settings)

        assert [(worker.queues, worker.job) for worker in state.workers] == [
            ((HEAVY,), "train r0001"),
            ((LIGHT,), ""),
        ]
        assert state.serving(HEAVY) == 1
        assert all(worker.heard_s < 60 for worker in state.workers)
        busy.register_death()
        idle.register_death()


def test_a_redis_that_is_gone_is_said_without_its_password(settings: Settings) -> None:
    gone = replace(settings, redis_url=f"redis://:secret@127.0.0.1:{free_port()}/0")

    with pytest.raises(ServiceUnavailableError, match="does not answer") as refused:
        queue_state(gone)

    assert "secret" not in str(refused.value)
