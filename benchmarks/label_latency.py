"""How long a label takes to be safe, and how long the threshold label takes to start a training.

Starts a workbench of its own on phantoms. Two measurements:

1. A webhook with a full annotation is posted to the backend; the clock stops when the backend has
   answered, which it does after the event is in the ledger. Baseline: `GET /health` on the same
   server, the bare cost of an HTTP request.
2. A label that reaches the threshold is submitted through Label Studio's API; the clock stops when
   the ledger says that the training runs. Baseline: the same with the webhook taken away, which
   leaves the timer.

    python benchmarks/label_latency.py --json FILE
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import requests
from report import Figure, arguments, write
from rich.console import Console

from carpal.filling import phantoms
from carpal.services import with_absolute_paths
from carpal.side_workspace import fill_with_truths, side_workspace
from carpal.simulated_reader import SimulatedReader
from carpal.up import running_stack
from data.ledger.ledger import Ledger
from data.runs import RunState
from labeling_config.client import LabelStudio
from workers.assembly import label_studio, open_ledger, task
from workers.bootstrap import connect
from workers.settings import Settings

WEBHOOKS = 1000
TRIALS = 5
LABELS_PER_TRIAL = 10
PHANTOMS = 160
TIMER_S = 30
GOAL_WEBHOOK_MS = 50.0
GOAL_START_S = 5.0
WAIT_S = 300.0


def main() -> None:
    """Runs both measurements and writes the figures."""
    parser = arguments(__doc__ or "")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        own = with_absolute_paths(Settings.load())
        settings = side_workspace(
            Path(folder),
            {"epochs": 1, "min_steps": 1, "image_size": 64},
            own,
            retrain_first_after=LABELS_PER_TRIAL,
            retrain_after=LABELS_PER_TRIAL,
            reconcile_interval_s=TIMER_S,
        )
        console = Console(stderr=True)
        truths = fill_with_truths(settings, phantoms(PHANTOMS, seed=7), console)
        with running_stack(settings, console):
            project = connect(settings)
            spec, client = task(settings), label_studio(settings)
            reader = SimulatedReader(client, project, spec, truths, error_sd=3.0)
            health, webhook = _webhook(settings, project)
            by_webhook = [_start(settings, reader) for _ in range(TRIALS)]
            _remove_webhooks(client, project)
            by_timer = [_start(settings, reader) for _ in range(TRIALS)]
    p99 = float(np.percentile(webhook, 99)) * 1000
    slowest = max(by_webhook)
    figures = [
        Figure(
            "label submitted to journalled, p99",
            "ms",
            p99,
            float(np.percentile(health, 99)) * 1000,
            "GET /health on the same server, p99",
            f"<= {GOAL_WEBHOOK_MS:g} ms",
            p99 <= GOAL_WEBHOOK_MS,
        ),
        Figure(
            "threshold label to training started, slowest",
            "s",
            slowest,
            max(by_timer),
            f"without webhook, timer every {TIMER_S} s, slowest",
            f"<= {GOAL_START_S:g} s",
            slowest <= GOAL_START_S,
        ),
    ]
    write(
        "label_latency",
        figures,
        options.json,
        webhook_ms={"p50": float(np.median(webhook)) * 1000, "p99": p99, "n": len(webhook)},
        training_start_s={"webhook": by_webhook, "timer": by_timer},
    )


def _webhook(settings: Settings, project: int) -> tuple[list[float], list[float]]:
    """Returns seconds of health requests and of webhook requests, alternating."""
    session = requests.Session()
    headers = {"X-Carpal-Webhook-Secret": settings.webhook_secret}
    body = {
        "action": "ANNOTATION_UPDATED",
        "annotation": {"id": 10**9, "task": 10**9, "result": [], "was_cancelled": False},
        "project": {"id": project},
        "task": {"id": 10**9, "data": {}},
    }
    health: list[float] = []
    webhook: list[float] = []
    for _ in range(WEBHOOKS):
        health.append(_timed(lambda: session.get(f"{settings.backend}/health", timeout=10)))
        webhook.append(
            _timed(
                lambda: session.post(
                    f"{settings.backend}/webhook", json=body, headers=headers, timeout=10
                )
            )
        )
    return health, webhook


def _timed(request: Callable[[], requests.Response]) -> float:
    began = time.perf_counter()
    request().raise_for_status()
    return time.perf_counter() - began


def _start(settings: Settings, reader: SimulatedReader) -> float:
    """Submits the labels of one training; returns seconds from the last one to its start."""
    with open_ledger(settings) as ledger:
        before = {run.id for run in ledger.runs()}
        reader.label_stream(LABELS_PER_TRIAL - 1, lambda: None)
        began = time.perf_counter()
        reader.label_stream(1, lambda: None)
        submitted = time.perf_counter()
        _wait(lambda: any(r.id not in before and r.started_at for r in ledger.runs()))
        started = time.perf_counter() - began
        assert started > submitted - began
        _wait(lambda: _idle(ledger))
    return started


def _idle(ledger: Ledger) -> bool:
    return all(run.state in (RunState.SUCCEEDED, RunState.FAILED) for run in ledger.runs())


def _wait(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > limit:
            raise TimeoutError("The training did not start or end in time.")
        time.sleep(0.01)


def _remove_webhooks(client: LabelStudio, project: int) -> None:
    for hook in client.webhooks(project):
        client.delete_webhook(int(hook["id"]))


if __name__ == "__main__":
    main()
