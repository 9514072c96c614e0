"""The radiographs whose readers are beyond tolerance: they go to adjudication."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from data.domain import LabelledRadiograph, Radiograph, Reading, Target, TaskSpec, Value
from data.readers.consensus import (
    agrees,
    consensus_values,
    label_of,
    live_readings,
    reader_keys,
    settled_values,
)
from data.readers.unreadable import is_disputed


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A radiograph whose readers are beyond tolerance, and which nobody has settled.

    Attributes:
        label: What a dataset version says of it meanwhile; without values it is in none.
        targets: The targets on which readings differ by more than their tolerance; among them
            `TaskSpec.unreadable` where some read what others cannot read.
        readings: All live readings, by time.
        spreads: Number target in dispute -> largest minus smallest reading, in its unit.
        spread: The largest of `spreads` in tolerances of its target; 0 where only choices differ.
    """

    label: LabelledRadiograph
    targets: tuple[str, ...]
    readings: tuple[Reading, ...]
    spreads: Mapping[str, float]
    spread: float


def disagreements(
    radiographs: Iterable[Radiograph],
    readings: Iterable[Reading],
    spec: TaskSpec,
    adjudicators: Collection[str] = (),
) -> list[Disagreement]:
    """Returns the radiographs that need an adjudicator, the widest spread first.

    Two readings of a number agree if they differ by no more than its tolerance, so a radiograph is
    in dispute where the largest and the smallest reading of a target are further apart, or where
    two choices differ. That is stricter than `LabelledRadiograph.agreement`, which measures the
    distance to the consensus: every row whose agreement is below 1 is in dispute, unless it is
    settled, and some others are. A target is settled by a reference or an adjudicator who gives it.
    Targets that the consensus leaves out (they do not apply) are in no dispute. A radiograph that
    some read and others cannot read is in dispute until an adjudicator has looked at it.

    Args:
        radiographs: Those that may be listed.
        readings: Of these and others; others are ignored.
        spec: The task's targets and tolerances.
        adjudicators: Readers whose reading settles a disagreement; case does not matter.
    """
    live = live_readings(readings)
    disputes = _disputes(live, spec, adjudicators)
    settling = reader_keys(adjudicators)
    found = [
        _disagreement(label_of(one, live[one.id], spec, settling), live[one.id], disputes[one.id])
        for one in radiographs
        if one.id in disputes
    ]
    return sorted(
        found, key=lambda one: (-one.spread, one.label.agreement, one.label.radiograph.id)
    )


def count_disagreements(
    readings: Iterable[Reading], spec: TaskSpec, adjudicators: Collection[str] = ()
) -> int:
    """Counts the radiographs that need an adjudicator; see `disagreements`."""
    return len(_disputes(live_readings(readings), spec, adjudicators))


def disputed_targets(
    readings: Sequence[Reading], spec: TaskSpec, adjudicators: Collection[str] = ()
) -> list[Target]:
    """Returns the targets on which the readings of one radiograph are in dispute.

    Args:
        readings: As `live_readings` returns them.
        spec: The task's targets and tolerances.
        adjudicators: As `reader_keys` returns them.
    """
    if len(readings) < 2:
        return []
    asked = spec.unreadable
    aside = [asked] if asked is not None and is_disputed(readings, adjudicators) else []
    settled = settled_values(readings, adjudicators)
    open_targets = [target for target in spec.targets if target.name not in settled]
    disputed = [target for target in open_targets if _differ(target, _given(readings, target.name))]
    if not disputed:
        return aside
    values = consensus_values(readings, spec, adjudicators)
    return [*aside, *(target for target in disputed if target.name in values)]


def _disputes(
    live: Mapping[str, Sequence[Reading]], spec: TaskSpec, adjudicators: Collection[str]
) -> dict[str, list[Target]]:
    settling = reader_keys(adjudicators)
    return {
        key: targets
        for key, of in live.items()
        if (targets := disputed_targets(of, spec, settling))
    }


def _disagreement(
    label: LabelledRadiograph, readings: Sequence[Reading], targets: Sequence[Target]
) -> Disagreement:
    numbers = [target for target in targets if target.kind == "number"]
    spreads = {target.name: _spread(_given(readings, target.name)) for target in numbers}
    return Disagreement(
        label=label,
        targets=tuple(target.name for target in targets),
        readings=tuple(readings),
        spreads=spreads,
        spread=max((spreads[t.name] / (t.tolerance or 1.0) for t in numbers), default=0.0),
    )


def _given(readings: Iterable[Reading], target: str) -> list[Value]:
    return [reading.values[target] for reading in readings if target in reading.values]


def _differ(target: Target, given: Sequence[Value]) -> bool:
    if target.kind == "choice":
        return len(set(given)) > 1
    numbers = [float(value) for value in given]
    return len(numbers) > 1 and not agrees(target, min(numbers), max(numbers))


def _spread(given: Sequence[Value]) -> float:
    numbers = [float(value) for value in given]
    return max(numbers) - min(numbers)
