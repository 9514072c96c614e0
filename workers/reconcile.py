"""Asks Label Studio what is true and moves the ledger there.

Level-triggered: webhooks only say that it may be worth asking. Whatever was lost, doubled or
reordered, the next reconcile ends in the same state.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from data.domain import Reading, TaskSpec
from data.errors import InvalidInputError
from data.ledger.ledger import Ledger
from labeling_config.client import LabelStudio, TaskState
from labeling_config.codec import annotation_to_reading
from workers.adoption import Adopter
from workers.bootstrap import project_handle

CURSOR = "reconcile/cursor"
"""State key: newest change that was seen, by Label Studio's own clock (ISO 8601)."""
REFUSED = "reconcile/refused"
"""State key: JSON object, annotation -> why its reading could not be taken."""
OVERLAP = timedelta(seconds=30)
"""Changes this far before the cursor are asked for again: transactions may end out of order."""

FULL_AT = "reconcile/full_at"
"""State key: when every annotation was last looked at (ISO 8601)."""
FULL_EVERY = timedelta(minutes=15)
"""Heals whatever the reconciles in between may have missed."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class ReconcileReport:
    """What one reconcile did.

    Attributes:
        changed: Readings that are new, corrected, withdrawn or back.
        refused: Annotation (`<project>:<annotation>`) -> why its reading could not be taken.
        adopted: Label Studio tasks that belong to a radiograph since this reconcile.
        unknown_tasks: Label Studio tasks that belong to no radiograph of the pool.
    """

    changed: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    adopted: list[int] = field(default_factory=list)
    unknown_tasks: list[int] = field(default_factory=list)


def reconcile_labels(
    client: LabelStudio,
    ledger: Ledger,
    spec: TaskSpec,
    *,
    adopter: Adopter | None = None,
    full: bool = False,
) -> ReconcileReport:
    """Takes every changed annotation into the ledger and withdraws the deleted ones.

    Images that were uploaded in Label Studio are adopted first, whether somebody has read them or
    not.

    Args:
        client: Label Studio.
        ledger: Open ledger.
        spec: The task of the project.
        adopter: Takes uploads into the pool; None: their annotations are left alone.
        full: Look at every annotation and task, not only at those that changed since the last time.

    Raises:
        ServiceUnavailableError: Label Studio does not answer; the ledger is as it was.
    """
    project = project_handle(ledger).id
    text = ledger.get_state(CURSOR)
    since = datetime.fromisoformat(text) - OVERLAP if text and not full else None
    newest = text or ""
    report = ReconcileReport()
    readers = client.user_emails()
    readings: list[Reading] = []
    states = list(client.annotated_tasks(project, changed_since=since))
    left = 0
    if adopter is not None:
        unknown = [s for s in states if ledger.radiograph_of_task(project, s.task_id) is None]
        adoption = adopter.adopt(client, ledger, project, unknown, full=full)
        report.adopted, left = list(adoption.linked), adoption.left
    for state in states:
        readings += _readings_of(ledger, spec, project, state, readers, report)
        newest = max(newest, state.updated_at.isoformat())
    report.changed = ledger.record_readings(readings)
    gone = _gone(client, ledger, project)
    report.changed += ledger.withdraw_annotations([f"{project}:{number}" for number in gone])
    _remember(ledger, report, {r.annotation for r in readings}, full)
    if not left:  # Else the annotations of what is adopted next must come up again.
        ledger.set_state(CURSOR, newest)
    return report


def full_is_due(ledger: Ledger, now: datetime) -> bool:
    """Returns whether every annotation should be looked at again, and notes that it was."""
    text = ledger.get_state(FULL_AT)
    if text and now - datetime.fromisoformat(text) < FULL_EVERY:
        return False
    ledger.set_state(FULL_AT, now.isoformat())
    return True


def _gone(client: LabelStudio, ledger: Ledger, project: int) -> set[int]:
    """Returns the annotations that Label Studio has no longer.

    A list may lack what is there; only Label Studio's word on the annotation itself withdraws a
    label.
    """
    missing = ledger.live_annotations(project) - client.annotation_ids(project)
    return {number for number in missing if not client.annotation_exists(number)}


def _readings_of(
    ledger: Ledger,
    spec: TaskSpec,
    project: int,
    state: TaskState,
    readers: Mapping[int, str],
    report: ReconcileReport,
) -> list[Reading]:
    radiograph_id = ledger.radiograph_of_task(project, state.task_id)
    if radiograph_id is None:
        report.unknown_tasks.append(state.task_id)
        log.warning("Label Studio task %d belongs to no radiograph.", state.task_id)
        return []
    taken: list[Reading] = []
    for annotation in state.annotations:
        reader = readers.get(int(annotation["completed_by"] or 0), "unknown")
        try:
            taken.append(
                annotation_to_reading(
                    spec, annotation, project=project, radiograph_id=radiograph_id, reader=reader
                )
            )
        except InvalidInputError as error:
            why = f"{error} Correct it in task {state.task_id}."
            report.refused[f"{project}:{annotation['id']}"] = why
            log.warning("Annotation %s of task %d: %s", annotation["id"], state.task_id, error)
    return taken


def _remember(ledger: Ledger, report: ReconcileReport, taken: set[str], full: bool) -> None:
    before = {} if full else json.loads(ledger.get_state(REFUSED) or "{}")
    refused = {k: v for k, v in {**before, **report.refused}.items() if k not in taken}
    if refused != before or full:
        ledger.set_state(REFUSED, json.dumps(refused, sort_keys=True))
