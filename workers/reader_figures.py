"""What each reader has read, how much of it the model had said, and how long it took.

Pure: from what the ledger holds to frozen dataclasses.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median

from data.ledger.figures import ReaderDay, ReaderOrigin


@dataclass(frozen=True, slots=True)
class ReaderFigures:
    """What one reader has read.

    Attributes:
        reader: E-mail address.
        labels: Readings that count.
        kept: Of these, those that kept every value of the model.
        corrected: Those that changed at least one.
        manual: Those that were made without seeing a prediction.
        unreadable: Of all, those that say that the radiograph cannot be read.
        median_s: Median seconds that a reading took; not a number where none is known.
        today: Readings of today.
        days: Days on which the reader read.
    """

    reader: str
    labels: int
    kept: int
    corrected: int
    manual: int
    unreadable: int
    median_s: float
    today: int
    days: int


def reader_figures(
    days: Sequence[ReaderDay],
    origins: Sequence[ReaderOrigin],
    lead_times: Sequence[tuple[str, float]],
    today: date,
) -> tuple[ReaderFigures, ...]:
    """Returns one entry for each reader, the busiest first.

    Args:
        days: Readings by day and reader.
        origins: Readings by reader and origin.
        lead_times: (reader, seconds that a reading took).
        today: The day in UTC.
    """
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    unreadable: Counter[str] = Counter()
    for one in origins:
        counts[one.reader][one.origin] = one.readings
        unreadable[one.reader] += one.unreadable
    seconds: dict[str, list[float]] = defaultdict(list)
    for reader, taken in lead_times:
        seconds[reader].append(taken)
    of_day: dict[str, dict[date, int]] = defaultdict(dict)
    for entry in days:
        of_day[entry.reader][entry.day] = entry.labels
    found = [
        ReaderFigures(
            reader=reader,
            labels=sum(of.values()),
            kept=of.get("prediction", 0),
            corrected=of.get("prediction-changed", 0),
            manual=of.get("manual", 0),
            unreadable=unreadable[reader],
            median_s=median(seconds[reader]) if seconds[reader] else math.nan,
            today=of_day[reader].get(today, 0),
            days=len(of_day[reader]),
        )
        for reader, of in counts.items()
    ]
    return tuple(sorted(found, key=lambda one: (-one.labels, one.reader)))
