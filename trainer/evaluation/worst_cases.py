"""The films that a model errs on most, side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data.domain import TaskSpec
from trainer.evaluation.case_table import Case, worst
from trainer.evaluation.plot_style import GREY, INK, figure, percent, signed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILMS = 12
COLUMNS = 4
SHORT_ID = 12
"""Digits of an id below a film: enough to find it by."""

FindFilm = Callable[[str], NDArray[np.uint8] | None]
"""Returns (S, S) grey of a radiograph as the model saw it, or None where it cannot be read."""


def worst_cases(spec: TaskSpec, cases: Sequence[Case], film: FindFilm) -> Figure:
    """Draws the films with the largest errors, each with truth, answer and interval.

    Args:
        spec: The task.
        cases: At least one of them told wrongly.
        film: Where the films are.
    """
    chosen = worst(cases, FILMS)
    rows = math.ceil(len(chosen) / COLUMNS)
    picture = figure(2.95 * rows + 0.4)
    places = picture.subplots(rows, COLUMNS, squeeze=False).flat
    for axes in places:
        axes.set_axis_off()
    unit = spec.target(spec.gate.target).unit
    for axes, case in zip(picture.axes, chosen, strict=False):
        square = film(case.id)
        grey = np.full((8, 8), 200, np.uint8) if square is None else square
        axes.imshow(grey, cmap="gray", vmin=0, vmax=255)
        axes.set_title(_caption(case), fontsize=10.5, color=INK, loc="left", linespacing=1.25)
        below = case.id[:SHORT_ID] + ("" if square is not None else ", cannot be read")
        axes.text(
            0.0, -0.03, below, transform=axes.transAxes, va="top", fontsize=8.5, color=GREY,
            family="monospace",
        )  # fmt: skip
    picture.suptitle(
        f"The {len(chosen)} largest errors" + (f" ({unit})" if unit else ""), fontsize=12.5
    )
    return picture


def _caption(case: Case) -> str:
    who = f", {case.group}" if case.group else ""
    if isinstance(case.truth, str) or isinstance(case.told, str):
        sure = f" ({percent(case.probability)})" if case.probability is not None else ""
        return f"{case.truth}{who}\ntold {case.told}{sure}"
    between = f" [{case.low:.0f}, {case.high:.0f}]" if case.low is not None else ""
    return f"{case.truth:.0f}{who}\ntold {case.told:.0f}{between}, {signed(case.error)}"
