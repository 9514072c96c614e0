"""Puts the model of a training to the gate: judged once, and what was decided is made true.

The decision is kept in the ledger before anything follows from it. A run that is killed afterwards
would else hold its model, which is champion by then, against itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from data.domain import Example, Prediction, Split, TaskSpec
from data.errors import NotFoundError
from data.ledger.events import EventKind
from data.ledger.ledger import Ledger
from trainer.evaluation.evaluation import compare, evaluate
from trainer.evaluation.report import Subject, write_report
from workers.assembly import image_limits, mask_store, registry
from workers.evaluating import film_finder, predict, subject_of
from workers.gate import judge
from workers.promotion import promote
from workers.settings import Settings

if TYPE_CHECKING:
    from trainer.model.card import ModelCard
    from trainer.registry.registry import ModelRef, Registry


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trained model that may become champion.

    Attributes:
        run_id: The training that made it.
        spec: Its task.
        version: Name of the dataset version that it learnt from and is judged on.
        examples: Those of that version, of all splits.
        folder: The model folder; the report is written beside it.
    """

    run_id: str
    spec: TaskSpec
    version: str
    examples: Sequence[Example]
    folder: Path


def put_to_gate(settings: Settings, ledger: Ledger, candidate: Candidate) -> None:
    """Judges a model unless that was done before, and makes it champion if it passes.

    Raises:
        NotFoundError: The ledger does not know its run.
        ModelError: The model, or the champion, is damaged.
        ServiceUnavailableError: MLflow does not answer.
        StorageError: The report cannot be written.
    """
    run = ledger.run(candidate.run_id)
    if run is None:
        raise NotFoundError(f"There is no training {candidate.run_id}.")
    models = registry(settings)
    if run.promoted is None:
        _judge(settings, ledger, models, candidate)
        run = ledger.run(candidate.run_id) or run
    if all(e.payload.get("run") != run.id for e in ledger.events(kinds=[EventKind.GATE])):
        fact = {"run": run.id, "promote": run.promoted, "reason": run.reason}
        ledger.append(EventKind.GATE, run.model_version, fact)
    if run.promoted:
        promote(settings, ledger, models, run.model_version, run.reason)


def _judge(settings: Settings, ledger: Ledger, models: Registry, candidate: Candidate) -> None:
    """Holds a model against labels and champion, records it, and keeps the gate's decision."""
    spec, folder = candidate.spec, candidate.folder
    tests = [e for e in candidate.examples if e.split is Split.TEST]
    learnt = [e.values for e in candidate.examples if e.split is Split.TRAIN]
    card, said = _answers(settings, folder, tests)
    subject = subject_of(spec, card, candidate.version, said, tests, input_known=False)
    evaluation = evaluate(spec, said, subject.truths, learnt)
    champion = models.champion()
    if champion is not None and tests:
        subject = _held_against(settings, models, champion, subject, tests)
    decision = judge(spec.gate, evaluation, subject.comparison)
    film = film_finder(card, tests, image_limits(settings))
    page = write_report(folder.parent / "report", evaluation, subject, film)
    metrics = evaluation.to_json()
    tags = {"run": candidate.run_id, "version": candidate.version}
    models.record(folder, metrics, tags, page.parent)
    ledger.update_run(
        candidate.run_id,
        model_version=card.model_version,
        promoted=decision.promote,
        reason=decision.reason,
        metrics=metrics,
    )


def _held_against(
    settings: Settings,
    models: Registry,
    champion: ModelRef,
    subject: Subject,
    tests: Sequence[Example],
) -> Subject:
    """Returns the subject with its comparison with the champion, on the same cases."""
    folder = models.fetch(champion.model_version, settings.cache / "models")
    _, before = _answers(settings, folder, tests)
    comparison = compare(subject.spec, subject.predictions, before, subject.truths)
    return replace(subject, against=champion.model_version, comparison=comparison)


def _answers(
    settings: Settings, folder: Path, tests: Sequence[Example]
) -> tuple[ModelCard, dict[str, Prediction]]:
    """Returns a model's card and what it says as it will serve: told nothing beforehand."""
    from trainer.predictor import Predictor

    find_mask = mask_store(settings).find
    model = Predictor.load(folder, settings.device, find_mask=find_mask)
    return model.card, predict(model, tests, {}, limits=image_limits(settings))
