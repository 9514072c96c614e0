"""Makes the index that similar films are found in: the features of the settled training films."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import ModelError, ServiceUnavailableError
from data.ledger.ledger import Ledger
from workers.adjudication import adjudicators
from workers.assembly import image_limits, pool, task
from workers.explaining_model import load_explaining
from workers.promotion import CHAMPION
from workers.queues import submit_once
from workers.settings import Settings
from workers.standards import Standards

if TYPE_CHECKING:
    from trainer.explanations.neighbours import NeighbourIndex

CHUNK = 512
"""Films after which the index is written, so that a kill costs no more than these."""
INDEX_TIMEOUT_S = 2 * 3600

log = logging.getLogger(__name__)


def index_folder(settings: Settings) -> Path:
    """Returns where the indices of a workspace are."""
    return settings.cache / "neighbours"


def request_index(settings: Settings, model_version: str) -> bool:
    """Queues the making of an index; returns whether a job was added.

    A Redis that is down is left to whoever asks next.
    """
    try:
        return submit_once(
            settings,
            "workers.jobs.index_similar",
            f"similar-{model_version}",
            model_version,
            timeout_s=INDEX_TIMEOUT_S,
        )
    except ServiceUnavailableError as error:
        log.warning("%s Similar cases are indexed another time.", error)
        return False


def make_index(settings: Settings, ledger: Ledger, model_version: str) -> int:
    """Brings the index of the champion up to date; indices of other models are removed.

    Args:
        settings: Where everything is.
        ledger: Open ledger.
        model_version: The champion that was meant; if another has taken over, nothing is done.

    Returns:
        Films whose features were computed now; unreadable ones are left out and logged.
    """
    from trainer.explanations.neighbours import NeighbourIndex

    if ledger.get_state(CHAMPION) != model_version:
        return 0
    folder = index_folder(settings)
    films = Standards.load(ledger, task(settings), adjudicators(settings)).training_films()
    index = _earlier(folder, model_version)
    known = set(index.ids) if index else set()
    wanted = [key for key in films if key in known]
    missing = [key for key in films if key not in known]
    if not missing:
        return 0
    predictor = load_explaining(settings, model_version)
    images, limits = pool(settings), image_limits(settings)
    for start in range(0, len(missing), CHUNK):
        wanted += missing[start : start + CHUNK]
        cases = [(key, images.path(films[key])) for key in wanted]
        index, errors = NeighbourIndex.build(predictor, cases, index, limits)
        index.save(folder)
        wanted = list(index.ids)
        for key, error in errors.items():
            log.warning("Radiograph %s is no similar case: %s", key[:12], error)
    _remove_others(folder, model_version)
    return len(set(wanted) - known)


def _earlier(folder: Path, model_version: str) -> NeighbourIndex | None:
    from trainer.explanations.neighbours import NeighbourIndex

    try:
        return NeighbourIndex.load(folder, model_version)
    except ModelError as error:
        log.warning("%s It is made anew.", error)
        return None


def _remove_others(folder: Path, model_version: str) -> None:
    from trainer.explanations.neighbours import index_file

    for file in folder.glob("neighbours-*.npz"):
        if file != index_file(folder, model_version):
            with suppress(OSError):  # Another worker may remove it.
                file.unlink()
