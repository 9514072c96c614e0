"""What waits in the queues, and what each worker does now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker import BaseWorker

from workers.queues import CONNECT_TIMEOUT_S, HEAVY, LIGHT, connect, queue, unavailable
from workers.settings import Settings

BUSY = "busy"
"""State of a worker with a job, as RQ writes it."""


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker process.

    Attributes:
        name: As RQ calls it.
        queues: Names of the queues that it serves.
        job: What it works on, such as `train r0003`; empty: it waits for work.
        job_s: Seconds since that job began; None: it has none, or one that does not say.
        heard_s: Seconds since its last sign of life.
    """

    name: str
    queues: tuple[str, ...]
    job: str = ""
    job_s: float | None = None
    heard_s: float = 0.0


@dataclass(frozen=True, slots=True)
class QueueState:
    """One queue.

    Attributes:
        name: `light` or `heavy`.
        waiting: Jobs that no worker has begun.
        oldest_s: Seconds that the oldest of these has waited; None: nothing waits.
        next_job: What the oldest one is, such as `train r0003`; empty: nothing waits.
    """

    name: str
    waiting: int
    oldest_s: float | None = None
    next_job: str = ""


@dataclass(frozen=True, slots=True)
class Queues:
    """Both queues and all workers.

    Attributes:
        queues: `light` and `heavy`.
        workers: Those that live, sorted by queue and name.
    """

    queues: tuple[QueueState, ...]
    workers: tuple[WorkerState, ...]

    def serving(self, name: str) -> int:
        """Counts the workers that serve a queue."""
        return sum(name in worker.queues for worker in self.workers)

    def depths(self) -> dict[str, int]:
        """Returns queue name -> jobs waiting."""
        return {state.name: state.waiting for state in self.queues}


def queue_state(settings: Settings, now: datetime | None = None) -> Queues:
    """Looks at Redis once.

    Raises:
        ServiceUnavailableError: Redis does not answer.
    """
    now = now or datetime.now(UTC)
    with connect(settings, CONNECT_TIMEOUT_S) as redis:
        try:
            found = tuple(_queue(queue(name, redis), now) for name in (LIGHT, HEAVY))
            workers = [_worker(w, now) for w in Worker.all(redis, serializer=JSONSerializer)]
        except RedisError as error:
            raise unavailable(settings, error) from error
    return Queues(found, tuple(sorted(workers, key=lambda w: (w.queues[::-1], w.name))))


def _queue(waiting: Queue, now: datetime) -> QueueState:
    ids = waiting.get_job_ids()
    job = _job(waiting.connection, ids[0]) if ids else None
    if job is None:
        return QueueState(waiting.name, len(ids))
    return QueueState(waiting.name, len(ids), _since(job.enqueued_at, now), job.description or "")


def _worker(worker: BaseWorker, now: datetime) -> WorkerState:
    job_id = worker.get_current_job_id() if worker.get_state() == BUSY else None
    job = _job(worker.connection, job_id) if job_id else None
    return WorkerState(
        name=worker.name,
        queues=tuple(worker.queue_names()),
        job=(job.description or "") if job else "",
        job_s=_since(job.started_at, now) if job else None,
        heard_s=_since(worker.last_heartbeat, now) or 0.0,
    )


def _job(redis: Redis, job_id: str) -> Job | None:
    try:
        return Job.fetch(job_id, connection=redis, serializer=JSONSerializer)
    except NoSuchJobError:
        return None


def _since(moment: datetime | None, now: datetime) -> float | None:
    """Returns seconds, not below 0: clocks of several machines differ."""
    if moment is None:
        return None
    known = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (now - known).total_seconds())
