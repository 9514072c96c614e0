"""What the readers of a radiograph agree on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
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
from data.readers.unreadable import is_unreadable


def consensus(
    radiographs: Iterable[Radiograph],
    readings: Iterable[Reading],
    spec: TaskSpec,
    adjudicators: Collection[str] = (),
) -> list[LabelledRadiograph]:
    """Unites the readings of each radiograph to one label.

    Of each reader the latest reading that was not withdrawn counts. A number is the median of the
    readings, a choice the most frequent one, and among equally frequent ones the one that was read
    last. An adjudicator's values stand for the targets that the adjudicator read (of several the
    latest), whatever readers say. Where the source delivers a reference, the reference's values
    stand, whatever anybody says. A target that applies only when another has a given value is left
    out where it has another. A radiograph that cannot be read (`unreadable.py`) has no label.

    Args:
        radiographs: Those that may be labelled.
        readings: Of these and others; others are ignored.
        spec: The task's targets and tolerances.
        adjudicators: Readers whose reading settles a disagreement; case does not matter.

    Returns:
        The radiographs with at least one value, sorted by id.
    """
    live = live_readings(readings)
    settling = reader_keys(adjudicators)
    labelled = (
        label_of(radiograph, live[radiograph.id], spec, settling)
        for radiograph in sorted(radiographs, key=lambda radiograph: radiograph.id)
        if radiograph.id in live
    )
    return [row for row in labelled if row.values]


def live_readings(readings: Iterable[Reading]) -> dict[str, list[Reading]]:
    """Returns radiograph id -> the readings that count: of each reader the latest, by time.

    Withdrawn readings do not count.
    """
    latest: dict[str, dict[str, Reading]] = {}
    for reading in sorted(readings, key=lambda reading: (reading.read_at, reading.annotation)):
        if not reading.withdrawn:
            latest.setdefault(reading.radiograph_id, {})[reading.reader] = reading
    return {key: sorted(of.values(), key=_time_and_reader) for key, of in latest.items()}


def reader_keys(readers: Iterable[str]) -> frozenset[str]:
    """Returns names of readers in the form in which they are compared: case does not matter."""
    return frozenset(reader.strip().casefold() for reader in readers)


def settled_values(
    readings: Iterable[Reading], adjudicators: Collection[str] = ()
) -> dict[str, Value]:
    """Returns target -> value that no reader can outvote: the reference's, else an adjudicator's.

    Args:
        readings: The live readings of one radiograph, by time; of several adjudicators who read a
            target the latest one decides.
        adjudicators: As `reader_keys` returns them.
    """
    settled: dict[str, Value] = {}
    reference: dict[str, Value] = {}
    for reading in readings:
        if reading.reader == REFERENCE_READER:
            reference = dict(reading.values)
        elif adjudicators and reading.reader.strip().casefold() in adjudicators:
            settled.update(reading.values)
    return settled | reference


def consensus_values(
    readings: Sequence[Reading], spec: TaskSpec, adjudicators: Collection[str] = ()
) -> dict[str, Value]:
    """Returns target -> what the readings of one radiograph come to; see `consensus`.

    Args:
        readings: As `live_readings` returns them.
        spec: The task's targets.
        adjudicators: As `reader_keys` returns them.
    """
    if is_unreadable(readings, adjudicators):
        return {}
    settled = settled_values(readings, adjudicators)
    values: dict[str, Value] = {}
    for target in spec.targets:
        given = [
            reading.values[target.name] for reading in readings if target.name in reading.values
        ]
        if target.name in settled:
            values[target.name] = settled[target.name]
        elif given:
            values[target.name] = _centre(target, given)
    return _applicable(values, spec)


def agrees(target: Target, one: Value, other: Value) -> bool:
    """Says whether two values of a target are within its tolerance, or the same choice."""
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return abs(one - other) <= (target.tolerance or 0.0)


def label_of(
    radiograph: Radiograph,
    readings: Sequence[Reading],
    spec: TaskSpec,
    adjudicators: Collection[str] = (),
) -> LabelledRadiograph:
    """Unites the readings of one radiograph; without values where it has no label.

    Args:
        radiograph: The radiograph.
        readings: As `live_readings` returns them.
        spec: The task.
        adjudicators: As `reader_keys` returns them.
    """
    values = consensus_values(readings, spec, adjudicators)
    return LabelledRadiograph(
        radiograph=radiograph,
        values=values,
        readers=tuple(sorted(reading.reader for reading in readings)),
        agreement=sum(_confirms(r, values, spec) for r in readings) / len(readings),
        reference=any(r.reader == REFERENCE_READER and r.values for r in readings),
        labelled_at=max(reading.read_at for reading in readings),
    )


def _time_and_reader(reading: Reading) -> tuple[object, str]:
    return reading.read_at, reading.reader


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
    return not reading.unreadable and all(
        agrees(target, reading.values[target.name], values[target.name])
        for target in spec.targets
        if target.name in values and target.name in reading.values
    )
