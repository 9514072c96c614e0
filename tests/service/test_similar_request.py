"""The index of similar films is asked for by a name that workers find, once."""

from __future__ import annotations

from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer

from workers import jobs
from workers.queues import HEAVY, queue
from workers.settings import Settings
from workers.similar_index import request_index


def test_an_index_is_queued_once_under_a_name_that_workers_find(redis_url: str) -> None:
    settings = Settings(redis_url=redis_url)

    asked = [request_index(settings, "v0001-00000001") for _ in range(2)]

    assert asked == [True, False]
    with Redis.from_url(redis_url) as redis:
        (job_id,) = queue(HEAVY, redis).get_job_ids()
        job = Job.fetch(job_id, connection=redis, serializer=JSONSerializer)
    assert job.func is jobs.index_similar
    assert list(job.args) == ["v0001-00000001"]


def test_a_queue_that_is_down_is_asked_another_time() -> None:
    assert not request_index(Settings(redis_url="redis://127.0.0.1:1/0"), "v0001-00000001")
