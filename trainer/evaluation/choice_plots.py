"""Pictures of how sure the answers are, and of how the training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from trainer.evaluation.choice_scores import Chances, ChoiceScore, reliability
from trainer.evaluation.coverage import exact_interval
from trainer.evaluation.plot_style import (
    INK,
    colour_of,
    figure,
    label,
    legend,
    marker_of,
    percent,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def calibration(name: str, truth: Sequence[str], chances: Chances, score: ChoiceScore) -> Figure:
    """Draws how often answers are right over how sure they are (reliability diagram).

    Args:
        name: The choice target.
        truth: (n,) true choices.
        chances: (n,) what the model said, at least one of them not empty.
        score: Of the same cases.
    """
    picture = figure(6.4)
    axes, below = picture.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    bins = reliability(truth, chances)
    x = [b.confidence for b in bins]
    y = np.asarray([b.accuracy for b in bins])
    ends = np.asarray([exact_interval(round(b.accuracy * b.cases), b.cases) for b in bins])
    axes.plot((0, 1), (0, 1), color=INK, linewidth=1, label="as sure as right")
    axes.errorbar(
        x,
        y,
        yerr=[y - ends[:, 0], ends[:, 1] - y],
        fmt="o",
        color=colour_of(0),
        capsize=4,
        markersize=7,
        linewidth=1.6,
        label="answers, exact 95 % limits",
    )
    sure = [max(p.values()) for p in chances if p]
    below.hist(sure, bins=np.linspace(0, 1, 31).tolist(), color=colour_of(0), alpha=0.7)
    low = min(x) - 0.06
    axes.set_xlim(max(0.0, low), 1.01)
    axes.set_ylim(max(0.0, min(low, float(ends[:, 0].min()) - 0.03)), 1.02)
    title = f"{name}: {score.cases} cases, accuracy {percent(score.accuracy, 1)}"
    if np.isfinite(score.auroc):
        title += f", AUROC {score.auroc:.3f}"
    label(axes, "", "share of right answers", f"{title}, ECE {score.ece:.3f}")
    label(below, "probability of the answer", "cases")
    for part in (axes, below):
        tidy(part)
    legend(axes)
    return picture


def training_curves(history: Sequence[Mapping[str, float]], unit: str = "") -> Figure:
    """Draws what was noted of each epoch: losses above, errors and other figures below.

    Args:
        history: Per epoch `epoch` and figures; of several networks with `member`, their number.
        unit: Of the figures that are errors.
    """
    names = sorted({key for row in history for key in row} - {"epoch", "member", "seconds"})
    losses = [name for name in names if "loss" in name]
    others = [name for name in names if name not in losses and "rate" not in name]
    parts = [part for part in (losses, others) if part]
    picture = figure(2.2 + 2.2 * len(parts))
    places = picture.subplots(len(parts), 1, sharex=True, squeeze=False)[:, 0]
    for axes, part in zip(places, parts, strict=True):
        for i, name in enumerate(part):
            _curves(axes, history, name, i)
        shown = f" ({unit})" if unit and all("error" in name for name in part) else ""
        label(axes, "", part[0].replace("_", " ") + shown if len(part) == 1 else shown)
        tidy(axes)
        if len(part) > 1:
            legend(axes, "best")
        low, high = axes.get_ylim()
        if low > 0:
            axes.set_ylim(0, high)
    label(places[-1], "epoch", places[-1].get_ylabel())
    places[0].set_title("Training", fontsize=12.5, color=INK, loc="left")
    return picture


def _curves(axes: Axes, history: Sequence[Mapping[str, float]], name: str, colour: int) -> None:
    """Draws one figure over the epochs, one line per network."""
    members = sorted({row.get("member", 0.0) for row in history})
    for member in members:
        rows = [r for r in history if r.get("member", 0.0) == member and name in r]
        axes.plot(
            [r["epoch"] for r in rows],
            [r[name] for r in rows],
            color=colour_of(colour),
            marker=marker_of(colour),
            markersize=4,
            alpha=1.0 if len(members) == 1 else 0.6,
            linewidth=1.6,
            label=name.replace("_", " ") if member == members[0] else None,
        )
