"""Every job, each a table of contents: open the parts, call one function, return an id.

Jobs take ids, are safe to run twice, and survive being killed at any line.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from data.errors import CarpalError
from workers.adoption import Adopter
from workers.assembly import dataset, label_studio, open_ledger, task
from workers.queues import accept_reconcile, request_soon
from workers.reconcile import full_is_due, reconcile_labels
from workers.rescoring import rescore_if_behind, rescore_pool, write_again
from workers.reviewing import follow_reviews
from workers.scheduling import consider_training, recover_runs
from workers.settings import Settings
from workers.similar_index import make_index, request_index

log = logging.getLogger(__name__)


def reconcile() -> str:
    """Moves the ledger to what Label Studio says, then starts or repairs what follows from it.

    A Label Studio that does not answer holds up nothing but its own labels.

    Returns:
        Why a training started or did not.
    """
    settings = Settings.load()
    accept_reconcile(settings)
    with open_ledger(settings) as ledger:
        try:
            full = full_is_due(ledger, datetime.now(UTC))
            adopter = Adopter.of(settings)
            report = reconcile_labels(
                label_studio(settings), ledger, task(settings), adopter=adopter, full=full
            )
            write_again(ledger, report.adopted)
            rescore_if_behind(settings, ledger)
        except CarpalError as error:
            log.warning("Labels are as they were: %s", error)
        try:
            told = follow_reviews(settings, ledger)
        except CarpalError as error:
            told = [f"The proposal is as it was: {error}"]
        for sentence in [*told, *recover_runs(settings, ledger)]:
            log.warning("%s", sentence)
        decision = consider_training(settings, ledger)
    return decision.reason


def train(run_id: str) -> str:
    """Commits the dataset version, trains on it, evaluates, and puts the model to the gate.

    Returns:
        The run's id.
    """
    from workers.training import run_training

    settings = Settings.load()
    with open_ledger(settings) as ledger:
        run_training(settings, ledger, run_id)
    try:
        dataset(settings, task(settings)).tidy()
    except CarpalError as error:
        log.warning("The dataset repository is tidied up another time: %s", error)
    request_soon(settings, f"training {run_id} ended")
    return run_id


def rescore(model_version: str) -> str:
    """Predicts every open radiograph with the new champion and writes it back to Label Studio.

    Returns:
        The model's version.
    """
    settings = Settings.load()
    with open_ledger(settings) as ledger:
        rescore_pool(settings, ledger, model_version)
    request_index(settings, model_version)
    return model_version


def index_similar(model_version: str) -> str:
    """Computes the features that the serving model finds similar films by.

    Returns:
        The model's version.
    """
    settings = Settings.load()
    with open_ledger(settings) as ledger:
        make_index(settings, ledger, model_version)
    return model_version
