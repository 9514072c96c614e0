"""Pictures of an evaluation by the bands in which the gate judges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data.domain import TaskSpec
from trainer.evaluation.bands import Band, bands_of
from trainer.evaluation.case_table import Case
from trainer.evaluation.plot_style import (
    FAINT,
    GREY,
    INK,
    colour_of,
    figure,
    label,
    legend,
    marker_of,
    percent,
    plain_name,
    tidy,
    with_unit,
)
from trainer.evaluation.scores import BandScore, NumberScore

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Box:
    """A box plot of one group of values (Tukey 1977).

    Attributes:
        low: Lowest value within 1.5 box lengths of the box: end of the whisker.
        lower: First quartile.
        median: Half of the values lie on either side.
        upper: Third quartile.
        high: Highest value within 1.5 box lengths of the box.
        outliers: The values beyond the whiskers.
    """

    low: float
    lower: float
    median: float
    upper: float
    high: float
    outliers: tuple[float, ...]


def box_of(values: Sequence[float]) -> Box:
    """Returns the box plot of at least one value."""
    lower, median, upper = (float(q) for q in np.quantile(values, (0.25, 0.5, 0.75)))
    reach = 1.5 * (upper - lower)
    inside = [v for v in values if lower - reach <= v <= upper + reach]
    outliers = tuple(v for v in values if not lower - reach <= v <= upper + reach)
    # With few values a quartile may lie beyond the last value within reach.
    low, high = min(*inside, lower), max(*inside, upper)
    return Box(low, lower, median, upper, high, outliers)


def error_by_band(spec: TaskSpec, cases: Sequence[Case], score: NumberScore) -> Figure:
    """Draws the errors of each band as boxes, and below them their mean size with its interval.

    Boxes hold the middle half, whiskers reach 1.5 times further, the line is the median.

    Args:
        spec: The task.
        cases: At least one.
        score: Of the same cases.
    """
    target = spec.target(spec.gate.target)
    picture = figure(7.0)
    upper, lower = picture.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    found = {band.name: band for band in score.bands}
    for i, (group, bands) in enumerate(_bands_by_group(spec)):
        places = _places(spec, i, len(bands))
        inside = [[c.error for c in cases if _holds(band, c)] for band in bands]
        kept = [(place, errors) for place, errors in zip(places, inside, strict=True) if errors]
        if kept:
            _boxes(upper, kept, _box_width(spec), colour_of(i))
        _points(
            lower,
            places,
            [found[band.name] for band in bands],
            [(found[b.name].mae, *found[b.name].mae_ci95) for b in bands],
            i,
            group,
        )
    upper.axhline(0, color=GREY, linewidth=1, zorder=0)
    lower.axhline(score.mae, color=GREY, linewidth=1.2, linestyle=":", zorder=0, label="all cases")
    lower.set_ylim(bottom=0)
    label(upper, "", with_unit("predicted − reference", target), "Error by band of the reference")
    label(lower, with_unit(f"reference {plain_name(target)}", target), "")
    lower.set_ylabel(with_unit("MAE, 95 % interval", target), fontsize=11.5, color=INK)
    _name_bands(lower, spec)
    for axes in (upper, lower):
        tidy(axes, "y")
    legend(lower)
    return picture


def coverage_by_band(spec: TaskSpec, score: NumberScore) -> Figure:
    """Draws how often the intervals of each band hold the truth, with exact binomial limits.

    Args:
        spec: The task.
        score: With its bands.
    """
    target = spec.target(spec.gate.target)
    picture = figure(4.8)
    axes = picture.subplots()
    found = {band.name: band for band in score.bands}
    for i, (group, bands) in enumerate(_bands_by_group(spec)):
        scores = [found[band.name] for band in bands]
        heights = [(s.coverage, *s.coverage_ci95) for s in scores]
        _points(axes, _places(spec, i, len(bands)), scores, heights, i, group)
    promised = score.promised_coverage
    axes.axhline(
        promised, color=INK, linestyle="--", linewidth=1.2, label=f"promised {percent(promised)}"
    )
    low, high = score.coverage_ci95
    axes.axhspan(low, high, color=FAINT, alpha=0.35, linewidth=0, label="all cases, 95 % limits")
    axes.set_ylim(0, 1.02)
    label(
        axes,
        with_unit(f"reference {plain_name(target)}", target),
        "share of references inside",
        f"Coverage {percent(score.coverage, 1)} [{percent(low, 1)}, {percent(high, 1)}], "
        f"mean width {score.interval_width:.1f} {target.unit}",
    )
    _name_bands(axes, spec)
    axes.set_yticks([step / 5 for step in range(6)], [percent(step / 5) for step in range(6)])
    tidy(axes, "y")
    picture.legend(loc="outside lower center", ncols=4, fontsize=10.5, frameon=False)
    return picture


def _bands_by_group(spec: TaskSpec) -> list[tuple[str, list[Band]]]:
    groups: dict[str, list[Band]] = {}
    for band in bands_of(spec):
        groups.setdefault(band.by[1] if band.by else "", []).append(band)
    return list(groups.items())


def _holds(band: Band, case: Case) -> bool:
    inside = isinstance(case.truth, float | int) and (
        band.low <= case.truth < band.high or (band.closed and case.truth == band.high)
    )
    return inside and (band.by is None or case.group == band.by[1])


def _places(spec: TaskSpec, group: int, bands: int) -> Numbers:
    """Returns where the bands of a group stand: side by side with those of the others."""
    groups = len(_bands_by_group(spec))
    return np.arange(bands, dtype=np.float64) + (group - (groups - 1) / 2) * 0.8 / groups


def _box_width(spec: TaskSpec) -> float:
    return 0.6 / len(_bands_by_group(spec))


def _boxes(
    axes: Axes, kept: Sequence[tuple[float, list[float]]], width: float, colour: str
) -> None:
    # Matplotlib's own boxplot asks which window system there is, which no worker should do.
    for place, errors in kept:
        box = box_of(errors)
        axes.bar(
            place,
            box.upper - box.lower,
            width,
            bottom=box.lower,
            color=colour,
            alpha=0.45,
            edgecolor=colour,
        )
        axes.vlines([place] * 2, [box.low, box.upper], [box.lower, box.high], color=colour)
        ends = (place - width / 4, place + width / 4)
        axes.hlines([box.low, box.high], *ends, color=colour)
        axes.hlines(box.median, place - width / 2, place + width / 2, color=INK, linewidth=1.8)
        axes.plot([place] * len(box.outliers), box.outliers, ".", color=colour, markersize=5)


def _points(
    axes: Axes,
    places: Numbers,
    scores: Sequence[BandScore],
    heights: Sequence[tuple[float, float, float]],
    group: int,
    name: str,
) -> None:
    """Draws (height, low, high) of each band that has cases, and how many it has."""
    kept = [(x, s.cases, *h) for x, s, h in zip(places, scores, heights, strict=True) if s.cases]
    if not kept:
        return
    x, cases, y, low, high = (np.asarray(column, np.float64) for column in zip(*kept, strict=True))
    axes.errorbar(
        x,
        y,
        yerr=[y - low, high - y],
        fmt=marker_of(group),
        color=colour_of(group),
        capsize=4,
        markersize=7,
        linewidth=1.6,
        label=name or None,
    )
    for place, count in zip(x, cases, strict=True):
        axes.annotate(
            f"{count:.0f}",
            (place, 0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            color=colour_of(group),
        )


def _name_bands(axes: Axes, spec: TaskSpec) -> None:
    first = _bands_by_group(spec)[0][1]
    axes.set_xticks(range(len(first)), [f"{band.low:g}–{band.high:g}" for band in first])
    axes.set_xlim(-0.6, len(first) - 0.4)
