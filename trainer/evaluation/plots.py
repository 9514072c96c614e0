"""Pictures of an evaluation: what was told against what is true."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data.domain import TaskSpec
from trainer.evaluation.case_table import Case
from trainer.evaluation.plot_style import (
    FAINT,
    INK,
    colour_of,
    figure,
    groups_of,
    label,
    legend,
    marker_of,
    percent,
    plain_name,
    signed,
    ticks_of,
    tidy,
    with_unit,
)
from trainer.evaluation.scores import NumberScore

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WHISKERS = 60
"""Cases whose interval is drawn; more of them would hide the points."""

Numbers = NDArray[np.float64]


def agreement(spec: TaskSpec, cases: Sequence[Case], score: NumberScore) -> Figure:
    """Draws what was told over what is true, with the line on which both are equal.

    Args:
        spec: The task.
        cases: At least one.
        score: Of the same cases.
    """
    target = spec.target(spec.gate.target)
    picture = figure(7.6)
    axes = picture.subplots()
    ends = _span(cases)
    axes.plot(ends, ends, color=INK, linewidth=1, zorder=2)
    groups = _groups(spec, cases)
    for i, (group, members) in enumerate(groups):
        _points(axes, _truth(members), _told(members), i, group)
        thinned = _thinned(members, WHISKERS // len(groups))
        low, high = (np.asarray([getattr(c, end) for c in thinned]) for end in ("low", "high"))
        axes.vlines(
            _truth(thinned), low, high, color=colour_of(i), alpha=0.35, linewidth=1, zorder=1
        )
    name = plain_name(target)
    promise = f"{percent(score.promised_coverage)} interval"
    title = f"{score.cases} cases: MAE {score.mae:.1f} {target.unit}, r {score.r:.3f}"
    label(
        axes,
        with_unit(f"reference {name}", target),
        with_unit(f"predicted {name}, whiskers: {promise} of some cases", target),
        title,
    )
    axes.set_aspect("equal")
    _finish(axes, spec)
    return picture


def bland_altman(spec: TaskSpec, cases: Sequence[Case]) -> Figure:
    """Draws the difference over the mean of truth and answer (Bland & Altman 1986).

    The limits of agreement, mean ± 1.96 standard deviations, hold 95 % of normal differences.

    Args:
        spec: The task.
        cases: At least two.
    """
    target = spec.target(spec.gate.target)
    picture = figure(5.4)
    axes = picture.subplots()
    for i, (group, members) in enumerate(_groups(spec, cases)):
        true, told = _truth(members), _told(members)
        _points(axes, (true + told) / 2, told - true, i, group)
    shift, low, high = limits_of_agreement(_told(cases) - _truth(cases))
    for height, text, style in (
        (shift, "mean", "-"),
        (low, "mean − 1.96 SD", "--"),
        (high, "mean + 1.96 SD", "--"),
    ):
        axes.axhline(height, color=INK, linewidth=1.2, linestyle=style)
        axes.annotate(
            f"{text}\n{signed(height, 1)}",
            (1.0, height),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=10.5,
            color=INK,
        )
    axes.axhline(0, color=FAINT, linewidth=1, zorder=0)
    name = plain_name(target)
    label(
        axes,
        with_unit(f"mean of reference and predicted {name}", target),
        with_unit("predicted − reference", target),
    )
    _finish(axes, spec)
    return picture


def limits_of_agreement(differences: Numbers) -> tuple[float, float, float]:
    """Returns the mean difference and the 95 % limits of agreement (Bland & Altman 1986).

    Args:
        differences: (n,), n at least 2.
    """
    shift, spread = float(differences.mean()), float(differences.std(ddof=1))
    return shift, shift - 1.96 * spread, shift + 1.96 * spread


def _points(axes: Axes, x: Numbers, y: Numbers, group: int, name: str) -> None:
    axes.scatter(
        x,
        y,
        s=24,
        marker=marker_of(group),
        color=colour_of(group),
        alpha=0.65,
        linewidths=0,
        label=f"{name or 'all'} ({len(x)})",
        zorder=3,
    )


def _groups(spec: TaskSpec, cases: Sequence[Case]) -> list[tuple[str, list[Case]]]:
    by = spec.gate.band_by
    order = spec.target(by).choices if by else ()
    names = groups_of([c.group for c in cases], order)
    return [(name, [c for c in cases if c.group == name]) for name in names]


def _thinned(cases: Sequence[Case], count: int) -> list[Case]:
    """Returns about `count` cases with an interval, evenly spread over the true values."""
    known = sorted((c for c in cases if c.low is not None), key=lambda c: (c.truth, c.id))
    step = max(1, -(-len(known) // max(1, count)))
    return known[::step]


def _truth(cases: Sequence[Case]) -> Numbers:
    return np.asarray([c.truth for c in cases], np.float64)


def _told(cases: Sequence[Case]) -> Numbers:
    return np.asarray([c.told for c in cases], np.float64)


def _span(cases: Sequence[Case]) -> tuple[float, float]:
    both = np.concatenate([_truth(cases), _told(cases)])
    return float(both.min()), float(both.max())


def _finish(axes: Axes, spec: TaskSpec) -> None:
    ticks_of(axes, spec.target(spec.gate.target))
    tidy(axes)
    if spec.gate.band_by:
        legend(axes)
