"""The loop on a real stack: labels become a version, a model, and new predictions.

The tests of this file share one workbench and tell one story, in order.
"""

from __future__ import annotations

import csv
import io
import subprocess
from typing import Any

import psutil
import pytest
import requests

from data.ledger.events import EventKind
from data.runs import Run, RunState
from tests.stack.conftest import FIRST_LABELS, LATER_LABELS, Workbench
from workers.bootstrap import project_handle
from workers.promotion import CHAMPION
from workers.queues import connect as connect_redis
from workers.rescoring import SCORED, open_tasks

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]


def succeeded(workbench: Workbench, run_id: str) -> Run:
    """Waits until a run has succeeded and its champion has scored the pool; returns it."""

    def ended() -> bool:
        run = run_that_did_not_fail(workbench, run_id)
        return run is not None and run.state is RunState.SUCCEEDED

    workbench.wait(ended, f"{run_id} succeeded")
    workbench.wait(
        lambda: workbench.ledger.get_state(SCORED) == workbench.ledger.get_state(CHAMPION),
        "the pool is scored by the champion",
    )
    run = workbench.ledger.run(run_id)
    assert run is not None
    return run


def run_that_did_not_fail(workbench: Workbench, run_id: str) -> Run | None:
    run = workbench.ledger.run(run_id)
    if run is not None and run.state is RunState.FAILED:
        pytest.fail(f"{run_id} failed: {run.error}")
    return run


def labels_csv(workbench: Workbench, version: str) -> list[dict[str, str]]:
    """Reads `labels.csv` as any git user would."""
    shown = subprocess.run(
        ["git", "show", f"{version}:labels.csv"],
        cwd=workbench.settings.dataset,
        check=True,
        capture_output=True,
        text=True,
    )
    return list(csv.DictReader(io.StringIO(shown.stdout)))


def predictions(workbench: Workbench, task_id: int) -> list[dict[str, Any]]:
    """Returns the predictions that Label Studio has of a task."""
    client = workbench.reader.client
    return list(client.request("GET", "/api/predictions", params={"task": task_id}))


def processes(words: str) -> list[psutil.Process]:
    """Returns the processes of the stack whose command line holds the words."""
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if words in f" {' '.join(process.cmdline())} "
    ]


def readable_tasks(workbench: Workbench) -> list[int]:
    tasks = open_tasks(workbench.ledger, workbench.project)
    return [task for task in tasks if task != workbench.spoilt]


def running_stage(workbench: Workbench, run_id: str) -> str:
    run = run_that_did_not_fail(workbench, run_id)
    return run.stage if run is not None and run.state is RunState.RUNNING else ""


def test_without_a_model_nothing_is_predicted(workbench: Workbench) -> None:
    task = next(iter(open_tasks(workbench.ledger, workbench.project)))

    assert workbench.ask_backend([task]) == [[]]
    assert predictions(workbench, task) == []


def test_the_first_labels_make_the_first_champion(workbench: Workbench) -> None:
    tasks = list(open_tasks(workbench.ledger, workbench.project).items())[:FIRST_LABELS]

    workbench.reader.label_tasks(tasks, lambda: None)
    run = succeeded(workbench, "r0001")

    expert = [r for r in labels_csv(workbench, run.version) if r["reference"] != "true"]
    assert len(expert) == FIRST_LABELS
    assert run.promoted, run.reason
    assert run.metrics["mae"] < run.metrics["baseline_mae"]


def test_every_open_task_carries_a_prediction_of_the_champion(workbench: Workbench) -> None:
    champion = workbench.ledger.get_state(CHAMPION)

    for task in readable_tasks(workbench):
        assert champion in {p["model_version"] for p in predictions(workbench, task)}


def test_an_image_that_became_unreadable_costs_only_its_own_prediction(
    workbench: Workbench,
) -> None:
    assert predictions(workbench, workbench.spoilt) == []

    (answer,) = workbench.ask_backend([workbench.spoilt])

    assert "result" not in answer
    assert answer["error"].endswith(".")


def test_the_stream_serves_the_least_sure_radiograph_next(workbench: Workbench) -> None:
    client = workbench.reader.client
    champion = workbench.ledger.get_state(CHAMPION)
    scores = {
        task: next(
            p["score"] for p in predictions(workbench, task) if p["model_version"] == champion
        )
        for task in readable_tasks(workbench)
    }

    served = client.next_task(workbench.project)

    assert served is not None
    assert scores[served.task_id] == pytest.approx(min(scores.values()))


def test_a_lost_redis_loses_no_label_and_no_training(workbench: Workbench) -> None:
    workbench.reader.label_stream(LATER_LABELS, lambda: None)
    connect_redis(workbench.settings).flushall()

    run = succeeded(workbench, "r0002")

    labels = labels_csv(workbench, run.version)
    assert sum(r["reference"] != "true" for r in labels) == FIRST_LABELS + LATER_LABELS


def test_a_forged_webhook_is_refused_and_changes_nothing(workbench: Workbench) -> None:
    before = workbench.ledger.head()

    answer = requests.post(
        f"{workbench.settings.backend}/webhook",
        json={"action": "ANNOTATION_CREATED", "annotation": {"id": 1, "task": 1}},
        headers={"X-Carpal-Webhook-Secret": "guess"},
        timeout=10,
    )

    assert answer.status_code == 401
    kinds = [event.kind for event in workbench.ledger.events(after=before[0])]
    assert EventKind.HINT not in kinds


def test_the_button_start_training_trains(workbench: Workbench) -> None:
    workbench.reader.label_stream(2, lambda: None)

    backend = project_handle(workbench.ledger).backend_id
    workbench.reader.client.request("POST", f"/api/ml/{backend}/train")
    run = succeeded(workbench, "r0003")

    assert run.trigger == "request"


def test_a_killed_training_is_finished_by_another_attempt(workbench: Workbench) -> None:
    workbench.reader.label_stream(LATER_LABELS, lambda: None)
    workbench.wait(lambda: running_stage(workbench, "r0004").startswith("train"), "r0004 trains")

    for process in processes(" workers.horse "):
        process.kill()
    run = succeeded(workbench, "r0004")

    assert run.attempt == 2
    labels = labels_csv(workbench, run.version)
    assert sum(r["reference"] != "true" for r in labels) == FIRST_LABELS + 2 * LATER_LABELS + 2


def test_a_label_submitted_while_the_backend_is_dead_is_not_lost(workbench: Workbench) -> None:
    before = len(workbench.ledger.readings())
    state = workbench.reader.client.next_task(workbench.project)
    assert state is not None

    for process in processes(" ml_backend.server:create_server() "):
        process.kill()
    workbench.reader.label_tasks(
        [(state.task_id, workbench.radiograph_of(state.task_id))], lambda: None
    )

    workbench.wait(lambda: len(workbench.ledger.readings()) == before + 1, "the label is known")


def test_the_ledger_is_whole(workbench: Workbench) -> None:
    assert workbench.ledger.verify_chain() > 0
