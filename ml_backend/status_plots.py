"""The plots of the status page: SVG that takes its colours and its font from the page around it.

They are drawn by Matplotlib in colours that stand for the page's own variables, so the same plot
is legible in light and in dark. Drawing takes tenths of a second and is done off the request path;
see `plot_shelf.py`.
"""

from __future__ import annotations

import io
import math
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from html import escape
from typing import TYPE_CHECKING

from data.domain import Target
from data.ledger.figures import ReaderDay
from workers.loop_figures import BudgetPoint, ModelFigures
from workers.loop_sentences import error_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, PAPER = "#101112", "#202122", "#303132"
SERIES = ("#410001", "#410002", "#410003", "#410004")
_VARIABLES = {
    INK: "var(--text)",
    FAINT: "var(--line)",
    PAPER: "var(--card)",
    **{colour: f"var(--series-{n})" for n, colour in enumerate(SERIES, start=1)},
}
"""Colour that is drawn -> what the page makes of it."""

WIDTH, HEIGHT = 4.7, 2.7
"""Inches of 72 SVG units: about as wide as a phone, so that text keeps its size there."""
TEXT_PT = 10.5
DRAWING = threading.Lock()
"""Held while Matplotlib draws: its settings are the whole process's."""
SHOWN_DAYS = 7, 28
"""Fewest and most days that are shown."""
OTHERS = "others"


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot that can be drawn at any time.

    Attributes:
        name: Letters and hyphens; ids of the SVG begin with it.
        title: What is to be seen.
        description: The same for who cannot see it, with the figures that matter.
        draw: Draws into axes.
    """

    name: str
    title: str
    description: str
    draw: Callable[[Axes], None]


def labels_plot(days: Sequence[ReaderDay], readers: Sequence[str], today: date) -> Plot:
    """Shows labels per day, stacked by reader.

    Args:
        days: Labels by day and reader.
        readers: The busiest first; those beyond the colours are drawn as one.
        today: The last day that is shown.
    """
    fewest, most = SHOWN_DAYS
    begun = min((one.day for one in days), default=today)
    shown = min(max((today - begun).days + 1, fewest), most)
    first = today - timedelta(days=shown - 1)
    named = list(readers[: len(SERIES)])
    if len(readers) > len(SERIES):
        named[-1:] = [OTHERS]
    rows = {name: [0] * shown for name in named}
    for one in days:
        if first <= one.day <= today:
            rows[one.reader if one.reader in rows else OTHERS][(one.day - first).days] += one.labels

    def draw(axes: Axes) -> None:
        below = [0] * shown
        for colour, (name, counts) in zip(SERIES, rows.items(), strict=False):
            axes.bar(
                range(shown),
                counts,
                0.8,
                below,
                color=colour,
                label=name.partition("@")[0],
            )
            below = [a + b for a, b in zip(below, counts, strict=True)]
        places = range(shown - 1, -1, -7 if shown > 14 else -2)
        axes.set_xticks(list(places), [_day(first + timedelta(days=n)) for n in places])
        axes.set_xlim(-0.7, shown - 0.3)
        _from_zero(axes, max(below), whole=True)
        _legend(axes, len(rows))

    totals = ", ".join(f"{name}: {sum(counts)}" for name, counts in rows.items())
    said = f"Labels per day of the last {shown} days. {totals or 'None'}."
    return Plot("labels", "Labels per day and reader", said, draw)


def error_plot(points: Sequence[BudgetPoint], target: Target, champion: str) -> Plot:
    """Shows what error a number of labels bought, with 95 % intervals."""

    def draw(axes: Axes) -> None:
        scale = 100.0 if target.kind == "choice" else 1.0
        x = [point.labels for point in points]
        y = [scale * point.error for point in points]
        ends = [_ends(point.error, point.ci95, scale) for point in points]
        axes.plot(x, y, color=SERIES[0], linewidth=1.2)
        axes.errorbar(
            x, y, list(zip(*ends, strict=True)), fmt="none", ecolor=SERIES[0], elinewidth=1.2
        )
        serves = [point.model_version == champion for point in points]
        for place, value, filled in zip(x, y, serves, strict=True):
            face = SERIES[0] if filled else PAPER
            axes.plot(place, value, "o", color=SERIES[0], markerfacecolor=face, markersize=6)
        axes.set_xlabel("labels in the dataset version", color=INK)
        axes.margins(x=0.08)
        top = max(value + above for value, (_, above) in zip(y, ends, strict=True))
        _from_zero(axes, top, whole=False)

    name = error_name(target)
    told = "; ".join(f"{p.labels} labels {p.error:.2f}" for p in points) or "none yet"
    unit = f" ({target.unit})" if target.unit else " (%)"
    title = f"Error on the frozen test split over labels{unit}"
    return Plot("error", title, f"{name.capitalize()} over labels: {told}.", draw)


def coverage_plot(models: Sequence[ModelFigures]) -> Plot:
    """Shows how often the intervals of each model hold the truth on the test split."""
    known = [model for model in models if math.isfinite(model.coverage)][-10:]

    def draw(axes: Axes) -> None:
        places = range(len(known))
        share = [100 * model.coverage for model in known]
        ends = [_ends(model.coverage, model.coverage_ci95, 100.0) for model in known]
        axes.errorbar(
            places,
            share,
            list(zip(*ends, strict=True)),
            fmt="none",
            ecolor=SERIES[2],
            elinewidth=1.2,
        )
        for place, value, model in zip(places, share, known, strict=True):
            face = SERIES[2] if model.serves else PAPER
            axes.plot(place, value, "s", color=SERIES[2], markerfacecolor=face, markersize=6)
        promised = 100 * known[-1].promised
        if math.isfinite(promised):
            axes.axhline(promised, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        axes.set_xticks(list(places), [model.version for model in known])
        axes.set_xlim(-0.6, len(known) - 0.4)
        low = min((value - below for value, (below, _) in zip(share, ends, strict=True)))
        axes.set_ylim(max(0.0, 10 * math.floor(min(low, 75) / 10)), 101)
        _grid(axes)

    told = "; ".join(f"{m.version} {m.coverage:.0%}" for m in known) or "none yet"
    said = f"Coverage of the intervals on the test split, the promise dashed: {told}."
    return Plot("coverage", "Coverage of the intervals on the test split (%)", said, draw)


def svg_of(plot: Plot) -> str:
    """Draws a plot; returns an `<svg>` element for an HTML page that has the colours."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with (
        DRAWING,
        rc_context({"svg.fonttype": "none", "svg.hashsalt": plot.name, "font.size": TEXT_PT}),
    ):
        figure = Figure(figsize=(WIDTH, HEIGHT), dpi=72, layout="constrained")
        axes = figure.subplots()
        plot.draw(axes)
        return _in_page(figure, plot)


def _in_page(figure: Figure, plot: Plot) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"(font: )([\d.]+px)[^;\"]*", r"\1\2 system-ui, sans-serif", text)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{plot.name}-", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    head, _, body = text.partition(">")
    head = re.sub(r' (width|height|version|xmlns(:xlink)?)="[^"]*"', "", head)
    named = f"{plot.name}-title {plot.name}-desc"
    return (
        f'{head} role="img" aria-labelledby="{named}">'
        f'<title id="{plot.name}-title">{escape(plot.title)}</title>'
        f'<desc id="{plot.name}-desc">{escape(plot.description)}</desc>{body}'
    )


def _ends(value: float, interval: tuple[float, float], scale: float) -> tuple[float, float]:
    """Returns how far the interval reaches below and above; (0, 0) where it is not known."""
    if not all(map(math.isfinite, interval)):
        return 0.0, 0.0
    return max(0.0, scale * (value - interval[0])), max(0.0, scale * (interval[1] - value))


def _day(day: date) -> str:
    return f"{day.day} {day:%b}"


def _from_zero(axes: Axes, top: float, *, whole: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_ylim(0, max(top, 1) * 1.12)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=whole))
    _grid(axes)


def _grid(axes: Axes) -> None:
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, color=FAINT, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)


def _legend(axes: Axes, entries: int) -> None:
    if entries:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=2,
            frameon=False,
            labelcolor=INK,
            borderaxespad=0.2,
            handlelength=0.9,
            fontsize=TEXT_PT,
        )
