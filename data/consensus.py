"""What the readers of a radiograph agree on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from data.domain import (
    REFERENCE_READER,
    LabelledRadiograph,
    Radiograph,
    Reading,
    Target,
    TaskSpec,
    Value,
)


def consensus(
    radiographs: Iterable[Radiograph], readings: Iterable[Reading], spec: TaskSpec
) -> list[LabelledRadiograph]:
    """Unites the readings of each radiograph to one label.

    Of each reader the latest reading that was not withdrawn counts. A number is the median of the
    readings, a choice the most frequent one, and among equally frequent ones the one that was read
    last. Where the source delivers a reference, the reference's values stand, whatever readers say.
    A target that applies only when another has a given value is left out where it has another.

    Args:
        radiographs: Those that may be labelled.
        readings: Of these and others; others are ignored.
        spec: The task's targets and tolerances.

    Returns:
        The radiographs with at least one value, sorted by id.
    """
    latest: dict[str, dict[str, Reading]] = {}
    for reading in sorted(readings, key=lambda reading: (reading.read_at, reading.annotation)):
        if not reading.withdrawn:
            latest.setdefault(reading.radiograph_id, {})[reading.reader] = reading
    labelled = (
        _unite(radiograph, sorted(latest[radiograph.id].values(), key=_time_and_reader), spec)
        for radiograph in sorted(radiographs, key=lambda radiograph: radiograph.id)
        if radiograph.id in latest
    )
    return [row for row in labelled if row.values]


def agrees(target: Target, one: Value, other: Value) -> bool:
    """Says whether two values of a target are within its tolerance, or the same choice."""
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return abs(one - other) <= (target.tolerance or 0.0)


def _time_and_reader(reading: Reading) -> tuple[object, str]:
    return reading.read_at, reading.reader


def _unite(
    radiograph: Radiograph, readings: Sequence[Reading], spec: TaskSpec
) -> LabelledRadiograph:
    """Unites readings that are sorted by time, one of each reader."""
    reference = next((r.values for r in readings if r.reader == REFERENCE_READER), {})
    values: dict[str, Value] = {}
    for target in spec.targets:
        given = [
            reading.values[target.name] for reading in readings if target.name in reading.values
        ]
        if target.name in reference:
            values[target.name] = reference[target.name]
        elif given:
            values[target.name] = _centre(target, given)
    values = _applicable(values, spec)
    return LabelledRadiograph(
        radiograph=radiograph,
        values=values,
        readers=tuple(sorted(reading.reader for reading in readings)),
        agreement=sum(_confirms(r, values, spec) for r in readings) / len(readings),
        reference=bool(reference),
        labelled_at=max(reading.read_at for reading in readings),
    )


def _centre(target: Target, given: Sequence[Value]) -> Value:
    if target.kind == "number":
        return float(median(float(value) for value in given))
    counts = Counter(given)
    most = max(counts.values())
    return next(value for value in reversed(given) if counts[value] == most)


def _applicable(values: Mapping[str, Value], spec: TaskSpec) -> dict[str, Value]:
    """Leaves out targets whose condition is not met, and what hangs on those in turn."""
    kept = dict(values)
    while True:
        meaningless = [
            target.name
            for target in spec.targets
            if target.name in kept
            and target.applies_when is not None
            and kept.get(target.applies_when[0]) != target.applies_when[1]
        ]
        if not meaningless:
            return kept
        for name in meaningless:
            del kept[name]


def _confirms(reading: Reading, values: Mapping[str, Value], spec: TaskSpec) -> bool:
    """Says whether everything that a reading says of these values agrees with them."""
    return all(
        agrees(target, reading.values[target.name], values[target.name])
        for target in spec.targets
        if target.name in values and target.name in reading.values
    )
