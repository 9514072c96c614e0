"""What the loop is doing, gathered in one place for `carpal status` and the status page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from data.domain import DatasetVersion, Split
from data.errors import NotFoundError, ServiceUnavailableError
from data.ledger.ledger import Ledger
from data.runs import Run, RunState
from workers import adjudication
from workers.adoption import not_adopted
from workers.assembly import retrain_policy, task
from workers.bootstrap import project_handle
from workers.policy import decide
from workers.promotion import CHAMPION
from workers.queues import depths
from workers.reconcile import REFUSED
from workers.rescoring import is_behind, open_tasks
from workers.reviewing import is_waiting
from workers.scheduling import loop_state
from workers.settings import Settings


@dataclass(frozen=True, slots=True)
class LoopOverview:
    """One look at the loop.

    Attributes:
        radiographs: Split -> radiographs in the pool.
        labelled: Radiographs with a live expert reading.
        waiting: Radiographs before the experts that nobody has read.
        new_labels: Radiographs whose label is new or changed since the last trained version.
        training: Why a training starts or does not; one sentence.
        versions: Dataset versions, oldest first.
        runs: Trainings, oldest first.
        champion: The serving model's version, or empty.
        queues: Queue -> waiting jobs; None: Redis does not answer.
        attention: What a person should look at; one sentence each.
    """

    radiographs: dict[str, int]
    labelled: int
    waiting: int
    new_labels: int
    training: str
    versions: list[DatasetVersion]
    runs: list[Run]
    champion: str
    queues: dict[str, int] | None
    attention: list[str]


def overview(settings: Settings, ledger: Ledger, now: datetime | None = None) -> LoopOverview:
    """Looks at the ledger and the queues; changes nothing."""
    state = loop_state(ledger, now or datetime.now(UTC))
    splits = dict.fromkeys((s.value for s in Split), 0)
    for radiograph in ledger.radiographs():
        splits[radiograph.split.value] += 1
    runs = sorted(ledger.runs(), key=lambda run: run.id)
    attention: list[str] = []
    try:
        queues = depths(settings)
    except ServiceUnavailableError as error:
        queues = None
        attention.append(f"{error} Start it with 'carpal up'; nothing is lost.")
    try:
        project = project_handle(ledger).id
        waiting = len(open_tasks(ledger, project))
        behind = is_behind(ledger, project)
        if behind:
            attention.append(f"Radiographs wait to be scored by {behind}.")
    except NotFoundError as error:
        waiting = 0
        attention.append(str(error))
    return LoopOverview(
        radiographs=splits,
        labelled=len({r.radiograph_id for r in ledger.readings() if r.annotation}),
        waiting=waiting,
        new_labels=state.new_labels,
        training=decide(retrain_policy(settings), state).reason,
        versions=ledger.versions(),
        runs=runs,
        champion=ledger.get_state(CHAMPION) or "",
        queues=queues,
        attention=attention
        + _waiting_for_review(settings, runs)
        + adjudication.attention(settings, ledger, task(settings))
        + _refused(ledger)
        + not_adopted(ledger)
        + _failed(runs),
    )


def _refused(ledger: Ledger) -> list[str]:
    refused = json.loads(ledger.get_state(REFUSED) or "{}")
    return [f"Annotation {name} was not taken: {why}" for name, why in sorted(refused.items())]


def _waiting_for_review(settings: Settings, runs: list[Run]) -> list[str]:
    return [
        f"Training {run.id} waits for a person: look at {settings.dataset}, branch "
        f"proposals/{run.version}, and merge it into {settings.dataset_branch}, or delete it."
        for run in runs
        if is_waiting(run)
    ]


def _failed(runs: list[Run]) -> list[str]:
    if runs and runs[-1].state is RunState.FAILED:
        return [f"Training {runs[-1].id} failed: {runs[-1].error}"]
    return []
