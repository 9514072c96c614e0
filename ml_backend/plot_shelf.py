"""Plots that are drawn in the background and kept until what they show has changed."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from ml_backend.status_plots import Plot, svg_of

KEPT = 16
"""Plots; the page shows three."""
WAIT_S = 0.05
"""A request waits this long for its plots, all together."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A plot as it was drawn.

    Attributes:
        svg: An `<svg>` element.
        current: It shows what was asked for; else it is the one before, and that is being drawn.
    """

    svg: str
    current: bool


class PlotShelf:
    """Draws each plot once; one at a time, because Matplotlib's settings are the process's.

    Args:
        draw: Turns a plot into an `<svg>` element.
    """

    def __init__(self, draw: Callable[[Plot], str] = svg_of) -> None:
        self._draw = draw
        self._pool = ThreadPoolExecutor(1, "plots")
        self._plots: OrderedDict[Hashable, Future[str]] = OrderedDict()
        self._last: dict[str, str] = {}
        self._lock = threading.Lock()

    def get(self, plots: Mapping[Hashable, Plot], wait_s: float = WAIT_S) -> dict[str, Drawing]:
        """Returns name -> drawing; of a plot that is drawn for the first time, there is none yet.

        Args:
            plots: What a plot shows, as a value that changes with it -> the plot.
            wait_s: Longest wait for all of them.
        """
        asked = {plot.name: (key, self._ask(key, plot)) for key, plot in _keyed(plots)}
        wait([drawing for _, drawing in asked.values()], wait_s)
        ready = {}
        for name, (key, drawing) in asked.items():
            if drawing.done() and (error := drawing.exception()):
                log.error("The plot %s could not be drawn.", name, exc_info=error)
                self._forget(key)
            elif drawing.done():
                self._last[name] = drawing.result()
                ready[name] = Drawing(drawing.result(), current=True)
            elif name in self._last:
                ready[name] = Drawing(self._last[name], current=False)
        return ready

    def _ask(self, key: Hashable, plot: Plot) -> Future[str]:
        with self._lock:
            if key not in self._plots:
                self._plots[key] = self._pool.submit(self._draw, plot)
            self._plots.move_to_end(key)
            while len(self._plots) > KEPT:
                self._plots.popitem(last=False)
            return self._plots[key]

    def _forget(self, key: Hashable) -> None:
        with self._lock:
            self._plots.pop(key, None)


def _keyed(plots: Mapping[Hashable, Plot]) -> Iterator[tuple[Hashable, Plot]]:
    for shown, plot in plots.items():
        yield (plot.name, shown), plot
