"""How far the readers of the same radiographs agree: what the noise of the labels is.

Adjudicators and references are no sample of the readers: the one reads what others could not agree
on, the other stands by definition. So neither counts in the estimate of the noise.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from data.domain import REFERENCE_READER, Reading, Target, TaskSpec, Value
from data.readers.agreement_statistics import (
    NORMAL_95,
    Difference,
    cohen_kappa,
    difference,
    krippendorff_alpha,
    pair_agreement,
    within_sd,
)
from data.readers.consensus import agrees, live_readings, reader_keys
from data.readers.disagreements import disputed_targets

_Group = Mapping[str, Value]
"""Reader -> value, of one radiograph and one target; two readers or more."""


@dataclass(frozen=True, slots=True)
class NumberAgreement:
    """How far readers agree on a number; all in the target's unit.

    Attributes:
        target: Name of the target.
        radiographs: That two or more readers have read.
        readings: Of these.
        within_tolerance: 0..1, share of the pairs of readings within the task's tolerance.
        sem: Standard error of measurement: SD of the readings of one and the same radiograph.
        sd_difference: SD of the difference of two readings by any two readers, sqrt(2) SEM.
        limit: 95 % of such differences are smaller (reproducibility limit), 1.96 sqrt(2) SEM.
        readers: Each reader against the mean of the others.
        pairs: Each two readers who have read the same radiographs.
    """

    target: str
    radiographs: int
    readings: int
    within_tolerance: float
    sem: float
    sd_difference: float
    limit: float
    readers: tuple[Difference, ...]
    pairs: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class ChoiceAgreement:
    """How far readers agree on a choice.

    Attributes:
        target: Name of the target.
        radiographs: That two or more readers have read.
        readings: Of these.
        agreement: 0..1, share of the pairs of readings that say the same.
        kappa: Cohen's kappa where there are exactly two readers; None: not defined.
        alpha: Krippendorff's alpha; None: not defined, because all say the same.
    """

    target: str
    radiographs: int
    readings: int
    agreement: float
    kappa: float | None
    alpha: float | None


@dataclass(frozen=True, slots=True)
class LabelNoise:
    """How noisy the labels of a dataset are, as far as several readers of a radiograph show it.

    Attributes:
        readers: Readers of the radiographs below, sorted.
        radiographs: That two or more readers have read.
        labelled: With a live reading at all, references included.
        unsettled: Radiographs whose readings are beyond tolerance and await an adjudicator.
        numbers: One for each number target that two readers have read.
        choices: One for each choice target that two readers have read.
    """

    readers: tuple[str, ...]
    radiographs: int
    labelled: int
    unsettled: int
    numbers: tuple[NumberAgreement, ...]
    choices: tuple[ChoiceAgreement, ...]


def label_noise(
    readings: Iterable[Reading], spec: TaskSpec, adjudicators: Collection[str] = ()
) -> LabelNoise:
    """Estimates the noise of the labels from radiographs that several readers have read.

    Args:
        readings: Of any radiographs, withdrawn ones included.
        spec: The task's targets and tolerances.
        adjudicators: Readers whose readings settle disagreements, and do not count here.
    """
    settling = reader_keys(adjudicators)
    live = live_readings(readings)
    several: dict[str, list[Reading]] = {}
    unsettled = 0
    for key in sorted(key for key, of in live.items() if len(of) > 1):
        unsettled += bool(disputed_targets(live[key], spec, settling))
        counting = [r for r in live[key] if not _stands_apart(r.reader, settling)]
        if len(counting) > 1:
            several[key] = counting
    groups = {t.name: _groups(several.values(), t.name) for t in spec.targets}
    read = [target for target in spec.targets if groups[target.name]]
    return LabelNoise(
        readers=tuple(sorted({r.reader for of in several.values() for r in of})),
        radiographs=len(several),
        labelled=len(live),
        unsettled=unsettled,
        numbers=tuple(_number(t, groups[t.name]) for t in read if t.kind == "number"),
        choices=tuple(_choice(t, groups[t.name]) for t in read if t.kind == "choice"),
    )


def _stands_apart(reader: str, adjudicators: Collection[str]) -> bool:
    return reader == REFERENCE_READER or reader.strip().casefold() in adjudicators


def _groups(several: Iterable[Sequence[Reading]], target: str) -> list[_Group]:
    groups = (
        {reading.reader: reading.values[target] for reading in of if target in reading.values}
        for of in several
    )
    return [group for group in groups if len(group) > 1]


def _number(target: Target, groups: Sequence[_Group]) -> NumberAgreement:
    read = [{reader: float(value) for reader, value in group.items()} for group in groups]
    values = [list(group.values()) for group in read]
    sem = within_sd(values)
    return NumberAgreement(
        target=target.name,
        radiographs=len(read),
        readings=sum(len(group) for group in read),
        within_tolerance=pair_agreement(values, lambda one, other: agrees(target, one, other)),
        sem=sem,
        sd_difference=math.sqrt(2) * sem,
        limit=NORMAL_95 * math.sqrt(2) * sem,
        readers=_against_others(read),
        pairs=_pairwise(read),
    )


def _against_others(groups: Sequence[Mapping[str, float]]) -> tuple[Difference, ...]:
    found: dict[str, list[float]] = {}
    for group in groups:
        for reader, value in group.items():
            others = fmean(other for name, other in group.items() if name != reader)
            found.setdefault(reader, []).append(value - others)
    return tuple(difference(reader, "", found[reader]) for reader in sorted(found))


def _pairwise(groups: Sequence[Mapping[str, float]]) -> tuple[Difference, ...]:
    found: dict[tuple[str, str], list[float]] = {}
    for group in groups:
        for one, other in combinations(sorted(group), 2):
            found.setdefault((one, other), []).append(group[one] - group[other])
    return tuple(difference(one, other, found[one, other]) for one, other in sorted(found))


def _choice(target: Target, groups: Sequence[_Group]) -> ChoiceAgreement:
    values = [list(group.values()) for group in groups]
    readers = sorted(Counter(reader for group in groups for reader in group))
    kappa = None
    if len(readers) == 2:
        one, other = readers
        kappa = cohen_kappa([(group[one], group[other]) for group in groups])
    return ChoiceAgreement(
        target=target.name,
        radiographs=len(groups),
        readings=sum(len(group) for group in groups),
        agreement=pair_agreement(values, lambda one, other: one == other),
        kappa=kappa,
        alpha=krippendorff_alpha(values),
    )
