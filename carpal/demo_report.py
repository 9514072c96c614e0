"""The table and the plot at the end of `carpal demo`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from carpal.version_pages import save_picture

if TYPE_CHECKING:
    from carpal.demo import Round


def print_table(rounds: Sequence[Round], console: Console) -> None:
    """Prints one line for each round."""
    table = Table(
        title="Round by round (MAE in months, frozen test split)",
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    for name in ("version", "labels", "model"):
        table.add_column(name, no_wrap=True)
    for name in ("MAE", "95 %", "by mean"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("promoted", no_wrap=True)
    for turn in rounds:
        table.add_row(
            turn.version,
            str(turn.labels),
            turn.model,
            _number(turn.mae_months),
            "–" if turn.mae_ci95 is None else f"{turn.mae_ci95[0]:.1f}–{turn.mae_ci95[1]:.1f}",
            _number(turn.baseline_mae_months),
            "yes" if turn.promoted else "no",
        )
    console.print(table)
    for turn in rounds:
        console.print(f"{turn.version}: {turn.reason}", markup=False, highlight=False)


def draw_plot(rounds: Sequence[Round], path: Path) -> None:
    """Draws the error on the frozen test split against the labels, with its interval.

    Raises:
        InvalidInputError: The file's name ends with no format of pictures.
        StorageError: It cannot be written.
    """
    from matplotlib.figure import Figure

    measured = [r for r in rounds if r.mae_months is not None and r.mae_ci95 is not None]
    labels = [r.labels for r in measured]
    errors = [r.mae_months or 0.0 for r in measured]
    low = [e - (r.mae_ci95 or (0.0, 0.0))[0] for e, r in zip(errors, measured, strict=True)]
    high = [(r.mae_ci95 or (0.0, 0.0))[1] - e for e, r in zip(errors, measured, strict=True)]
    figure = Figure(figsize=(7, 4.2), layout="constrained", dpi=120)
    axes = figure.subplots()
    axes.errorbar(
        labels, errors, yerr=[low, high], fmt="o-", capsize=4, label="model (95 % interval)"
    )
    axes.plot(
        labels,
        [r.baseline_mae_months or math.nan for r in measured],
        "--",
        color="grey",
        label="mean age by sex",
    )
    for turn, x, y in zip(measured, labels, errors, strict=True):
        text = turn.version + ("" if turn.promoted else " (not promoted)")
        axes.annotate(text, (x, y), textcoords="offset points", xytext=(6, 6), fontsize=8)
    axes.set_xlabel("expert labels in the dataset version")
    axes.set_ylabel("MAE on the frozen test split (months)")
    axes.set_xticks(labels)
    axes.margins(x=0.15)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    save_picture(figure, path)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
