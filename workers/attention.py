"""What a person should look at, the most urgent first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from data.errors import NotFoundError
from data.ledger.ledger import Ledger
from data.runs import Run, RunState
from workers import adjudication
from workers.adoption import not_adopted
from workers.assembly import task
from workers.bootstrap import project_handle
from workers.drift_figures import Drift
from workers.live_figures import LiveFigures
from workers.loop_sentences import duration, percent
from workers.queue_state import Queues
from workers.reconcile import REFUSED
from workers.reviewing import is_waiting
from workers.settings import Settings

STUCK_AFTER_S = 900.0
"""A job that has waited for longer while its worker idles is not merely in line."""


class Urgency(IntEnum):
    """How long it can wait."""

    NOW = 0
    """The loop stands still, or readers are shown wrong things."""
    SOON = 1
    """A person's decision is waited for, or a label is not taken."""
    LATER = 2


@dataclass(frozen=True, slots=True)
class Notice:
    """What a person should look at.

    Attributes:
        sentence: One sentence.
        link: Page of ours (`/...`) or of Label Studio where it can be seen to; empty: none.
        urgency: How long it can wait.
    """

    sentence: str
    link: str = ""
    urgency: Urgency = Urgency.NOW


def most_urgent_first(notices: Sequence[Notice]) -> list[Notice]:
    """Returns them in the order in which a person should see to them."""
    return sorted(notices, key=lambda notice: notice.urgency)


def ledger_notices(settings: Settings, ledger: Ledger, runs: Sequence[Run]) -> list[Notice]:
    """Returns what the ledger shows.

    Args:
        settings: Where everything is.
        ledger: Open ledger.
        runs: Trainings, oldest first.
    """
    tasks, joined = _task_page(settings, ledger)
    notices = [*joined, *_failed(runs), *_for_review(settings, runs)]
    refused = json.loads(ledger.get_state(REFUSED) or "{}")
    for name, why in sorted(refused.items()):
        said = f"Annotation {name} was not taken: {why}"
        notices.append(Notice(said, tasks, Urgency.SOON))
    notices += [Notice(said, tasks, Urgency.SOON) for said in not_adopted(ledger)]
    disputes = adjudication.attention(settings, ledger, task(settings))
    return notices + [Notice(said, tasks, Urgency.SOON) for said in disputes]


def queue_notices(queues: Queues) -> list[Notice]:
    """Returns what is wrong with queues and workers."""
    notices = []
    for queue in queues.queues:
        idle = [w for w in queues.workers if queue.name in w.queues and not w.job]
        if not queues.serving(queue.name):
            said = f"No worker serves the {queue.name} queue: start it with 'carpal up'."
            notices.append(Notice(said, "/#queue"))
        elif queue.waiting and (queue.oldest_s or 0) > STUCK_AFTER_S and idle:
            said = (
                f"A job of the {queue.name} queue has waited for {duration(queue.oldest_s or 0)} "
                "although a worker is idle: look at the worker's log."
            )
            notices.append(Notice(said, "/#queue"))
    return notices


def live_notices(live: LiveFigures | None, drift: Drift | None) -> list[Notice]:
    """Returns what the labels and films that arrive show of the champion."""
    notices = []
    held = live.intervals if live is not None else None
    if held is not None and held.breaks_its_promise:
        low, high = held.ci95
        said = (
            f"The model's intervals hold {percent(held.share)} [{percent(low)}, {percent(high)}] "
            f"of the last {held.films} readings; {percent(held.promised)} are promised: do not "
            "rely on them, and train with the new labels."
        )
        notices.append(Notice(said, "/#live"))
    if drift is not None and drift.novelty and drift.novelty.verdict == "clearly different":
        said = "Many films scored lately are unlike those that the model learnt from."
        notices.append(Notice(said, "/#live", Urgency.LATER))
    return notices


def _task_page(settings: Settings, ledger: Ledger) -> tuple[str, list[Notice]]:
    """Returns the page of the tasks, or that there is none yet."""
    try:
        return f"{settings.label_studio}/projects/{project_handle(ledger).id}/data", []
    except NotFoundError as error:
        return settings.label_studio, [Notice(str(error))]


def _for_review(settings: Settings, runs: Sequence[Run]) -> list[Notice]:
    return [
        Notice(
            f"Training {run.id} waits for a person: look at {settings.dataset}, branch "
            f"proposals/{run.version}, and merge it into {settings.dataset_branch}, or delete it.",
            f"/versions/..{run.version}",
            Urgency.SOON,
        )
        for run in runs
        if is_waiting(run)
    ]


def _failed(runs: Sequence[Run]) -> list[Notice]:
    if runs and runs[-1].state is RunState.FAILED:
        return [Notice(f"Training {runs[-1].id} failed: {runs[-1].error}", "/#trainings")]
    return []
