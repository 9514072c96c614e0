"""What all plots share: size, colours, axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from data.domain import Target

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")
"""Of groups: told apart with any kind of colour vision (Okabe & Ito 2008)."""

MARKERS = ("o", "^", "s", "D", "v")
"""Of groups, so that they differ without colour, too."""

INK, GREY, FAINT = "#222222", "#666666", "#bbbbbb"
WIDTH = 9.0
"""Inches; at `DPI` 900 pixels."""

DPI = 100


def colour_of(group: int) -> str:
    """Returns the colour of a group by its number."""
    return COLOURS[group % len(COLOURS)]


def marker_of(group: int) -> str:
    """Returns the marker of a group; groups that share a colour have different ones."""
    return MARKERS[(group + group // len(COLOURS)) % len(MARKERS)]


def figure(height: float) -> Figure:
    """Returns an empty figure of the common width; the height in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained", facecolor="white")


def tidy(axes: Axes, grid: str = "both") -> None:
    """Takes away what only distracts and puts a faint grid behind the data."""
    axes.grid(axis=grid, color="#e6e6e6", linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=10.5, colors=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GREY)


def label(axes: Axes, x: str, y: str, title: str = "") -> None:
    """Names the axes, with units, and what is to be seen."""
    axes.set_xlabel(x, fontsize=11.5, color=INK)
    axes.set_ylabel(y, fontsize=11.5, color=INK)
    if title:
        axes.set_title(title, fontsize=12.5, color=INK, loc="left")


def legend(axes: Axes, place: str = "upper left") -> None:
    """Says what the colours and lines mean; `place` as Matplotlib names corners."""
    axes.legend(loc=place, fontsize=10.5, framealpha=0.85, edgecolor="none")  # type: ignore[call-overload]


def percent(share: float, digits: int = 0) -> str:
    """Returns a share as text, such as `90 %`."""
    return f"{100 * share:.{digits}f} %"


def signed(number: float, digits: int = 0) -> str:
    """Returns a number with its sign, such as `−4`."""
    return f"{number:+.{digits}f}".replace("-", "−")


def plain_name(target: Target) -> str:
    """Returns the name of a target as a person writes it: `age` for `age_months`."""
    return target.name.removesuffix(f"_{target.unit}").replace("_", " ")


def with_unit(text: str, target: Target) -> str:
    """Returns a label of an axis, such as `error (months)`."""
    return f"{text} ({target.unit})" if target.unit else text


def ticks_of(axes: Axes, target: Target, which: Sequence[str] = ("x", "y")) -> None:
    """Puts the ticks of ages at whole years."""
    from matplotlib.ticker import MultipleLocator

    if target.unit == "months":
        for name in which:
            axis = axes.xaxis if name == "x" else axes.yaxis
            low, high = sorted(axis.get_view_interval())
            axis.set_major_locator(MultipleLocator(24 if high - low > 96 else 12))


def groups_of(names: Sequence[str], order: Sequence[str]) -> list[str]:
    """Returns the groups that occur, in the task's order; those that are not known come last."""
    return [name for name in order if name in names] + ([""] if "" in names else [])
