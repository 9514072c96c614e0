"""Radiographs that cannot be read, and why: what their readers say of them together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from data.domain import REFERENCE_READER, Reading


def is_unreadable(readings: Sequence[Reading], adjudicators: Collection[str] = ()) -> bool:
    """Says whether a radiograph is left out of the labels because it cannot be read.

    A reference was read. An adjudicator's word stands (of several the latest one's). Otherwise it
    is left out where at least half of the readers cannot read it.

    Args:
        readings: The live readings of one radiograph, by time (`consensus.live_readings`).
        adjudicators: As `consensus.reader_keys` returns them.
    """
    if not any(reading.unreadable for reading in readings):
        return False
    settled = _settled(readings, adjudicators)
    if settled is not None:
        return bool(settled.unreadable)
    return 2 * sum(bool(reading.unreadable) for reading in readings) >= len(readings)


def is_disputed(readings: Sequence[Reading], adjudicators: Collection[str] = ()) -> bool:
    """Says whether some read a radiograph that others cannot read, and nobody has settled it."""
    said = {bool(reading.unreadable) for reading in readings}
    return len(said) > 1 and _settled(readings, adjudicators) is None


def unreadable_reasons(
    live: Iterable[Sequence[Reading]], adjudicators: Collection[str] = ()
) -> dict[str, str]:
    """Returns radiograph id -> why it cannot be read, for those that are left out of the labels.

    The reason is the adjudicator's, else the one that most readers give, of equals the latest.

    Args:
        live: The live readings of each radiograph, by time.
        adjudicators: As `consensus.reader_keys` returns them.
    """
    found: dict[str, str] = {}
    for readings in live:
        if not is_unreadable(readings, adjudicators):
            continue
        settled = _settled(readings, adjudicators)
        given = [reading.unreadable for reading in readings if reading.unreadable]
        counts = Counter(given)
        most = next(r for r in reversed(given) if counts[r] == max(counts.values()))
        found[readings[0].radiograph_id] = settled.unreadable if settled else most
    return found


def _settled(readings: Sequence[Reading], adjudicators: Collection[str]) -> Reading | None:
    """Returns the reading that no reader can outvote, or None."""
    references = [reading for reading in readings if reading.reader == REFERENCE_READER]
    if references:
        return references[-1]
    by_adjudicators = [r for r in readings if r.reader.strip().casefold() in adjudicators]
    return by_adjudicators[-1] if by_adjudicators else None
