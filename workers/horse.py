"""One heavy job in one process; started by `workers.worker.SeparateProcessWorker`.

`python -m workers.horse WORKER_KEY QUEUE JOB_ID EXECUTION_ID`
"""

from __future__ import annotations

import logging
import os
import sys

from rq import Worker
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer

from workers.queues import connect, queue
from workers.settings import Settings


def main(worker_key: str, queue_name: str, job_id: str, execution_id: str) -> None:
    """Takes the worker's place for one job."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    connection = connect(Settings.load())
    worker = Worker.find_by_key(worker_key, connection=connection, serializer=JSONSerializer)
    if worker is None:
        sys.exit(f"carpal: worker {worker_key} is gone; job {job_id} is left to the next one.")
    job = Job.fetch(job_id, connection=connection, serializer=JSONSerializer)
    worker.execution = Execution.fetch(execution_id, job.id, connection=connection)
    os.setpgrp()
    worker._is_horse = True
    worker.main_work_horse(job, queue(queue_name, connection))


if __name__ == "__main__":
    main(*sys.argv[1:5])
