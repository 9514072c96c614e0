"""Scores every open radiograph with the champion and hands the scores to Label Studio.

Predictions are kept in the ledger first, then written to Label Studio in chunks, in the order of
the task ids; how far that came is kept as well, so that a scoring that was killed goes on where
it stopped, and radiographs that arrive later are only added.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from data.domain import Prediction, TaskSpec
from data.ledger.ledger import Ledger
from labeling_config.client import LabelStudio
from labeling_config.codec import prediction_to_json, shows_standards
from workers.adjudication import adjudicators
from workers.assembly import image_limits, label_studio, mask_store, pool, registry, task
from workers.bootstrap import project_handle
from workers.promotion import CHAMPION, request_rescore
from workers.recorded import recorded_inputs
from workers.scoring import stream_scores
from workers.settings import Settings
from workers.standards import Standards
from workers.strips import StandardPictures, Strips, write_strips

if TYPE_CHECKING:
    from trainer.predictor import Predictor

WRITE_CHUNK = 200
"""Predictions in one request to Label Studio."""
PREDICT_BATCH = 64
STORE_CHUNK = 512
"""Predictions that are stored together."""
STRIPS_BUDGET_S = 120.0
"""Longest that one scoring writes reference cases (ten tasks a second); the next one goes on."""
SCORED = "scored"
"""State key: the model version that every open radiograph has been scored by."""

log = logging.getLogger(__name__)


def written_key(model_version: str) -> str:
    """Returns the state key of the last task whose prediction Label Studio has."""
    return f"written/{model_version}"


def open_tasks(ledger: Ledger, project: int) -> dict[int, str]:
    """Returns Label Studio task -> radiograph, for those without a live expert reading."""
    read = {reading.radiograph_id for reading in ledger.readings() if reading.annotation}
    return {t: r for t, r in sorted(ledger.task_links(project).items()) if r not in read}


def is_behind(ledger: Ledger, project: int) -> str:
    """Returns the champion's version if radiographs wait to be scored by it, else empty."""
    champion = ledger.get_state(CHAMPION) or ""
    if not champion:
        return ""
    if ledger.get_state(SCORED) != champion:
        return champion
    done = int(ledger.get_state(written_key(champion)) or 0)
    newest = max(open_tasks(ledger, project), default=0)
    return champion if newest > done else ""


def strips_key(model_version: str) -> str:
    """Returns the state key of the newest task beside whose film its reference cases stand."""
    return f"strips/{model_version}"


def rescore_if_behind(settings: Settings, ledger: Ledger) -> bool:
    """Queues a scoring if radiographs wait for it or for their reference cases.

    Returns:
        Whether it did.
    """
    project = project_handle(ledger).id
    model_version = is_behind(ledger, project) or _strips_behind(ledger, project)
    return bool(model_version) and request_rescore(settings, model_version)


def _strips_behind(ledger: Ledger, project: int) -> str:
    champion = ledger.get_state(CHAMPION) or ""
    done = int(ledger.get_state(strips_key(champion)) or 0)
    return champion if max(open_tasks(ledger, project), default=0) > done else ""


def write_again(ledger: Ledger, tasks: Collection[int]) -> None:
    """Sees to it that tasks which show a radiograph only now get their predictions, too.

    A task may be older than those that have theirs: its image could not be had at first. Label
    Studio keeps one prediction of a model, so writing the others behind it again changes nothing.
    """
    champion = ledger.get_state(CHAMPION)
    if not champion or not tasks:
        return
    before = min(tasks) - 1
    for key in (written_key(champion), strips_key(champion)):
        if before < int(ledger.get_state(key) or 0):
            ledger.set_state(key, str(before))


def rescore_pool(settings: Settings, ledger: Ledger, model_version: str) -> int:
    """Brings ledger and Label Studio up to date with the champion.

    Args:
        settings: Where everything is.
        ledger: Open ledger.
        model_version: The champion that was meant when this was asked for; if another has taken
            over since, nothing is done (its own scoring follows).

    Returns:
        Predictions written to Label Studio.
    """
    if ledger.get_state(CHAMPION) != model_version:
        return 0
    began = time.monotonic()
    spec, handle = task(settings), project_handle(ledger)
    done = int(ledger.get_state(written_key(model_version)) or 0)
    shown = open_tasks(ledger, handle.id)
    waiting = {t: r for t, r in shown.items() if t > done}
    # Of all that are open, because a held-out one takes its place among them, not among the new.
    predictions = predictions_of(settings, ledger, model_version, set(shown.values()))
    client = label_studio(settings)
    written = _write(client, ledger, spec, handle.id, model_version, waiting, predictions)
    client.set_model_version(
        handle,
        model_version,
        backend_user=settings.backend_user,
        backend_password=settings.backend_password,
    )
    ledger.set_state(SCORED, model_version)
    _note_seconds(ledger, model_version, time.monotonic() - began)
    # Last, because nobody has to wait for them.
    _write_strips(settings, client, ledger, spec, handle.id, model_version, shown, predictions)
    return written


def predictions_of(
    settings: Settings, ledger: Ledger, model_version: str, wanted: Collection[str]
) -> dict[str, Prediction]:
    """Returns what a model says of these radiographs; what it had not said yet is stored.

    It is stored part by part, so that a kill costs no more than `STORE_CHUNK` predictions.
    Unreadable images are left out and logged.
    """
    known = ledger.predictions(model_version)
    missing = sorted(set(wanted) - known.keys())
    if missing:
        from trainer.predictor import Predictor

        folder = registry(settings).fetch(model_version, settings.cache / "models")
        find_mask = mask_store(settings).find
        predictor = Predictor.load(folder, settings.device, find_mask=find_mask)
        for start in range(0, len(missing), STORE_CHUNK):
            chunk = missing[start : start + STORE_CHUNK]
            known |= _scored(settings, ledger, predictor, chunk)
    return {name: known[name] for name in wanted if name in known}


def _scored(
    settings: Settings, ledger: Ledger, predictor: Predictor, radiograph_ids: Collection[str]
) -> dict[str, Prediction]:
    """Predicts radiographs, stores what was said, and returns it."""
    spec, images, films = task(settings), pool(settings), ledger.radiographs_among(radiograph_ids)
    files = [(name, images.path(film)) for name, film in sorted(films.items())]
    limits = image_limits(settings)
    known = {name: recorded_inputs(spec, film) for name, film in films.items()}
    new, errors = predictor.predict_files(
        files, batch_size=PREDICT_BATCH, limits=limits, known=known
    )
    ledger.add_predictions(new)
    for name, error in errors.items():
        log.warning("Radiograph %s cannot be scored: %s", name[:12], error)
    return {prediction.radiograph_id: prediction for prediction in new}


def _write(
    client: LabelStudio,
    ledger: Ledger,
    spec: TaskSpec,
    project: int,
    model_version: str,
    waiting: dict[int, str],
    predictions: dict[str, Prediction],
) -> int:
    splits = {r.id: r.split for r in ledger.radiographs()}
    scores = stream_scores(predictions, splits)
    tasks = sorted(waiting)
    written = 0
    for start in range(0, len(tasks), WRITE_CHUNK):
        chunk = tasks[start : start + WRITE_CHUNK]
        rows = [
            (t, prediction_to_json(spec, replace(predictions[r], confidence=scores[r])))
            for t in chunk
            if (r := waiting[t]) in predictions
        ]
        if rows:
            client.write_predictions(project, rows)
        written += len(rows)
        ledger.set_state(written_key(model_version), str(chunk[-1]))
    return written


def _write_strips(
    settings: Settings,
    client: LabelStudio,
    ledger: Ledger,
    spec: TaskSpec,
    project: int,
    model_version: str,
    shown: dict[int, str],
    predictions: dict[str, Prediction],
) -> None:
    """Puts the reference cases beside the films, in the order in which they will be served.

    How far it came is forgotten first: a model may have served before, and what it left unfinished
    then, or another has changed since, is not done.
    """
    deadline = time.monotonic() + STRIPS_BUDGET_S
    ledger.set_state(strips_key(model_version), "0")
    left = False
    if shows_standards(spec):
        films = ledger.radiographs_among(predictions)
        scores = stream_scores(predictions, {name: film.split for name, film in films.items()})
        served = sorted((t for t, r in shown.items() if r in films), key=lambda t: scores[shown[t]])
        standards = Standards.load(ledger, spec, adjudicators(settings))
        changed = write_strips(
            client,
            project,
            Strips(spec, standards, StandardPictures(pool(settings)), settings.pages),
            {t: (films[shown[t]], predictions[shown[t]]) for t in served},
            lambda: ledger.get_state(CHAMPION) == model_version and time.monotonic() < deadline,
        )
        left = changed is None
    if not left:
        ledger.set_state(strips_key(model_version), str(max(shown, default=0)))


def _note_seconds(ledger: Ledger, model_version: str, seconds: float) -> None:
    for run in ledger.runs():
        if run.model_version == model_version and "rescore" not in run.seconds:
            ledger.update_run(run.id, seconds={**run.seconds, "rescore": round(seconds, 3)})
