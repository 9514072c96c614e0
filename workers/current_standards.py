"""The standards of a ledger that others write to."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection

from data.domain import TaskSpec
from data.ledger.ledger import Ledger
from workers.standards import Standards

REFRESH_S = 60.0
"""Standards are read again this late at most after a label has changed."""


class CurrentStandards:
    """The standards of a ledger that others write to; may be shared by threads.

    They are read again once the ledger has moved on, at most every `REFRESH_S` seconds, by one
    thread, while others get what was read before.

    Args:
        ledger: Open ledger.
        spec: The task.
        adjudicators: Readers whose reading settles a disagreement.
    """

    def __init__(self, ledger: Ledger, spec: TaskSpec, adjudicators: Collection[str] = ()) -> None:
        self._ledger = ledger
        self._spec = spec
        self._adjudicators = frozenset(adjudicators)
        self._reading = threading.Lock()
        self._standards: Standards | None = None
        self._event = -1
        self._looked_at = 0.0

    def current(self) -> Standards:
        """Returns the standards as they stand, or stood `REFRESH_S` ago."""
        standards = self._standards
        if standards is not None and time.monotonic() - self._looked_at < REFRESH_S:
            return standards
        if not self._reading.acquire(blocking=standards is None):
            assert standards is not None  # noqa: S101 (else it would have waited)
            return standards
        try:
            return self._read()
        finally:
            self._reading.release()

    def _read(self) -> Standards:
        event = self._ledger.head()[0]
        if self._standards is None or event != self._event:
            self._standards = Standards.load(self._ledger, self._spec, self._adjudicators)
            self._event = event
        self._looked_at = time.monotonic()
        return self._standards
