"""The two queues, and what other packages may ask of them.

Redis may be lost at any moment: nothing here is the truth, and every job can be found again from
the ledger (`workers/reconcile.py`). Jobs are named by dotted path, so that whoever asks for one
imports no training code.
"""

from __future__ import annotations

import logging
import re

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer

from data.errors import ServiceUnavailableError
from workers.settings import Settings

LIGHT = "light"
"""Seconds at most, no torch: reconcile."""
HEAVY = "heavy"
"""Minutes to hours, the GPU: training and scoring; each job in a process of its own."""

RECONCILE_FLAG = "carpal:reconcile:queued"
RECONCILE_FLAG_S = 30
"""A reconcile that was queued and lost blocks the next one for this long at most."""
RECONCILE_TIMEOUT_S = 600
RESCORE_TIMEOUT_S = 4 * 3600
CONNECT_TIMEOUT_S = 0.2
_ERRNO = re.compile(r"^Error -?\d+ connecting to \S+\. ")
"""What redis-py puts before the cause, and our sentence says itself."""

log = logging.getLogger(__name__)


def connect(settings: Settings, timeout_s: float | None = None) -> Redis:
    """Returns a client; nothing is sent until its first use.

    Args:
        settings: Names the Redis.
        timeout_s: Limit for connecting and for each answer; None: wait (workers do).
    """
    return Redis.from_url(
        settings.redis, socket_connect_timeout=timeout_s, socket_timeout=timeout_s
    )


def queue(name: str, connection: Redis) -> Queue:
    """Returns the queue of that name (`LIGHT` or `HEAVY`)."""
    return Queue(name, connection=connection, serializer=JSONSerializer)


def request_reconcile(settings: Settings, reason: str) -> bool:
    """Queues a reconcile unless one is already waiting.

    Returns:
        Whether a job was added.

    Raises:
        ServiceUnavailableError: Redis does not answer; the timer asks again later.
    """
    with _redis(settings) as redis:
        try:
            if not redis.set(RECONCILE_FLAG, reason, nx=True, ex=RECONCILE_FLAG_S):
                return False
            light = queue(LIGHT, redis)
            if len(light):  # Its worker is busy or gone; what waits asks for all that is true then.
                return False
            light.enqueue(
                "workers.jobs.reconcile",
                job_timeout=RECONCILE_TIMEOUT_S,
                result_ttl=60,
                failure_ttl=24 * 3600,
                description=f"reconcile ({reason})",
            )
        except RedisError as error:
            raise unavailable(settings, error) from error
    return True


def request_soon(settings: Settings, reason: str) -> None:
    """Queues a reconcile if Redis answers, and leaves it to the timer if not."""
    try:
        request_reconcile(settings, reason)
    except ServiceUnavailableError as error:
        log.warning("%s The timer asks again.", error)


def accept_reconcile(settings: Settings) -> None:
    """Called as a reconcile begins: what happens from now on asks for a new one.

    A Redis that does not answer holds it up no longer: the flag falls by itself.
    """
    with _redis(settings) as redis:
        try:
            redis.delete(RECONCILE_FLAG)
        except RedisError as error:
            log.warning("%s", unavailable(settings, error))


def submit_once(settings: Settings, function: str, job_id: str, *args: str, timeout_s: int) -> bool:
    """Queues a heavy job unless the same one is waiting or under way.

    A job of that id that has ended in whatever way is replaced: whether it should run again was
    decided from the ledger.

    Returns:
        Whether a job was added.

    Raises:
        ServiceUnavailableError: Redis does not answer.
    """
    with _redis(settings) as redis:
        try:
            if is_alive(redis, job_id):
                return False
            _forget(redis, job_id)
            queue(HEAVY, redis).enqueue(
                function,
                *args,
                job_id=job_id,
                job_timeout=timeout_s,
                result_ttl=3600,
                failure_ttl=7 * 24 * 3600,
                description=f"{function.rpartition('.')[2]} {' '.join(args)}",
            )
        except RedisError as error:
            raise unavailable(settings, error) from error
    return True


def is_alive(redis: Redis, job_id: str) -> bool:
    """Returns whether the job waits in its queue or is being worked on."""
    try:
        job = Job.fetch(job_id, connection=redis, serializer=JSONSerializer)
    except NoSuchJobError:
        return False
    if job.is_queued:
        return job_id in queue(job.origin, redis).get_job_ids()
    return bool(job.is_started)


def depths(settings: Settings) -> dict[str, int]:
    """Returns queue name -> jobs waiting.

    Raises:
        ServiceUnavailableError: Redis does not answer.
    """
    with _redis(settings) as redis:
        try:
            return {name: len(queue(name, redis)) for name in (LIGHT, HEAVY)}
        except RedisError as error:
            raise unavailable(settings, error) from error


def _forget(redis: Redis, job_id: str) -> None:
    try:
        Job.fetch(job_id, connection=redis, serializer=JSONSerializer).delete()
    except NoSuchJobError:
        return


def _redis(settings: Settings) -> Redis:
    return connect(settings, timeout_s=CONNECT_TIMEOUT_S)


def unavailable(settings: Settings, error: RedisError) -> ServiceUnavailableError:
    """Returns what is raised when Redis does not answer, without its password."""
    where = settings.redis.rpartition("@")[2].partition("?")[0]  # Either may hold a password.
    cause = _ERRNO.sub("", str(error)).rstrip(".")
    return ServiceUnavailableError(f"Redis at {where} does not answer: {cause}.")
