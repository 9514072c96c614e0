"""Figures of the loop: what each training made, and what a number of labels bought.

Pure: from what the ledger holds to frozen dataclasses.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from data.domain import DatasetVersion
from data.ledger.events import Event, EventKind
from data.runs import ACTIVE, Run

UNKNOWN = (math.nan, math.nan)
_EPOCH = re.compile(r"epoch (\d+) of (\d+)")
"""How the stage of a running training says how far it is."""


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """One trained model, as the gate saw it.

    Attributes:
        run: The training that made it.
        model_version: Its version.
        version: Dataset version that it learnt from.
        labels: Labels of that version; 0: not known.
        cases: Test cases that it was judged on.
        error: Mean error on them of the gate's target: of a number the absolute error in its
            unit, of a choice the share of wrong answers; not a number: unknown.
        error_ci95: Its 95 % interval.
        coverage: Share of the truths inside their interval, 0..1; not a number: unknown.
        coverage_ci95: Its 95 % interval.
        promised: Coverage that the intervals promise, 0..1.
        promoted: Whether the gate let it serve; None: it was not judged.
        reason: What the gate said.
        trained_at: When the training ended, UTC; None: it has not.
        promoted_at: When it last became champion, UTC; None: never.
        serves: It is the champion.
    """

    run: str
    model_version: str
    version: str
    labels: int
    cases: int
    error: float
    error_ci95: tuple[float, float]
    coverage: float
    coverage_ci95: tuple[float, float]
    promised: float
    promoted: bool | None
    reason: str
    trained_at: datetime | None
    promoted_at: datetime | None
    serves: bool


@dataclass(frozen=True, slots=True)
class BudgetPoint:
    """The error that a number of labels bought, on the frozen test split.

    Attributes:
        labels: Labels of the dataset version.
        error: See `ModelFigures.error`.
        ci95: Its 95 % interval.
        model_version: Which model.
    """

    labels: int
    error: float
    ci95: tuple[float, float]
    model_version: str


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """A training that is under way.

    Attributes:
        run: Its id.
        stage: What it does, in words.
        epoch: Epochs done; None: it does not train networks now.
        epochs: Epochs in all; None: the same.
        running_s: Seconds since it started; None: it waits to start.
        heard_s: Seconds since its last sign of life; None: it gave none yet.
    """

    run: str
    stage: str
    epoch: int | None
    epochs: int | None
    running_s: float | None
    heard_s: float | None


def model_figures(
    runs: Sequence[Run],
    versions: Sequence[DatasetVersion],
    turns: Sequence[Event],
    champion: str,
) -> tuple[ModelFigures, ...]:
    """Returns one entry for each training that made a model, oldest first.

    Args:
        runs: Trainings, oldest first.
        versions: Dataset versions.
        turns: Events of kind `PROMOTED` and `ROLLED_BACK`.
        champion: Version of the model that serves; empty: none.
    """
    labels = {version.name: version.labels for version in versions}
    took_over = {
        event.subject: event.at
        for event in turns
        if event.kind in (EventKind.PROMOTED, EventKind.ROLLED_BACK)
    }
    return tuple(
        ModelFigures(
            run=run.id,
            model_version=run.model_version,
            version=run.version,
            labels=labels.get(run.version, 0),
            cases=int(_number(run.metrics, "cases", 0)),
            error=_error(run.metrics)[0],
            error_ci95=_error(run.metrics)[1],
            coverage=_number(run.metrics, "coverage"),
            coverage_ci95=_pair(run.metrics, "coverage_ci95"),
            promised=_number(run.metrics, "promised_coverage"),
            promoted=run.promoted,
            reason=run.reason,
            trained_at=run.finished_at,
            promoted_at=took_over.get(run.model_version),
            serves=run.model_version == champion,
        )
        for run in runs
        if run.model_version
    )


def budget_curve(models: Sequence[ModelFigures]) -> tuple[BudgetPoint, ...]:
    """Returns what is known of error over labels, the fewest labels first."""
    known = [model for model in models if model.labels and math.isfinite(model.error)]
    known.sort(key=lambda model: (model.labels, model.run))
    return tuple(BudgetPoint(m.labels, m.error, m.error_ci95, m.model_version) for m in known)


def challenger_of(runs: Sequence[Run], champion: str) -> str:
    """Returns the newest model that did not pass the gate and is newer than the champion's.

    Args:
        runs: Trainings, oldest first.
        champion: Version of the model that serves; empty: none.
    """
    for run in reversed(runs):
        if not run.model_version:
            continue
        if run.model_version == champion:
            return ""
        if run.promoted is False:
            return run.model_version
    return ""


def training_progress(runs: Sequence[Run], now: datetime) -> TrainingProgress | None:
    """Returns how far the training under way is; None: there is none."""
    active = [run for run in runs if run.state in ACTIVE]
    if not active:
        return None
    run = active[-1]
    epochs = _EPOCH.search(run.stage)
    return TrainingProgress(
        run=run.id,
        stage=f"{run.state.value}: {run.stage}" if run.stage else run.state.value,
        epoch=int(epochs[1]) if epochs else None,
        epochs=int(epochs[2]) if epochs else None,
        running_s=_seconds(run.started_at, now),
        heard_s=_seconds(run.heartbeat_at, now),
    )


def _seconds(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else max(0.0, (now - moment.astimezone(UTC)).total_seconds())


def _error(metrics: Mapping[str, Any]) -> tuple[float, tuple[float, float]]:
    """Returns the mean error of the gate's target and its interval."""
    choice = (metrics.get("choices") or {}).get(metrics.get("primary"))
    if choice is None:
        return _number(metrics, "mae"), _pair(metrics, "mae_ci95")
    low, high = _pair(choice, "accuracy_ci95")
    return 1 - _number(choice, "accuracy"), (1 - high, 1 - low)


def _number(metrics: Mapping[str, Any], name: str, default: float = math.nan) -> float:
    """Returns a figure of a run; runs of earlier releases, or without test cases, lack some."""
    value = metrics.get(name)
    return float(value) if isinstance(value, int | float) else default


def _pair(metrics: Mapping[str, Any], name: str) -> tuple[float, float]:
    value = metrics.get(name)
    if not isinstance(value, list | tuple) or len(value) != 2 or None in value:
        return UNKNOWN
    return float(value[0]), float(value[1])
