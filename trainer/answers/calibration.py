"""Intervals that keep their promise and probabilities that mean what they say.

Both are fitted on the calibration split, which trains nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.domain import Target, Value
from trainer.answers.grouping import Grouping
from trainer.answers.raw_outputs import Numbers, RawOutputs, log_softmax
from trainer.inputs.targets import counted
from trainer.options import TrainOptions

MIN_TEMPERATURE_CASES = 20
TEMPERATURE_RANGE = (0.25, 8.0)
MIN_BAND_CASES = 30
"""Calibration cases from which on a band gets an interval of its own."""

MIN_LINE_CASES = 30
LINE_FOLDS = 5
SLOPES = (0.8, 1.25)
"""Lowest and highest slope of a correction."""


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line that corrects a number: `intercept + slope * told`.

    Attributes:
        intercept: In the target's unit.
        slope: 1 changes nothing.
    """

    intercept: float = 0.0
    slope: float = 1.0

    def corrected(self, told: Numbers) -> Numbers:
        """Returns corrected numbers, (N,)."""
        return self.intercept + self.slope * told


@dataclass(frozen=True, slots=True)
class Calibration:
    """What turns raw outputs into intervals and probabilities.

    Attributes:
        coverage: Share of the truths that the intervals shall cover, 0..1.
        quantiles: Number target -> half width of the interval, in predicted spreads; infinite
            where there were too few cases: the interval is then the whole range of the target.
        band_quantiles: The same within bands of the primary target as the model tells it, by the
            band's name; bands with too few cases are absent, and `quantiles` holds for them.
        lines: Number target -> what corrects it; absent: nothing does.
        temperatures: Choice target -> what the logits are divided by; 1 changes nothing.
        cases: Target -> calibration cases that had a label for it.
        usual_distance: Per member, the distance from the films learnt that nearly all calibration
            films keep (see `trainer.answers.novelty`); None: not known.
        withheld: The same for films whose known input is not known, where a model is fed with
            one: it errs more on them. None: it makes no difference.
    """

    coverage: float
    quantiles: Mapping[str, float] = field(default_factory=dict)
    band_quantiles: Mapping[str, float] = field(default_factory=dict)
    lines: Mapping[str, Line] = field(default_factory=dict)
    temperatures: Mapping[str, float] = field(default_factory=dict)
    cases: Mapping[str, int] = field(default_factory=dict)
    usual_distance: tuple[float | None, ...] = ()
    withheld: Calibration | None = None

    def of(self, input_known: bool) -> Calibration:
        """Returns the one that holds for a film."""
        return self if input_known or self.withheld is None else self.withheld

    def to_json(self) -> dict[str, Any]:
        """Returns it for JSON, which has no infinity: null."""
        finite = {k: None if math.isinf(q) else q for k, q in self.quantiles.items()}
        withheld = None if self.withheld is None else self.withheld.to_json()
        return {**asdict(self), "quantiles": finite, "withheld": withheld}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Calibration:
        """Reads what `to_json` returned."""
        quantiles, withheld = content["quantiles"].items(), content.get("withheld")
        return cls(
            float(content["coverage"]),
            {k: math.inf if q is None else float(q) for k, q in quantiles},
            {k: float(q) for k, q in content["band_quantiles"].items()},
            {k: Line(**line) for k, line in content["lines"].items()},
            {k: float(t) for k, t in content["temperatures"].items()},
            {k: int(n) for k, n in content["cases"].items()},
            tuple(content["usual_distance"]),
            None if withheld is None else cls.from_json(withheld),
        )


def calibrate(
    targets: Sequence[Target],
    raw: RawOutputs,
    truths: Sequence[Mapping[str, Value]],
    options: TrainOptions,
    grouping: Grouping,
) -> Calibration:
    """Fits intervals, corrections and temperatures.

    Args:
        targets: The targets that the model tells.
        raw: Outputs for the calibration cases.
        truths: Their labels, in the same order.
        options: Coverage, and whether numbers are corrected.
        grouping: The bands that get an interval of their own, and which case is in which.
    """
    quantiles, bands, lines, temperatures, cases = {}, {}, {}, {}, {}
    for target in targets:
        labels = [counted(target, row) for row in truths]
        rows = [i for i, label in enumerate(labels) if label is not None]
        cases[target.name] = len(rows)
        known = [labels[i] for i in rows]
        if target.kind == "choice":
            indices = np.asarray([target.choices.index(str(v)) for v in known], np.int64)
            temperatures[target.name] = fit_temperature(raw.logits[target.name][rows], indices)
            continue
        truth = np.asarray(known, np.float64)
        told, spread = (part[rows] for part in raw.numbers[target.name])
        if options.bias_correction and len(rows) >= MIN_LINE_CASES:
            lines[target.name] = fit_line(told, truth)
            told = _cross_corrected(told, truth)
        scores = np.abs(truth - told) / spread
        quantiles[target.name] = conformal_quantile(scores, options.coverage)
        if target.name == grouping.target:
            line = lines.get(target.name, Line())
            names = grouping.of(line.corrected(raw.numbers[target.name][0]), raw)
            bands = _band_quantiles([names[i] for i in rows], scores, options.coverage)
    return Calibration(options.coverage, quantiles, bands, lines, temperatures, cases)


def fit_line(told: Numbers, truth: Numbers) -> Line:
    """Fits truth = intercept + slope * told by least squares; (N,) each, in the target's unit.

    The slope keeps within `SLOPES`: a model that has learnt nothing must not be blown up.
    """
    spread = float(np.var(told))
    together = float(np.mean((told - told.mean()) * (truth - truth.mean())))
    slope = min(max(together / spread, SLOPES[0]), SLOPES[1]) if spread > 0 else 1.0
    return Line(float(truth.mean() - slope * told.mean()), slope)


def _cross_corrected(told: Numbers, truth: Numbers) -> Numbers:
    """Corrects each case by the line of the others, so that intervals are not fitted to it."""
    corrected = np.empty_like(told)
    part = np.arange(len(told)) % LINE_FOLDS
    for fold in range(LINE_FOLDS):
        line = fit_line(told[part != fold], truth[part != fold])
        corrected[part == fold] = line.corrected(told[part == fold])
    return corrected


def _band_quantiles(names: Sequence[str], scores: Numbers, coverage: float) -> dict[str, float]:
    found = {}
    for name in sorted(set(names) - {""}):
        inside = scores[np.asarray([n == name for n in names], bool)]
        quantile = conformal_quantile(inside, coverage)
        if len(inside) >= MIN_BAND_CASES and math.isfinite(quantile):
            found[name] = quantile
    return found


def conformal_quantile(scores: NDArray[np.float64], coverage: float) -> float:
    """Returns the score that a new case exceeds with probability at most 1 - coverage.

    Split conformal prediction with normalised residuals: the ceil((n + 1) coverage)-th smallest of
    the n calibration scores |truth - centre| / spread (Lei et al. 2018, "Distribution-free
    predictive inference for regression", JASA 113, theorem 2.2 and section 5.2; the finite-sample
    correction as in Romano et al. 2019, "Conformalized quantile regression", eq. 8).

    Args:
        scores: (n,) at least 0.
        coverage: 0..1.

    Returns:
        The quantile; infinity if n is too small for the promise (n < coverage / (1 - coverage)).
    """
    # The subtraction keeps (9 + 1) * 0.9, which is 9.000000000000002 for some factors, at 9.
    rank = math.ceil((len(scores) + 1) * coverage - 1e-9)
    if rank > len(scores):
        return math.inf
    return float(np.sort(scores)[rank - 1])


def fit_temperature(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Finds the temperature that makes the labels most likely.

    Guo et al. 2017, "On calibration of modern neural networks", section 4.2. The likelihood is
    concave in 1 / temperature, so bisection on its slope finds the best.

    Args:
        logits: (n, choices).
        labels: (n,) index of the true choice.

    Returns:
        Temperature within `TEMPERATURE_RANGE`; 1 with fewer than `MIN_TEMPERATURE_CASES` cases.
    """
    if len(labels) < MIN_TEMPERATURE_CASES:
        return 1.0
    true = np.take_along_axis(logits, labels[:, None], axis=1)[:, 0]

    def slope(inverse: float) -> float:
        expected = (np.exp(log_softmax(logits * inverse)) * logits).sum(1)
        return float((true - expected).mean())

    low, high = 1 / TEMPERATURE_RANGE[1], 1 / TEMPERATURE_RANGE[0]
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return 2 / (low + high)
