"""What a webhook is worth: a hint that it may pay to ask Label Studio what is true.

Only what a hint needs is taken out of a webhook, by name: the action and the ids. Secrets that
Label Studio sends along (the project's `token`), texts and values are never copied, so they cannot
reach the journal or a log.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from data.errors import InvalidInputError, ServiceUnavailableError
from data.ledger.events import EventKind
from ml_backend.metrics import QUEUE_FAILURES, WEBHOOKS
from ml_backend.services import Services

START_TRAINING = "START_TRAINING"
LABEL_ACTIONS = frozenset(
    {
        "ANNOTATION_CREATED",
        "ANNOTATIONS_CREATED",
        "ANNOTATION_UPDATED",
        "ANNOTATIONS_DELETED",
        "TASKS_CREATED",
        "TASKS_DELETED",
    }
)
"""Actions after which labels may differ: tasks can be imported and deleted with annotations."""
MAX_IDS = 1000
"""Ids that a hint keeps of each kind; a hint need not be complete."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Noted:
    """What became of a webhook.

    Attributes:
        journalled: It is in the ledger; False: it says nothing about labels and was ignored.
        job: For a training that was asked for, the id that `/job_status` knows; else empty.
    """

    journalled: bool
    job: str = ""


def note(services: Services, action: str, body: Mapping[str, object]) -> Noted:
    """Journals a webhook, then asks for a reconcile.

    Args:
        services: Ledger and queue.
        action: `ANNOTATION_CREATED` and so on.
        body: The webhook's other fields.

    Raises:
        InvalidInputError: The webhook names no project.
        LedgerError, StorageError: The webhook could not be journalled.
    """
    if action != START_TRAINING and action not in LABEL_ACTIONS:
        services.counters.add(WEBHOOKS, "ignored")
        return Noted(journalled=False)
    project = _id(body.get("project"))
    if project is None:
        raise InvalidInputError("The webhook names no project.")
    if services.project() not in (None, project):
        log.warning("A webhook of project %d, which is not ours, was ignored.", project)
        services.counters.add(WEBHOOKS, "ignored")
        return Noted(journalled=False)
    return _journal(services, action, project, body)


def _journal(services: Services, action: str, project: int, body: Mapping[str, object]) -> Noted:
    asked = action == START_TRAINING
    seq = services.ledger.append(
        EventKind.TRAIN_REQUESTED if asked else EventKind.HINT,
        f"project:{project}",
        {
            "action": action,
            "project": project,
            "tasks": _ids(body, "task", "tasks"),
            "annotations": _ids(body, "annotation", "annotations"),
        },
    )
    services.counters.add(WEBHOOKS, "journalled")
    try:
        services.reconcile(action.lower())
    except ServiceUnavailableError as error:
        services.counters.add(QUEUE_FAILURES)
        log.warning("%s Event %d is journalled and left to the timer.", error, seq)
    return Noted(journalled=True, job=str(seq) if asked else "")


def _ids(body: Mapping[str, object], *keys: str) -> list[int]:
    """Returns the ids of the objects below some keys, which hold one object or a list of them."""
    found: list[int] = []
    for key in keys:
        value = body.get(key)
        for item in value if isinstance(value, list) else [value]:
            number = _id(item)
            if number is not None and number not in found[-1:]:
                found.append(number)
            if len(found) == MAX_IDS:
                return found
    return found


def _id(item: object) -> int | None:
    number = item.get("id") if isinstance(item, Mapping) else item
    return number if isinstance(number, int) and not isinstance(number, bool) else None
