"""Stored pixel values to the grey that a viewer shows (DICOM PS3.3 C.11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.floating[Any]]
FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@dataclass(frozen=True, slots=True)
class Window:
    """A window of values that is spread over all greys.

    Attributes:
        centre: In modality values.
        width: In modality values; at least 1 for LINEAR, above 0 for the others.
        function: One of `FUNCTIONS`.
    """

    centre: float
    width: float
    function: str = "LINEAR"

    @property
    def means_something(self) -> bool:
        """Whether the standard allows such numbers (C.11.2.1.2, C.11.2.1.3)."""
        finite = bool(np.isfinite([self.centre, self.width]).all())
        return finite and (self.width >= 1 if self.function == "LINEAR" else self.width > 0)


@dataclass(frozen=True, slots=True)
class Table:
    """A look-up table (C.11.1.1, C.11.2.1.1).

    Attributes:
        first: The value that the first entry stands for; lower values take the first entry too.
        bits: Bits of an entry: 2**bits - 1 is white.
        entries: At least one.
    """

    first: int
    bits: int
    entries: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Display:
    """How a file wants its pixels to be shown.

    Attributes:
        slope: Of the modality rescale.
        intercept: Of the modality rescale.
        modality_table: Instead of slope and intercept.
        window: Used where there is no `voi_table`.
        voi_table: Values of interest to greys.
        inverted: The lowest value is white.
        padding: (lowest, highest) stored value that stands for no pixel at all.
    """

    slope: float = 1.0
    intercept: float = 0.0
    modality_table: Table | None = None
    window: Window | None = None
    voi_table: Table | None = None
    inverted: bool = False
    padding: tuple[int, int] | None = None

    @property
    def contrast(self) -> str:
        """What decides the contrast: `voi lut`, `window` or `full range`."""
        if self.voi_table is not None:
            return "voi lut"
        shown = self.window is not None and self.window.means_something
        return "window" if shown else "full range"


def show(values: NDArray[Any], display: Display) -> NDArray[np.uint8]:
    """Returns what a viewer shows, 0 black to 255 white; padding is black.

    Without a table or a window that the standard allows, the lowest value in the image becomes
    black and the highest white (the other way round if inverted), padding left out.

    Args:
        values: (height, width), stored values of at most 16 bits.
        display: How.
    """
    low = int(values.min())
    offsets = values.astype(np.int32) - low
    used = np.bincount(offsets.ravel()) > 0
    stored = np.arange(low, low + len(used))
    padded = np.zeros(len(used), bool)
    if display.padding is not None:
        padded = (stored >= display.padding[0]) & (stored <= display.padding[1])
    grey = _shares(_modality(stored, display), display, used & ~padded)
    if display.inverted:
        grey = 1 - grey
    grey[padded] = 0
    table = np.floor(np.clip(grey, 0, 1) * 255 + 0.5).astype(np.uint8)
    shown: NDArray[np.uint8] = table[offsets]
    return shown


def apply_window(values: Numbers, window: Window) -> Numbers:
    """Returns 0..1 by the window's function (C.11.2.1.2.1, C.11.2.1.3.1 and .2)."""
    centre, width = window.centre, window.width
    if window.function == "SIGMOID":
        exponent = np.clip(-4 * (values - centre) / width, -700, 700)  # exp(710) is infinite
        sigmoid: Numbers = 1 / (1 + np.exp(exponent))
        return sigmoid
    if window.function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    if width == 0:
        return (values > centre).astype(np.float64)
    line: Numbers = np.clip((values - centre) / width + 0.5, 0, 1)
    return line


def _modality(stored: NDArray[np.int_], display: Display) -> Numbers:
    if display.modality_table is not None:
        return _looked_up(stored.astype(np.float64), display.modality_table)
    rescaled: Numbers = stored * display.slope + display.intercept
    return rescaled


def _shares(values: Numbers, display: Display, used: NDArray[np.bool_]) -> Numbers:
    if display.voi_table is not None:
        return _looked_up(values, display.voi_table) / float((1 << display.voi_table.bits) - 1)
    if display.window is not None and display.window.means_something:
        return apply_window(values, display.window)
    seen = values[used] if used.any() else values
    low, high = float(seen.min()), float(seen.max())
    return (values - low) / (high - low or 1.0)


def _looked_up(values: Numbers, table: Table) -> Numbers:
    entries = np.asarray(table.entries, np.float64)
    place = np.clip(np.floor(values) - table.first, 0, len(entries) - 1)
    found: Numbers = entries[place.astype(np.int64)]
    return found
