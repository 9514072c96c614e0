"""Making a model champion, by the gate or by a person, and going back."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from data.errors import ServiceUnavailableError
from data.ledger.events import EventKind
from data.ledger.ledger import Ledger
from workers.queues import RESCORE_TIMEOUT_S, submit_once
from workers.settings import Settings

if TYPE_CHECKING:
    from trainer.registry.registry import Registry

CHAMPION = "champion"
"""State key: the model version that the label stream is scored by."""

log = logging.getLogger(__name__)


def promote(
    settings: Settings, ledger: Ledger, registry: Registry, model_version: str, reason: str
) -> None:
    """Makes a registered model champion; the backend serves it within two seconds.

    Raises:
        NotFoundError: No model of that version is registered.
    """
    registry.promote(model_version)
    ledger.append(EventKind.PROMOTED, model_version, {"reason": reason})
    _follow(settings, ledger, model_version)


def rollback(settings: Settings, ledger: Ledger, registry: Registry, reason: str) -> str:
    """Makes the previous champion champion again; returns its version.

    It is journalled first, so that one which was killed is finished when it is repeated, and does
    not go back once more.

    Raises:
        NotFoundError: There is no previous champion.
    """
    model_version = _rollback_under_way(ledger)
    if not model_version:
        model_version = registry.champion_before().model_version
        ledger.append(EventKind.ROLLED_BACK, model_version, {"reason": reason})
    registry.rollback(model_version)
    _follow(settings, ledger, model_version)
    return model_version


def request_rescore(settings: Settings, model_version: str) -> bool:
    """Queues the scoring of the open radiographs; a Redis that is down is left to the timer."""
    try:
        return submit_once(
            settings,
            "workers.jobs.rescore",
            f"rescore-{model_version}",
            model_version,
            timeout_s=RESCORE_TIMEOUT_S,
        )
    except ServiceUnavailableError as error:
        log.warning("%s The radiographs are scored at the next reconcile.", error)
        return False


def _rollback_under_way(ledger: Ledger) -> str:
    """Returns where a rollback that was killed has to lead; empty: none was."""
    changes = ledger.events(kinds=[EventKind.PROMOTED, EventKind.ROLLED_BACK])
    last = max(changes, key=lambda event: event.seq, default=None)
    if last is None or last.kind is not EventKind.ROLLED_BACK:
        return ""
    return "" if ledger.get_state(CHAMPION) == last.subject else last.subject


def _follow(settings: Settings, ledger: Ledger, model_version: str) -> None:
    ledger.set_state(CHAMPION, model_version)
    request_rescore(settings, model_version)
