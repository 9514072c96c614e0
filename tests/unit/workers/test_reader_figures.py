"""What each reader has read, from rows of the ledger that are worked out by hand."""

from __future__ import annotations

import math
from datetime import date

from data.ledger.figures import ReaderDay, ReaderOrigin
from workers.reader_figures import reader_figures

TODAY = date(2026, 3, 20)


def test_a_reader_is_told_by_how_the_readings_came_about_and_how_long_they_took() -> None:
    days = [
        ReaderDay(date(2026, 3, 19), "anna", 3),
        ReaderDay(TODAY, "anna", 2),
        ReaderDay(TODAY, "ben", 7),
    ]
    origins = [
        ReaderOrigin("anna", "manual", 1),
        ReaderOrigin("anna", "prediction", 3),
        ReaderOrigin("anna", "prediction-changed", 1),
        ReaderOrigin("ben", "manual", 7, unreadable=2),
    ]
    times = [("anna", 10.0), ("anna", 40.0), ("anna", 20.0)]

    ben, anna = reader_figures(days, origins, times, TODAY)

    assert (anna.reader, anna.labels, anna.kept, anna.corrected, anna.manual) == (
        "anna",
        5,
        3,
        1,
        1,
    )
    assert (anna.median_s, anna.today, anna.days) == (20.0, 2, 2)
    assert (ben.reader, ben.labels, ben.manual, ben.unreadable) == ("ben", 7, 7, 2)
    assert math.isnan(ben.median_s)


def test_a_ledger_without_readings_has_no_readers() -> None:
    assert reader_figures([], [], [], TODAY) == ()
