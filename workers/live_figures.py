"""How the champion and the challenger fare on the labels that arrive.

Pure: from what the ledger holds to frozen dataclasses. A reader who kept the model's values was
led by them, so how many did is told with every figure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from data.domain import Target
from data.ledger.figures import HeldPrediction
from trainer.evaluation.bootstrap import Numbers, mean_interval
from trainer.evaluation.coverage import exact_interval

LAST = 200
"""Radiographs that a live figure is made of."""
FEW = 20
"""Below this many radiographs no verdict is given."""


@dataclass(frozen=True, slots=True)
class LiveCoverage:
    """How often intervals hold what experts say afterwards.

    Attributes:
        films: Radiographs.
        inside: Of these, those whose reading lies within the interval.
        share: `inside` / `films`, 0..1.
        ci95: Exact binomial 95 % interval.
        promised: What the intervals promise, 0..1.
    """

    films: int
    inside: int
    share: float
    ci95: tuple[float, float]
    promised: float

    @property
    def breaks_its_promise(self) -> bool:
        """Whether so few readings inside can hardly be chance."""
        return self.films >= FEW and self.ci95[1] < self.promised


@dataclass(frozen=True, slots=True)
class LiveFigures:
    """The champion against the experts who read after it.

    Attributes:
        films: Radiographs, the last ones that were read.
        error: Mean difference: of a number the absolute one, of a choice the share told otherwise.
        error_ci95: 95 % bootstrap interval over radiographs.
        kept: Readings that kept every value of the model.
        since: When the first of them was read, UTC.
        bias: Of a number, mean of prediction minus reading; of a choice 0.
        intervals: How the intervals of a number fare; None: of a choice.
    """

    films: int
    error: float
    error_ci95: tuple[float, float]
    kept: int
    since: datetime
    bias: float = 0.0
    intervals: LiveCoverage | None = None


@dataclass(frozen=True, slots=True)
class ShadowFigures:
    """The challenger against the champion on radiographs that were read after both.

    Attributes:
        challenger: Version of the model.
        films: Radiographs.
        champion_error: Mean difference of the champion; see `LiveFigures.error`.
        challenger_error: The challenger's.
        difference: Challenger minus champion; below 0: the challenger is nearer to the readers.
        ci95: Its 95 % paired bootstrap interval.
    """

    challenger: str
    films: int
    champion_error: float = math.nan
    challenger_error: float = math.nan
    difference: float = math.nan
    ci95: tuple[float, float] = (math.nan, math.nan)


def live_figures(held: Sequence[HeldPrediction], target: Target) -> LiveFigures | None:
    """Holds predictions against the readings that came after them.

    Args:
        held: Of one model, the newest reading first; those without the target do not count.
        target: What is compared.

    Returns:
        None where no reading can be held against a prediction.
    """
    judged = [one for one in held if _is_judged(one, target)]
    if not judged:
        return None
    error, is_number = _errors(judged, target), target.kind == "number"
    size = np.abs(error)
    return LiveFigures(
        films=len(judged),
        error=float(size.mean()),
        error_ci95=mean_interval(size),
        kept=sum(one.origin == "prediction" for one in judged),
        since=min(one.read_at for one in judged),
        bias=float(error.mean()) if is_number else 0.0,
        intervals=_coverage(judged, target) if is_number else None,
    )


def shadow_figures(
    champion: Sequence[HeldPrediction],
    challenger: Sequence[HeldPrediction],
    version: str,
    target: Target,
) -> ShadowFigures | None:
    """Compares two models on the same radiographs.

    Args:
        champion: What the champion said, with the readings after it.
        challenger: The same of the challenger.
        version: The challenger's version; empty: there is none.
        target: What is compared.

    Returns:
        None if there is no challenger.
    """
    if not version:
        return None
    ours = {one.prediction.radiograph_id: one for one in challenger if _is_judged(one, target)}
    both = [
        (ours[key], one)
        for one in champion
        if (key := one.prediction.radiograph_id) in ours and _is_judged(one, target)
    ]
    if not both:
        return ShadowFigures(version, 0)
    new = np.abs(_errors([new for new, _ in both], target))
    old = np.abs(_errors([old for _, old in both], target))
    return ShadowFigures(
        challenger=version,
        films=len(both),
        champion_error=float(old.mean()),
        challenger_error=float(new.mean()),
        difference=float((new - old).mean()),
        ci95=mean_interval(new - old),
    )


def _is_judged(one: HeldPrediction, target: Target) -> bool:
    told = one.prediction
    known = target.name in one.values and target.name in told.values
    return known and (target.kind == "choice" or target.name in told.intervals)


def _errors(held: Sequence[HeldPrediction], target: Target) -> Numbers:
    """Returns prediction minus reading of a number; of a choice 1 where they differ, else 0."""
    pairs = [(one.prediction.values[target.name], one.values[target.name]) for one in held]
    if target.kind == "choice":
        return np.asarray([told != read for told, read in pairs], np.float64)
    return np.asarray([float(told) - float(read) for told, read in pairs], np.float64)


def _coverage(held: Sequence[HeldPrediction], target: Target) -> LiveCoverage:
    read = np.asarray([float(one.values[target.name]) for one in held], np.float64)
    ends = np.asarray([one.prediction.intervals[target.name] for one in held], np.float64)
    inside = int(((ends[:, 0] <= read) & (read <= ends[:, 1])).sum())
    return LiveCoverage(
        films=len(held),
        inside=inside,
        share=inside / len(held),
        ci95=exact_interval(inside, len(held)),
        promised=float(np.mean([one.prediction.coverage for one in held])),
    )
