"""Figures of merit of predicted choices, computed from plain arrays."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.evaluation.bootstrap import Numbers, mean_interval
from trainer.evaluation.ranking import auroc
from trainer.evaluation.scores import FEW, UNKNOWN, mean

LOWEST_PROBABILITY = 1e-4
"""A probability of 0 counts as this in the log loss."""

CONFIDENCE_BINS = 15
"""Bins of equal width of the calibration error, as in Guo et al. 2017."""

Chances = Sequence[Mapping[str, float]]
"""(n,) choice -> probability; empty where the model said that the target does not apply."""


@dataclass(frozen=True, slots=True)
class ConfidenceBin:
    """The cases whose answer was about equally sure.

    Attributes:
        cases: How many.
        confidence: Mean probability of the answer.
        accuracy: Share of right answers.
    """

    cases: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class ChoiceBandScore:
    """How well a choice is told within one band.

    Attributes:
        name: See `Band.name`.
        cases: Cases in it.
        accuracy: Share of right answers.
        accuracy_ci95: Its 95 % bootstrap interval.
        balanced_accuracy: As of `ChoiceScore`; this and the rest: not a number below `FEW` cases,
            or where all of them have one true choice.
        auroc: As of `ChoiceScore`.
        auroc_ci95: As of `ChoiceScore`.
        f1: As of `ChoiceScore`.
        ece: As of `ChoiceScore`.
        log_loss: As of `ChoiceScore`.
    """

    name: str
    cases: int
    accuracy: float
    accuracy_ci95: tuple[float, float]
    balanced_accuracy: float = math.nan
    auroc: float = math.nan
    auroc_ci95: tuple[float, float] = UNKNOWN
    f1: float = math.nan
    ece: float = math.nan
    log_loss: float = math.nan


@dataclass(frozen=True, slots=True)
class ChoiceScore:
    """How well a choice is told.

    Attributes:
        cases: Cases with a truth and a prediction.
        accuracy: Share of right answers.
        accuracy_ci95: Its 95 % bootstrap interval over cases.
        balanced_accuracy: Mean over the true choices of the share of right answers.
        baseline_accuracy: Share of the most frequent choice of the training labels.
        log_loss: Mean negative natural logarithm of the probability of the truth.
        auroc: Area under the ROC curve; see `ranking.auroc`.
        auroc_ci95: Its 95 % bootstrap interval over cases.
        f1: Mean of the F1 scores of the choices that are true or answered somewhere (macro).
        ece: Expected calibration error of the answers' probabilities (Guo et al. 2017, eq. 3).
        bands: The same by bands of the truth.
        log_loss_ci95: 95 % bootstrap interval of the log loss over cases.
        baseline_log_loss: Log loss of whoever always tells how frequent each choice is among the
            training labels.
    """

    cases: int
    accuracy: float
    accuracy_ci95: tuple[float, float]
    balanced_accuracy: float
    baseline_accuracy: float
    log_loss: float
    auroc: float = math.nan
    auroc_ci95: tuple[float, float] = UNKNOWN
    f1: float = math.nan
    ece: float = math.nan
    bands: tuple[ChoiceBandScore, ...] = ()
    log_loss_ci95: tuple[float, float] = UNKNOWN
    baseline_log_loss: float = math.nan


def score_choice(
    truth: Sequence[str], chances: Chances, labels: Sequence[str], choices: Sequence[str]
) -> ChoiceScore:
    """Scores predicted choices, without bands.

    Args:
        truth: (n,) true choices.
        chances: What the model said; that the target does not apply is a wrong answer.
        labels: The training labels.
        choices: All choices, in the task's order.
    """
    told = answers(chances)
    right = np.asarray([t == u for t, u in zip(truth, told, strict=True)], np.float64)
    losses = _log_losses(truth, chances)
    recalls = [
        mean(right[np.asarray([t == choice for t in truth], bool)]) for choice in sorted(set(truth))
    ]
    usual = Counter(labels).most_common(1)
    frequent = {choice: count / len(labels) for choice, count in Counter(labels).items()}
    area, area_interval = auroc(truth, _columns(chances, choices), choices)
    return ChoiceScore(
        cases=len(truth),
        accuracy=mean(right),
        accuracy_ci95=mean_interval(right),
        balanced_accuracy=mean(recalls),
        baseline_accuracy=mean([t == usual[0][0] for t in truth]) if usual else math.nan,
        log_loss=mean(losses),
        auroc=area,
        auroc_ci95=area_interval,
        f1=_f1(truth, told),
        ece=_calibration_error(reliability(truth, chances)),
        log_loss_ci95=mean_interval(losses),
        baseline_log_loss=mean(_log_losses(truth, [frequent] * len(truth))) if usual else math.nan,
    )


def score_choice_band(
    name: str, truth: Sequence[str], chances: Chances, choices: Sequence[str]
) -> ChoiceBandScore:
    """Scores the predicted choices of one band; arguments as of `score_choice`."""
    score = score_choice(truth, chances, (), choices)
    if score.cases < FEW or len(set(truth)) == 1:
        return ChoiceBandScore(name, score.cases, score.accuracy, score.accuracy_ci95)
    return ChoiceBandScore(
        name=name,
        cases=score.cases,
        accuracy=score.accuracy,
        accuracy_ci95=score.accuracy_ci95,
        balanced_accuracy=score.balanced_accuracy,
        auroc=score.auroc,
        auroc_ci95=score.auroc_ci95,
        f1=score.f1,
        ece=score.ece,
        log_loss=score.log_loss,
    )


def answers(chances: Chances) -> list[str]:
    """Returns the most probable choices; empty text where the target was said not to apply."""
    return [max(p, key=p.__getitem__) if p else "" for p in chances]


def reliability(
    truth: Sequence[str], chances: Chances, bins: int = CONFIDENCE_BINS
) -> list[ConfidenceBin]:
    """Groups the answers by their probability, in bins of equal width that include their upper end.

    Args:
        truth: (n,) true choices.
        chances: What the model said; cases without an answer are left out.
        bins: Bins from 0 to 1.

    Returns:
        The bins that hold a case, ascending.
    """
    said = [
        (max(p.values()), t == max(p, key=p.__getitem__))
        for t, p in zip(truth, chances, strict=True)
        if p
    ]
    confidence = np.asarray([p for p, _ in said], np.float64)
    right = np.asarray([r for _, r in said], bool)
    # Rounded, so that sums such as 0.1 + 0.2 fall on the edge that they mean.
    number = np.clip(np.ceil(np.round(confidence * bins, 9)) - 1, 0, bins - 1)
    return [
        ConfidenceBin(int(inside.sum()), mean(confidence[inside]), mean(right[inside]))
        for inside in (number == i for i in np.unique(number))
    ]


def _log_losses(truth: Sequence[str], chances: Chances) -> Numbers:
    """Returns (n,) negative natural logarithms of the probability of the truth."""
    of_truth = [p.get(t, 0.0) for t, p in zip(truth, chances, strict=True)]
    return -np.log(np.maximum(np.asarray(of_truth, np.float64), LOWEST_PROBABILITY))


def _calibration_error(bins: Sequence[ConfidenceBin]) -> float:
    cases = sum(b.cases for b in bins)
    if not cases:
        return math.nan
    return sum(b.cases / cases * abs(b.accuracy - b.confidence) for b in bins)


def _f1(truth: Sequence[str], told: Sequence[str]) -> float:
    scores = []
    for choice in sorted({*truth, *told} - {""}):
        hits = sum(t == u == choice for t, u in zip(truth, told, strict=True))
        scores.append(2 * hits / (truth.count(choice) + told.count(choice)))
    return mean(scores)


def _columns(chances: Chances, choices: Sequence[str]) -> Numbers:
    """Returns (n, choices) probabilities; 0 where the target was said not to apply."""
    rows = [[p.get(choice, 0.0) for choice in choices] for p in chances]
    return np.asarray(rows, np.float64).reshape(len(rows), len(choices))
