"""How much a model's answers change when the film, but not the patient, looks different.

The films are changed before they are prepared, so that the preparation is tested with the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from data.domain import Prediction, TaskSpec, Value
from trainer.evaluation.stresses import STRESSES, Film, Stress, quarter_with_marker
from trainer.inputs.targets import counted

__all__ = [
    "STRESSES",
    "Stress",
    "StressReport",
    "StressResult",
    "answers_under",
    "quarter_with_marker",
    "stress_report",
]

BEYOND = (6.0, 12.0)
"""Changes of the number whose share of films is reported, in the target's unit."""

CHUNK = 32
"""Changed films that are held in memory at a time."""


class Answers(Protocol):
    """What is put to the test; `trainer.predictor.Predictor` is one."""

    def predict_images(
        self,
        images: Sequence[Film],
        ids: Sequence[str],
        known: Sequence[Mapping[str, str]] | None = None,
    ) -> list[Prediction]:
        """Returns one prediction for each image, in their order."""


@dataclass(frozen=True, slots=True)
class StressResult:
    """What one stress did to a model's answers; numbers in the unit of the gate's target.

    Attributes:
        name: See `Stress.name`.
        what: See `Stress.what`.
        cases: Films whose number was told before and after; the changes are theirs.
        median: Median absolute change of the number.
        p95: 95th percentile of the absolute change.
        bias: Mean change; above 0: the changed films are told higher.
        beyond: Absolute change -> share of films that changed by more.
        mae: Mean absolute error on the changed films, over those with a truth.
        choices: Choice target -> share of films that are told another choice, or none any more,
            or one for the first time.
    """

    name: str
    what: str
    cases: int
    median: float
    p95: float
    bias: float
    beyond: Mapping[str, float]
    mae: float
    choices: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class StressReport:
    """How a model stands all stresses.

    Attributes:
        target: The number that is compared: the gate's.
        unit: Its unit.
        films: Films that were asked for.
        mae: Mean absolute error on the films as they are, over those with a truth.
        results: One per stress.
        left_out: Names of the stresses that were not tried, as the films' masks would not fit.
    """

    target: str
    unit: str
    films: int
    mae: float
    results: tuple[StressResult, ...]
    left_out: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Returns it for JSON; a figure that no case supports is null."""
        content = asdict(self)
        content["results"] = [_without_nan(result) for result in content["results"]]
        return _without_nan(content)


def answers_under(
    predictor: Answers,
    images: Sequence[Film],
    ids: Sequence[str],
    stress: Stress | None,
    known: Sequence[Mapping[str, str]] | None = None,
) -> list[Prediction]:
    """Predicts changed films.

    Args:
        predictor: The model.
        images: (height, width) grey each, decoded and not prepared.
        ids: Their radiograph ids.
        stress: What is done to them first; None: nothing.
        known: What is known of each before, such as the sex.

    Returns:
        One prediction for each, in the order of `images`.

    Raises:
        CarpalError: The model cannot answer for one of them.
    """
    if len(images) != len(ids) or (known is not None and len(known) != len(ids)):
        raise ValueError(f"{len(images)} images and {len(known or ids)} inputs, but {len(ids)} ids")
    answers: list[Prediction] = []
    for start in range(0, len(images), CHUNK):
        part = slice(start, start + CHUNK)
        films = [stress.change(film) if stress else film for film in images[part]]
        inputs = None if known is None else known[part]
        answers += predictor.predict_images(films, ids[part], inputs)
    return answers


def stress_report(
    spec: TaskSpec,
    predictor: Answers,
    images: Sequence[Film],
    ids: Sequence[str],
    truths: Mapping[str, Mapping[str, Value]],
    known: Sequence[Mapping[str, str]] | None = None,
    stresses: Sequence[Stress] = STRESSES,
    uses_masks: bool = False,
) -> StressReport:
    """Compares the answers on changed films with those on the films as they are.

    Args:
        spec: The task; the gate's target is the number that is compared. Where it is a choice,
            only the shares of changed choices are figures.
        predictor: The model.
        images: (height, width) grey each, decoded and not prepared.
        ids: Their radiograph ids.
        truths: Radiograph id -> target -> true value, where there is one.
        known: What is known of each film before, such as the sex.
        stresses: What is done to the films.
        uses_masks: The model looks at hand masks (`Predictor.needs_mask`): what
            moves the hand is left out, as its mask would mark something else.

    Raises:
        CarpalError: The model cannot answer for one of the films.
    """
    tried = [stress for stress in stresses if not (uses_masks and stress.moves)]
    plain = answers_under(predictor, images, ids, None, known)
    target = spec.target(spec.gate.target)
    truth = _floats([counted(target, truths.get(key, {})) for key in ids])
    results = [
        _compared(spec, stress, plain, answers_under(predictor, images, ids, stress, known), truth)
        for stress in tried
    ]
    return StressReport(
        target=target.name,
        unit=target.unit,
        films=len(ids),
        mae=_mean(np.abs(_told(target.name, plain) - truth)),
        results=tuple(results),
        left_out=tuple(stress.name for stress in stresses if stress not in tried),
    )


def _compared(
    spec: TaskSpec,
    stress: Stress,
    plain: Sequence[Prediction],
    under: Sequence[Prediction],
    truth: NDArray[np.float64],
) -> StressResult:
    before, after = (_told(spec.gate.target, answers) for answers in (plain, under))
    change = after - before
    change = change[np.isfinite(change)]
    size = np.abs(change)
    median, p95 = np.quantile(size, (0.5, 0.95)) if len(size) else (math.nan, math.nan)
    names = [target.name for target in spec.targets if target.kind == "choice"]
    pairs = list(zip(plain, under, strict=True))
    return StressResult(
        name=stress.name,
        what=stress.what,
        cases=len(change),
        median=float(median),
        p95=float(p95),
        bias=_mean(change),
        beyond={f"{limit:g}": _mean(size > limit) for limit in BEYOND},
        mae=_mean(np.abs(after - truth)),
        choices={
            name: _mean(np.asarray([a.values.get(name) != b.values.get(name) for a, b in pairs]))
            for name in names
        },
    )


def _told(target: str, answers: Sequence[Prediction]) -> NDArray[np.float64]:
    return _floats([answer.values.get(target) for answer in answers])


def _floats(values: Sequence[Value | None]) -> NDArray[np.float64]:
    """Returns them as an array; not a number where there is none, or a choice."""
    return np.asarray([value if isinstance(value, int | float) else math.nan for value in values])


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    """Returns the mean of what is a number; not a number where nothing is."""
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else math.nan


def _without_nan(content: Mapping[str, Any]) -> dict[str, Any]:
    plain = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            value = _without_nan(value)
        plain[key] = None if isinstance(value, float) and math.isnan(value) else value
    return plain
