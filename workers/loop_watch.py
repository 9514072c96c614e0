"""Looks at the loop only as often as something has changed, and lets nobody wait long for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from data.ledger.ledger import Ledger
from workers.loop_figures import training_progress
from workers.overview import LoopOverview, ledger_overview, with_queues
from workers.promotion import CHAMPION
from workers.settings import Settings

KEPT_FOR = timedelta(seconds=60)
"""A look at an unchanged ledger is kept for this long: what is due by the clock changes, too."""
PATIENCE_S = 0.15
"""A new look that takes longer is made for the next who asks; this one gets the look before."""

Stamp: TypeAlias = tuple[int, str, int]


class LoopWatch:
    """Keeps the last look at the ledger; the queues are asked every time.

    Args:
        settings: Where everything is.
        ledger: Open ledger; may be shared.
        clock: Returns the time in UTC.
        patience_s: How long a new look is waited for, unless it is the first one.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._clock = clock
        self._patience_s = patience_s
        self._pool = ThreadPoolExecutor(1, "loop")
        self._lock = threading.Lock()
        self._stamp: Stamp | None = None
        self._view: LoopOverview | None = None
        self._looking: Future[LoopOverview] | None = None

    def look(self) -> LoopOverview:
        """Returns what the loop is doing; `at` says when the ledger was looked at.

        Raises:
            LedgerError: The ledger cannot be read.
        """
        view = self._ledger_view()
        # Stage and sign of life of a training change without an event.
        runs = self._ledger.runs()
        figures = replace(view.figures, progress=training_progress(runs, self._clock()))
        return with_queues(replace(view, runs=runs, figures=figures), self._settings)

    def _ledger_view(self) -> LoopOverview:
        """One look at a time: whoever comes meanwhile waits for the same one."""
        now, stamp = self._clock(), self._changes()
        with self._lock:
            known, looking = self._view, self._looking
            fresh = known is not None and stamp == self._stamp and now - known.at <= KEPT_FOR
            if known is not None and fresh:
                return known
            if looking is None or looking.done():
                looking = self._looking = self._pool.submit(self._look_again, stamp, now)
        wait([looking], None if known is None else self._patience_s)
        return known if known is not None and not looking.done() else looking.result()

    def _look_again(self, stamp: Stamp, now: datetime) -> LoopOverview:
        view = ledger_overview(self._settings, self._ledger, now)
        with self._lock:
            self._stamp, self._view = stamp, view
        return view

    def _changes(self) -> Stamp:
        """Returns what is another one once something has happened; predictions are no events."""
        champion = self._ledger.get_state(CHAMPION) or ""
        return self._ledger.head()[0], champion, self._ledger.count_predictions(champion)
