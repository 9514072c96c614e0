"""Intervals that keep their promise and probabilities that mean what they say.

Both are fitted on the calibration split, which trains nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.domain import Target, Value
from trainer.raw_outputs import RawOutputs, log_softmax
from trainer.targets import counted

MIN_TEMPERATURE_CASES = 20
TEMPERATURE_RANGE = (0.25, 8.0)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What turns raw outputs into intervals and probabilities.

    Attributes:
        coverage: Share of the truths that the intervals shall cover, 0..1.
        quantiles: Number target -> half width of the interval, in predicted spreads; infinite
            where there were too few cases: the interval is then the whole range of the target.
        temperatures: Choice target -> what the logits are divided by; 1 changes nothing.
        cases: Target -> calibration cases that had a label for it.
    """

    coverage: float
    quantiles: Mapping[str, float] = field(default_factory=dict)
    temperatures: Mapping[str, float] = field(default_factory=dict)
    cases: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Returns it for JSON, which has no infinity: null."""
        finite = {k: None if math.isinf(q) else q for k, q in self.quantiles.items()}
        return {
            "coverage": self.coverage,
            "quantiles": finite,
            "temperatures": dict(self.temperatures),
            "cases": dict(self.cases),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Calibration:
        """Reads what `to_json` returned."""
        quantiles = content["quantiles"].items()
        return cls(
            float(content["coverage"]),
            {k: math.inf if q is None else float(q) for k, q in quantiles},
            {k: float(t) for k, t in content["temperatures"].items()},
            {k: int(n) for k, n in content["cases"].items()},
        )


def calibrate(
    targets: Sequence[Target],
    raw: RawOutputs,
    truths: Sequence[Mapping[str, Value]],
    coverage: float,
) -> Calibration:
    """Fits intervals and temperatures.

    Args:
        targets: The task's targets.
        raw: Outputs for the calibration cases.
        truths: Their labels, in the same order.
        coverage: Share of the truths that the intervals shall cover, 0..1.
    """
    quantiles, temperatures, cases = {}, {}, {}
    for target in targets:
        labels = [counted(target, row) for row in truths]
        rows = [i for i, label in enumerate(labels) if label is not None]
        cases[target.name] = len(rows)
        known = [labels[i] for i in rows]
        if target.kind == "number":
            centre, spread = raw.numbers[target.name]
            errors = np.abs(np.asarray(known, np.float64) - centre[rows])
            quantiles[target.name] = conformal_quantile(errors / spread[rows], coverage)
        else:
            indices = np.asarray([target.choices.index(str(v)) for v in known], np.int64)
            temperatures[target.name] = fit_temperature(raw.logits[target.name][rows], indices)
    return Calibration(coverage, quantiles, temperatures, cases)


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
