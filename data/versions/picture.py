"""The picture in `DATASET.md`: how many radiographs there are of each age and sex.

It is written as SVG by hand, which takes a few milliseconds and 10 kB, gives the same bytes with
any version of any library, and needs nothing loaded while a version is committed. Its colours are
readable on a light and on a dark page.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from data.domain import Split, Target, TaskSpec
from data.versions.tally import Tally

NOT_STATED = "not stated"
BINS = 20
"""Bars of a number, about."""

_WIDTH, _HEIGHT = 760, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 34, 46
"""Pixels around the plot."""
_COLOURS = ("#3f8fd0", "#d9722e", "#3aa37c", "#b868b0", "#8a8f98")
_INK = "#7b818a"
"""Of text and axes: 4 : 1 or better against white and against near-black."""


@dataclass(frozen=True, slots=True)
class Bars:
    """What the picture shows: for each bin one bar of each group.

    Attributes:
        title: Of the picture.
        axis: Below the bins.
        bins: Name of each bin, in order.
        ticks: (position in bins, text) below the axis.
        groups: Name of each group.
        counts: Group by bin.
    """

    title: str
    axis: str
    bins: Sequence[str]
    ticks: Sequence[tuple[float, str]]
    groups: Sequence[str]
    counts: Sequence[Sequence[int]]


def picture_name(spec: TaskSpec) -> str:
    """Returns the file of the picture in the repository, such as `age_months_by_sex.svg`."""
    target, by = spec.gate.target, spec.gate.band_by
    if spec.target(target).kind == "choice":
        return f"{target}_by_split.svg"
    return f"{target}_by_{by}.svg" if by else f"{target}.svg"


def histogram_svg(spec: TaskSpec, tally: Tally) -> str:
    """Draws the gate's target: a number by the choice that splits its bands, a choice by split.

    The same counts give the same bytes.
    """
    target = spec.target(spec.gate.target)
    return _draw(_of_choice(target, tally) if target.kind == "choice" else _of_number(spec, tally))


def bin_edges(target: Target, values: Sequence[float]) -> list[float]:
    """Returns the edges of about `BINS` equal bins of a round width that hold the values.

    Args:
        target: Its range is covered where it has one.
        values: All finite; may be empty.
    """
    low = target.minimum if target.minimum is not None else min(values, default=0.0)
    high = target.maximum if target.maximum is not None else max(values, default=1.0)
    low, high = min([low, *values]), max([high, *values])
    width = (high - low) / BINS or 1.0
    if target.unit == "months" and width > 6:
        width = 12.0 * round(width / 12)  # Ages are thought of in years.
    else:
        width = _round_width(width)
    first = math.floor(low / width)
    count = max(1, math.ceil(high / width - first))
    return [width * (first + number) for number in range(count + 1)]


def _round_width(width: float) -> float:
    power = 10.0 ** math.floor(math.log10(width))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= width * 0.999)


def _of_number(spec: TaskSpec, tally: Tally) -> Bars:
    target, by = spec.target(spec.gate.target), spec.gate.band_by
    read = tally.counts[(target.name, by) if by else (target.name,)]
    values = {cell: float(cell) for cell, *_ in read if cell}
    edges = bin_edges(target, [*values.values()])
    low, width, last = edges[0], edges[1] - edges[0], len(edges) - 2
    counts: Counter[tuple[str, int]] = Counter()
    for (cell, *group), count in read.items():
        if cell:
            counts["".join(group), min(int((values[cell] - low) / width), last)] += count
    names = [*spec.target(by).choices] if by else [""]
    if any((("", number) in counts) for number in range(last + 1)) and by:
        names.append("")
    step = 1 if last < 12 else 2
    return Bars(
        title=f"{target.name} by {by}" if by else target.name,
        axis=f"{target.name} ({target.unit})" if target.unit else target.name,
        bins=[f"{edges[i]:g} to {edges[i + 1]:g}" for i in range(last + 1)],
        ticks=[(float(i), f"{edges[i]:g}") for i in range(0, last + 2, step)],
        groups=[name or (NOT_STATED if by else "radiographs") for name in names],
        counts=[[counts[name, number] for number in range(last + 1)] for name in names],
    )


def _of_choice(target: Target, tally: Tally) -> Bars:
    counts = tally.counts["split", target.name]
    choices = [*target.choices, *([""] if any(not choice for _, choice in counts) else [])]
    return Bars(
        title=f"{target.name} by split",
        axis=target.name,
        bins=[choice or NOT_STATED for choice in choices],
        ticks=[(i + 0.5, choice or NOT_STATED) for i, choice in enumerate(choices)],
        groups=[split.value for split in Split],
        counts=[[counts[split.value, choice] for choice in choices] for split in Split],
    )


def _draw(bars: Bars) -> str:
    most = max((count for group in bars.counts for count in group), default=0)
    step = max(1, int(_round_width(most / 4))) if most else 1
    top = step * max(1, math.ceil(most / step))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" role="img" font-family="sans-serif" '
        f'font-size="12" fill="{_INK}">',
        f"<title>{escape(bars.title)}</title>",
        *_grid(range(0, top + 1, step), top),
        *_groups(bars, top),
        *_axis(bars),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _grid(steps: Sequence[int], top: int) -> list[str]:
    lines = []
    for count in steps:
        y = _height_of(count, top)
        opacity = 0.9 if count == 0 else 0.25
        lines.append(
            f'<path d="M{_LEFT} {y:g}H{_WIDTH - _RIGHT}" stroke="{_INK}" '
            f'stroke-opacity="{opacity:g}"/>'
        )
        lines.append(f'<text x="{_LEFT - 8}" y="{y + 4:g}" text-anchor="end">{count}</text>')
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    lines.append(
        f'<text transform="translate(14 {middle:g}) rotate(-90)" text-anchor="middle">'
        "radiographs</text>"
    )
    return lines


def _groups(bars: Bars, top: int) -> list[str]:
    bin_width = (_WIDTH - _LEFT - _RIGHT) / len(bars.bins)
    width = min(bin_width * 0.84 / len(bars.groups), 60.0)
    start = (bin_width - width * len(bars.groups)) / 2
    lines: list[str] = []
    x_of_key = float(_LEFT)
    for number, (group, counts) in enumerate(zip(bars.groups, bars.counts, strict=True)):
        colour = _COLOURS[number % len(_COLOURS)] if group != NOT_STATED else _COLOURS[-1]
        lines.append(f'<g fill="{colour}">')
        for place, count in enumerate(counts):
            if count:
                x = _LEFT + place * bin_width + start + number * width
                y = _height_of(count, top)
                lines.append(
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{width - 1:.1f}" '
                    f'height="{_HEIGHT - _BOTTOM - y:.1f}"><title>{escape(group)}, '
                    f"{escape(bars.bins[place])}: {count}</title></rect>"
                )
        lines.append(f'<rect x="{x_of_key:.1f}" y="10" width="11" height="11"/></g>')
        label = f"{group}: {sum(counts)}"
        lines.append(f'<text x="{x_of_key + 16:.1f}" y="20">{escape(label)}</text>')
        x_of_key += 16 + 7 * len(label) + 22
    return lines


def _axis(bars: Bars) -> list[str]:
    bin_width = (_WIDTH - _LEFT - _RIGHT) / len(bars.bins)
    base = _HEIGHT - _BOTTOM
    lines = [
        f'<text x="{_LEFT + place * bin_width:.1f}" y="{base + 17}" text-anchor="middle">'
        f"{escape(text)}</text>"
        for place, text in bars.ticks
    ]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    lines.append(
        f'<text x="{middle:g}" y="{_HEIGHT - 9}" text-anchor="middle">{escape(bars.axis)}</text>'
    )
    return lines


def _height_of(count: int, top: int) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * count / top
