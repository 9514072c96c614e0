"""The bones of one child's hand as outlines in millimetres.

Shapes are drawn for an adult man (second metacarpal 71 mm) by eye from anatomy and scaled to the
child; `phantom_anatomy` says which parts are ossified, how far they have grown and how far their
growth plates have closed. The frame is that of `phantom_hand`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np

from data.phantoms import anatomy
from data.phantoms.hand import Child, Points, forearm_turn, ray_bones

Corners: TypeAlias = tuple[tuple[float, float], ...]
"""An outline in millimetres, as a constant."""


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of bone.

    Attributes:
        outer: Its outline.
        inner: The border between dense cortex and the spongy inside.
        cortex: Attenuation of the cortex, 0..1.
        inside: Attenuation of the inside, 0..1.
    """

    outer: Points
    inner: Points
    cortex: float
    inside: float


# Adult mid-shaft widths in mm, thumb first.
_WIDTHS = {
    "metacarpal": (10.6, 9.1, 9.1, 7.8, 8.4),
    "proximal phalanx": (9.6, 9.8, 10.2, 9.6, 8.3),
    "middle phalanx": (0.0, 8.4, 8.9, 8.4, 7.0),
    "distal phalanx": (7.0, 5.2, 5.5, 5.4, 4.8),
}
_PLATES = {
    "metacarpal": 0.115,
    "proximal phalanx": 0.115,
    "middle phalanx": 0.135,
    "distal phalanx": 0.15,
}
"""The epiphysis with its growth plate, as a share of an adult bone's length."""
_STATIONS = (0.0, 0.08, 0.2, 0.35, 0.5, 0.65, 0.8, 0.92, 1.0)
"""Where the profiles below are given: from the base (0) to the head (1) of a bone."""
_PROFILES = {
    "metacarpal": (1.52, 1.60, 1.28, 1.00, 0.93, 1.00, 1.40, 1.96, 1.90),
    "metacarpal 1": (1.62, 1.68, 1.25, 1.00, 0.95, 1.00, 1.25, 1.55, 1.45),
    "proximal phalanx": (1.70, 1.74, 1.38, 1.10, 0.98, 0.94, 1.02, 1.28, 1.20),
    "middle phalanx": (1.70, 1.72, 1.38, 1.08, 0.98, 0.96, 1.08, 1.34, 1.24),
    "distal phalanx": (2.15, 2.05, 1.50, 1.12, 0.96, 0.86, 0.96, 1.42, 1.15),
}
"""Width relative to the middle of the shaft in an adult."""
_INFANT = (1.22, 1.24, 1.10, 1.0, 0.96, 1.0, 1.10, 1.22, 1.18)
"""The same in any bone of a newborn."""
_STEPS = (1 - np.cos(np.linspace(0.0, np.pi, 20))) / 2
"""Where a shaft's outline has its corners, from base to head."""
_WALL = 0.22 + 0.78 * np.sin(np.pi * _STEPS) ** 0.8
"""Thickness of the cortex along the shaft relative to the middle."""
_TURN = np.linspace(0.0, 2 * np.pi, 28, endpoint=False)
_COS, _SIN = np.cos(_TURN), np.sin(_TURN)

_CARPALS: dict[str, Corners] = {
    "capitate": ((-5, 17), (-3, 13), (2, 12), (6, 16), (6, 23), (7.5, 33), (2, 35), (-4.5, 34),
                 (-6, 26), (-5.5, 21)),
    "hamate": ((-6, 33.5), (-7, 26), (-7, 17), (-10, 16), (-15, 21), (-19.5, 28), (-19, 31),
               (-13, 32)),
    "triquetral": ((-10.5, 14.5), (-10, 9), (-14, 6.5), (-19, 8.5), (-21.5, 13), (-19, 19),
                   (-15, 18.5)),
    "lunate": ((-9.5, 7), (-7, 2.5), (-1, 1.5), (4, 4), (4.5, 9), (0.5, 11), (-5, 12), (-8.5, 11)),
    "trapezium": ((15.5, 22), (20, 21), (26, 23.5), (27.5, 28), (22, 31.5), (16.5, 31), (14, 26)),
    "trapezoid": ((7.5, 24), (12.5, 22.5), (15, 27), (14.5, 33), (9.5, 34), (8, 29)),
    "scaphoid": ((5.5, 5.5), (11, 6), (18, 10.5), (21, 16), (19, 20), (14, 20.5), (9, 17),
                 (6.5, 12)),
    "pisiform": ((-22, 9), (-19.5, 6), (-15.5, 7), (-14.5, 12), (-17, 16), (-21, 15)),
}  # fmt: skip
_CAPS: dict[str, Corners] = {
    "radius": ((-5.5, -8), (-5.8, -1), (3, 1), (12, 3.5), (20, 8.5), (24, 7.5), (24.5, -2),
               (23.5, -8)),
    "ulna": ((-23, -7.5), (-23.5, -1), (-22, 4), (-20, 0), (-14, -1), (-8.5, -2.5), (-8, -7.5)),
}  # fmt: skip
"""Epiphyses of the forearm, from the ulnar corner over the joint to the radial corner."""
_FOREARM_STATIONS = (0.0, 0.05, 0.14, 0.3, 1.0)
_FOREARM = (
    ("radius", (9.2, -9.8), (10.0, -170.0), (14.2, 12.6, 9.6, 7.4, 7.0)),
    ("ulna", (-15.5, -9.0), (-19.0, -170.0), (7.4, 6.7, 5.5, 5.2, 5.6)),
)
"""Bone, both ends of its shaft, half widths at the stations from the wrist on."""


def bones(child: Child) -> Iterator[Part]:
    """Yields every ossified piece of the hand, from the forearm to the finger tips."""
    yield from _forearm(child)
    for name, corners in _CARPALS.items():
        yield from _centre(child, name, _rounded(corners) * child.frame)
    for ray in range(5):
        for row, start, end in ray_bones(child, ray):
            yield from _finger_bone(child, row, ray, start, end)
    yield from _sesamoid(child)


@dataclass(frozen=True, slots=True)
class _Tube:
    """A tubular bone: the ends of its axis and its half widths at `_STATIONS`, in mm."""

    start: Points
    end: Points
    half: Points

    @property
    def shade(self) -> float:
        return _shade(float(self.half.min()))


def _shade(half_mm: float) -> float:
    """Attenuation of a bone by its half width: a thicker bone absorbs more."""
    return float(min(0.68 * (half_mm / 4.0) ** 0.5, 1.0))


def _finger_bone(child: Child, row: str, ray: int, start: Points, end: Points) -> Iterator[Part]:
    """Yields shaft and epiphysis of a metacarpal or phalanx, one piece once they have fused."""
    name = f"{row} {ray + 1}"
    at_head = row == "metacarpal" and ray > 0
    form = child.growth**0.6
    profile = np.array(_PROFILES.get(name, _PROFILES[row])) * form + np.array(_INFANT) * (1 - form)
    width = child.shaft_mm * _WIDTHS[row][ray] / _WIDTHS["metacarpal"][1]
    tube = _Tube(start, end, profile * width / 2)
    plate = _PLATES[row] * (1 + 0.4 * (1 - child.growth))
    closed = child.closure(name)
    if closed > 0:
        yield _shaft(child, tube, (0.0, 1.0), at_head=False, shade=tube.shade * closed)
    if closed < 1:
        span = (0.0, 1 - plate) if at_head else (plate, 1.0)
        yield _shaft(child, tube, span, at_head, tube.shade * (1 - closed))
        yield from _epiphysis(child, name, tube, plate, at_head)


def _shaft(
    child: Child, tube: _Tube, span: tuple[float, float], at_head: bool, shade: float
) -> Part:
    """The part `span` (shares of the length) of a tube; its head is flat at a growth plate."""
    along, share = tube.end - tube.start, span[1] - span[0]
    length = float(np.hypot(*along)) * share
    t = span[0] + share * _STEPS
    width = np.interp(t, _STATIONS, tube.half)
    outer = width * _cap(_STEPS, width[0] / length, flat=True)
    outer = outer * _cap(_STEPS[::-1], width[-1] / length, flat=at_head)
    wall = tube.half.min() * child.cortical_share * _WALL
    rim = min(0.5 * child.scale + 0.35, 0.1 * length) / length
    inner_t = span[0] + share * (rim + (1 - 2 * rim) * _STEPS)
    inner = np.maximum(outer - wall, 0.12 * outer)
    around = _ribbon(tube.start, along, t, outer), _ribbon(tube.start, along, inner_t, inner)
    return Part(*around, cortex=shade, inside=0.5 * shade)


def _cap(u: Points, reach: float, flat: bool) -> Points:
    """Narrowing of a bone's end, 0 at u=0: a half ellipse, or a nearly flat end."""
    depth, power = (0.35 * reach, 3.5) if flat else (0.8 * reach, 2.2)
    near = np.maximum(1 - u / depth, 0.0)
    return np.asarray((1 - near**power) ** (1 / power))


def _ribbon(start: Points, along: Points, t: Points, half: Points) -> Points:
    """The outline around the axis start + t * along with the given half widths."""
    across = np.array([-along[1], along[0]]) / np.hypot(*along)
    axis = start + t[:, None] * along
    side = half[:, None] * across
    return np.concatenate([axis + side, (axis - side)[::-1]])


def _epiphysis(child: Child, name: str, tube: _Tube, plate: float, at_head: bool) -> Iterator[Part]:
    """Yields the epiphysis within the last share `plate` of a tube: first a dot, then a disc."""
    grown, closed = child.extent(name), child.closure(name)
    if not grown:
        return
    ends = (tube.end, tube.start) if at_head else (tube.start, tube.end)
    inward = ends[1] - ends[0]
    length = float(np.hypot(*inward))
    depth = plate * length
    gap = depth * (0.30 - 0.19 * grown) * (1 - 0.75 * closed)
    tall = (depth - gap) / 2
    wide = tube.half[-2 if at_head else 1] * grown * 1.04
    high = min(tall, wide) if grown < 0.5 else tall * (0.45 + 0.55 * grown)
    power = 2.0 if at_head else 2.0 + 1.2 * grown
    x = wide * np.copysign(np.abs(_COS) ** (2 / power), _COS)
    y = high * np.copysign(np.abs(_SIN) ** (2 / power), _SIN)
    # Before it fuses, the epiphysis caps the shaft: its edges bend over the growth plate.
    capping = 1.1 * max(grown - 0.8, 0.0) * depth
    y = tall + y + capping * (np.abs(x) / wide) ** 3
    unit = inward / length
    outline = ends[0] + y[:, None] * unit + x[:, None] * np.array([-unit[1], unit[0]])
    yield _solid(outline, 0.55 * child.scale + 0.2, tube.shade * (1 - closed) * 0.95)


def _solid(outline: Points, rim_mm: float, shade: float) -> Part:
    """A compact bone: a thin dense rim around a spongy inside."""
    middle = outline.mean(axis=0)
    arms = outline - middle
    radius = max(float(np.hypot(arms[:, 0], arms[:, 1]).mean()), 1e-3)
    inner = middle + arms * max(1 - rim_mm / radius, 0.3)
    return Part(outline, inner, cortex=shade, inside=0.72 * shade)


def _centre(child: Child, name: str, adult: Points, fade: float = 1.0) -> Iterator[Part]:
    """Yields a centre that grows from a small round dot to its adult outline."""
    grown = child.extent(name)
    if not grown or not fade:
        return
    middle = adult.mean(axis=0)
    arms = adult - middle
    reach = np.hypot(arms[:, 0], arms[:, 1])[:, None]
    form = max(grown - 0.3, 0.0) / 0.7
    outline = middle + 1.06 * grown * arms * (form + (1 - form) * reach.mean() / reach)
    shade = _shade(child.shaft_mm * 0.62) * (0.75 + 0.25 * grown) * fade
    yield _solid(outline, 0.7 * child.scale + 0.15, shade)


@cache
def _rounded(corners: Corners) -> Points:
    """A closed polygon with round corners."""
    return _cut(_cut(np.array(corners)))


def _cut(corners: Points) -> Points:
    """Cuts the corners of a closed polygon (Chaikin 1974)."""
    after = np.roll(corners, -1, axis=0)
    both = np.stack([0.75 * corners + 0.25 * after, 0.25 * corners + 0.75 * after], axis=1)
    return np.asarray(both.reshape(-1, 2))


def _forearm(child: Child) -> Iterator[Part]:
    matrix = forearm_turn(child)
    for name, top, bottom, widths in _FOREARM:
        start, end = np.array([top, bottom]) * child.frame @ matrix
        half = np.interp(_STATIONS, _FOREARM_STATIONS, widths) * child.scale
        tube = _Tube(start, end, half * (1.2 - 0.2 * child.growth) * child.width)
        closed, whole = child.closure(name), (0.0, 1.0)
        if closed < 1:
            yield _shaft(child, tube, whole, at_head=True, shade=tube.shade * (1 - closed))
            cap = _rounded(_CAPS[name]) * child.frame @ matrix
            yield from _centre(child, name, cap, 1 - closed)
        if closed > 0:
            shaft = _shaft(child, tube, whole, at_head=True, shade=tube.shade * closed)
            yield _crowned(shaft, np.array(_CAPS[name]) * child.frame @ matrix)


def _crowned(shaft: Part, cap: Points) -> Part:
    """Shaft and epiphysis as one bone: the epiphysis takes the place of the shaft's flat end."""
    bend = 5  # nodes of that end on each side
    outer = np.concatenate([cap, shaft.outer[bend:-bend]])
    middle = cap.mean(axis=0)
    inner = np.concatenate([middle + 0.93 * (cap - middle), shaft.inner[bend:-bend]])
    return Part(_cut(_cut(outer)), _cut(_cut(inner)), shaft.cortex, shaft.inside)


def _sesamoid(child: Child) -> Iterator[Part]:
    """Yields the adductor sesamoid, beside the thumb metacarpal's head on the index side."""
    (_, start, end), *_ = ray_bones(child, 0)
    along = end - start
    across = np.array([-along[1], along[0]]) / np.hypot(*along)
    middle = start + 0.93 * along + across * 6.3 * child.scale
    grown = child.extent(anatomy.SESAMOID)
    if grown:
        circle = np.stack([2.6 * np.cos(_TURN), 3.2 * np.sin(_TURN)], axis=1)
        yield _solid(middle + grown * child.scale * circle, 0.6, _shade(3.0))
