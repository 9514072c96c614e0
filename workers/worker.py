"""The RQ workers: `python -m workers.worker light` and `python -m workers.worker heavy`.

The light worker runs its short jobs in its own process, which has everything imported, so that a
label is acted on at once. The heavy worker gives each job a process of its own: no fork after
CUDA, and the GPU's memory is free when the job ends, however it ends.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys

from rq import Queue, SimpleWorker, SpawnWorker
from rq.job import Job
from rq.serializers import JSONSerializer

from data.errors import CarpalError
from workers.queues import HEAVY, LIGHT, connect, queue
from workers.settings import Settings

WORKER_TTL_S = 60
"""A worker that sends no sign of life for this long is taken for dead."""


log = logging.getLogger("carpal.worker")


class SeparateProcessWorker(SpawnWorker):
    """Runs each job in a fresh interpreter, `python -m workers.horse`.

    RQ's own SpawnWorker writes the connection, password included, on the child's command line,
    where every user of the machine can read it.
    """

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        """Starts the process for one job; called by RQ."""
        argv = [sys.executable, "-m", "workers.horse"]
        argv += [self.key, queue.name, job.id, self.execution.id if self.execution else ""]
        self._horse_pid = os.spawnv(os.P_NOWAIT, sys.executable, argv)
        log.info("Job %s runs in process %d.", job.id, self._horse_pid)


def run(name: str, settings: Settings) -> None:
    """Works on one queue until SIGTERM or SIGINT; the job at hand is finished first."""
    connection = connect(settings)
    kind = SeparateProcessWorker if name == HEAVY else SimpleWorker
    if name == LIGHT:
        importlib.import_module("workers.jobs")
    worker = kind(
        [queue(name, connection)],
        connection=connection,
        serializer=JSONSerializer,
        worker_ttl=WORKER_TTL_S,
        job_monitoring_interval=5,
        maintenance_interval=60,
    )
    worker.work(logging_level="INFO", with_scheduler=False)


def main() -> None:
    """Reads the queue's name from the command line."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if sys.argv[1:] not in ([LIGHT], [HEAVY]):
        sys.exit(f"usage: python -m workers.worker {LIGHT}|{HEAVY}")
    try:
        run(sys.argv[1], Settings.load())
    except CarpalError as error:
        sys.exit(f"carpal: {error}")


if __name__ == "__main__":
    main()
