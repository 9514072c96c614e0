"""One picture of what a version changed: the distribution before and after, and corrected films."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data.domain import TaskSpec
from data.images.sheet import thumbnail
from data.versions.diff import Correction, VersionDiff
from data.versions.markdown import SHORT_ID
from data.versions.pair import VersionPair
from data.versions.picture import NOT_STATED, bin_edges
from data.versions.table import LabelTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

SHOWN_FILMS = 24
COLUMNS = 6
TILE = 220
"""Pixels of a film's side."""

_TOP, _ROW, _HEADING, _ABOVE, _BELOW = 3.6, 2.5, 0.45, 0.4, 0.2
"""Inches: the distribution, a row of films, their heading, the words above and below a film."""
_WIDTH, _DPI = 13, 110
_BEFORE, _AFTER = "#8a8f98", "#3f8fd0"


def diff_picture(
    spec: TaskSpec,
    pair: VersionPair,
    changed: VersionDiff,
    image_of: Callable[[str], Path | None],
) -> Figure:
    """Draws the values before and after by group, and below them the corrected films.

    Args:
        spec: The task.
        pair: The older and the newer version.
        changed: What changed between them.
        image_of: Radiograph id -> its image file, or None where it is not there.

    Returns:
        A figure for `savefig`; at most `SHOWN_FILMS` films, the widest corrections first.
    """
    from matplotlib.figure import Figure

    versions, tables = (pair.old, pair.new), (pair.before, pair.after)
    films = _films(changed.corrections)
    rows, heights = _rows_and_heights(films)
    # Placed by hand: to let matplotlib find a layout takes as long as to draw all of it.
    figure = Figure(figsize=(_WIDTH, sum(heights)), dpi=_DPI)
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    _distribution(parts[0], spec, versions, tables)
    parts[0].subplots_adjust(left=0.06, right=0.98, bottom=0.17, top=0.78, wspace=0.06)
    parts[0].suptitle(f"{versions[0]} → {versions[1]}: {changed}", fontsize=13)
    if films:
        _contact_sheet(parts[1], films, rows, image_of)
        shown = "" if len(films) == _corrected(changed) else f"{len(films)} of "
        parts[1].suptitle(f"{shown}{_corrected(changed)} corrected, old → new", fontsize=11)
    return figure


def picture_size(changed: VersionDiff) -> tuple[int, int]:
    """Returns width and height of the picture in pixels, before it is drawn."""
    _, heights = _rows_and_heights(_films(changed.corrections))
    return _WIDTH * _DPI, int(sum(heights) * _DPI)


def _rows_and_heights(films: Sequence[Sequence[Correction]]) -> tuple[int, list[float]]:
    """Returns the rows of films, and the inches of the distribution and of the films, if any."""
    rows = math.ceil(len(films) / COLUMNS)
    return rows, [_TOP, *([_ROW * rows + _HEADING] if films else [])]


def _corrected(changed: VersionDiff) -> int:
    return len(changed.corrected)


def _films(corrections: Sequence[Correction]) -> list[list[Correction]]:
    """Returns the corrections of each film that is shown, the widest ones first."""
    films: dict[str, list[Correction]] = {}
    for correction in corrections:
        films.setdefault(correction.radiograph_id, []).append(correction)
    return sorted(films.values(), key=_width, reverse=True)[:SHOWN_FILMS]


def _width(corrections: Sequence[Correction]) -> float:
    """Returns the largest change of a number; a choice that changed comes before all numbers."""
    widths = []
    for correction in corrections:
        try:
            widths.append(abs(float(correction.new) - float(correction.old)))
        except ValueError:  # A choice, or a value that came or went.
            widths.append(math.inf)
    return max(widths)


def _distribution(
    part: SubFigure,
    spec: TaskSpec,
    versions: tuple[str, str],
    tables: tuple[LabelTable, LabelTable],
) -> None:
    target, by = spec.target(spec.gate.target), spec.gate.band_by
    if target.kind == "choice":
        _bars(part.subplots(), target.name, target.choices, versions, tables)
        return
    values = [_values(table, target.name, by) for table in tables]
    groups = spec.target(by).choices if by else ("",)
    if by and any("" in of for of in values):
        groups += ("",)
    edges = bin_edges(target, [value for of in values for group in of.values() for value in group])
    places = part.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    for axes, group in zip(places, groups, strict=True):
        before, after = (of.get(group, []) for of in values)
        axes.hist(
            after, edges, color=_AFTER, rwidth=0.9, label=f"{versions[1]}: {len(after)}", zorder=2
        )
        axes.hist(
            before,
            edges,
            histtype="step",
            color="black",
            linewidth=1.3,
            label=f"{versions[0]}: {len(before)}",
            zorder=3,
        )
        axes.set_title(group or (NOT_STATED if by else target.name), fontsize=11)
        axes.set_xlabel(f"{target.name} ({target.unit})" if target.unit else target.name)
        _plain(axes)
    places[0].set_ylabel("radiographs")


def _bars(
    axes: Axes,
    name: str,
    choices: Sequence[str],
    versions: tuple[str, str],
    tables: tuple[LabelTable, LabelTable],
) -> None:
    for number, (version, table) in enumerate(zip(versions, tables, strict=True)):
        cells = list(table.column(name))
        axes.bar(
            [place + 0.4 * number - 0.2 for place in range(len(choices))],
            [cells.count(choice) for choice in choices],
            width=0.38,
            color=(_BEFORE, _AFTER)[number],
            label=f"{version}: {len(cells)}",
        )
    axes.set_xticks(range(len(choices)), choices)
    axes.set_title(name, fontsize=11)
    axes.set_ylabel("radiographs")
    _plain(axes)


def _plain(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.legend(frameon=False, fontsize=9)
    axes.grid(axis="y", alpha=0.3)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _values(table: LabelTable, target: str, by: str | None) -> dict[str, list[float]]:
    """Returns group -> values."""
    cells = table.column(target)
    values: dict[str, list[float]] = {}
    for cell, group in zip(cells, table.column(by) if by else [""] * len(cells), strict=True):
        if cell:
            values.setdefault(group, []).append(float(cell))
    return values


def _contact_sheet(
    part: SubFigure,
    films: Sequence[Sequence[Correction]],
    rows: int,
    image_of: Callable[[str], Path | None],
) -> None:
    places = part.subplots(rows, COLUMNS, squeeze=False).flat
    height = _ROW * rows + _HEADING
    part.subplots_adjust(
        left=0.01,
        right=0.99,
        bottom=_BELOW / height,
        top=1 - (_HEADING + _ABOVE) / height,
        wspace=0.04,
        hspace=(_ABOVE + _BELOW) / (_ROW - _ABOVE - _BELOW),
    )
    for axes in places:
        axes.set_axis_off()
    for axes, corrections in zip(part.axes, films, strict=False):
        key = corrections[0].radiograph_id
        axes.imshow(thumbnail(image_of(key), TILE), cmap="gray", vmin=0, vmax=255)
        values = ", ".join(f"{c.old or '–'} → {c.new or '–'}" for c in corrections)
        axes.set_title(f"{values}\n{_short(corrections[0].readers)}", fontsize=9)
        axes.text(
            0.5,
            -0.02,
            key[:SHORT_ID],
            transform=axes.transAxes,
            ha="center",
            va="top",
            fontsize=7,
            color="#666666",
            family="monospace",
        )


def _short(readers: Sequence[str]) -> str:
    names = ", ".join(reader.partition("@")[0] for reader in readers)
    return names if len(names) <= 28 else f"{names[:27]}…"
