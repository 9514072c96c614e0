"""The bones and the skin of one child's hand as outlines in millimetres.

The frame: origin where radius and lunate meet, x towards the thumb (right in a picture of the left
hand from behind), y towards the fingers. Shapes are drawn for an adult man (second metacarpal
71 mm) by eye from anatomy, and scaled to the child's bone lengths; `phantom_anatomy` says which
parts are ossified, how far they have grown and how far their growth plates have closed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from data import phantom_anatomy as anatomy

Points: TypeAlias = NDArray[np.float64]
"""(n, 2) corners x, y in millimetres."""
Corners: TypeAlias = tuple[tuple[float, float], ...]
"""The same as a constant."""


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


@dataclass(frozen=True, slots=True)
class Child:
    """One child, as far as the radiograph shows it.

    Attributes:
        age_months: Bone age.
        sex: "female" or "male".
        ahead_months: How far the bones are ahead of the median for this age, by centre.
        size: Bone length relative to the median.
        width: Bone width relative to the median for the length.
        cortex: Cortical thickness relative to the median.
        fat: Soft tissue around the bones relative to the median.
        rays_deg: Directions of the five rays, thumb first, from +y towards +x.
        forearm_deg: Direction of the forearm, from -y towards +x.
    """

    age_months: float
    sex: str
    ahead_months: Mapping[str, float] = field(default_factory=dict)
    size: float = 1.0
    width: float = 1.0
    cortex: float = 1.0
    fat: float = 1.0
    rays_deg: tuple[float, float, float, float, float] = (31.0, 10.0, 1.0, -9.0, -21.0)
    forearm_deg: float = 0.0

    def extent(self, name: str) -> float:
        """Width of a centre as a share of its adult width in this child."""
        return anatomy.extent(name, self._age(name), self.sex)

    def closure(self, name: str) -> float:
        """How far a growth plate has closed in this child."""
        return anatomy.closure(name, self._age(name), self.sex)

    def _age(self, name: str) -> float:
        return self.age_months + self.ahead_months.get(name, 0.0)

    @property
    def scale(self) -> float:
        """Length of the hand, cartilage included, relative to an adult man's."""
        bone = anatomy.metacarpal_length_mm(self.age_months, self.sex) / anatomy.ADULT_LENGTH_MM
        return self.size * (bone + 0.08 * (1 - bone))

    @property
    def shaft_mm(self) -> float:
        """Width of the second metacarpal's shaft."""
        width = anatomy.metacarpal_width_mm(self.age_months, self.sex)
        return self.size * self.width * width

    @property
    def cortical_share(self) -> float:
        """Both cortices as a share of a shaft's width."""
        return min(self.cortex * anatomy.cortical_share(self.age_months, self.sex), 0.8)

    @property
    def growth(self) -> float:
        """From newborn (0) to adult (1): by how much an infant's shapes have become an adult's."""
        return min(max((self.scale - 0.31) / 0.69, 0.0), 1.0)

    @property
    def frame(self) -> Points:
        """What x and y of an adult are multiplied with; infants' hands are broader."""
        return self.scale * np.array([self.breadth, 1.0])

    @property
    def breadth(self) -> float:
        """Breadth relative to length, compared with an adult."""
        return 1 + 0.4 * (1 - self.growth)


# Adult male lengths and mid-shaft widths in mm, thumb first; the middle row has no thumb.
_LENGTHS = {
    "metacarpal": (48.0, 71.1, 68.5, 61.0, 57.0),
    "proximal phalanx": (34.0, 42.5, 47.0, 44.0, 35.0),
    "middle phalanx": (0.0, 26.5, 31.5, 30.0, 21.5),
    "distal phalanx": (24.0, 19.5, 20.5, 20.5, 18.5),
}
_WIDTHS = {
    "metacarpal": (10.6, 9.1, 9.1, 7.8, 8.4),
    "proximal phalanx": (9.6, 9.8, 10.2, 9.6, 8.3),
    "middle phalanx": (0.0, 8.4, 8.9, 8.4, 7.0),
    "distal phalanx": (7.0, 5.2, 5.5, 5.4, 4.8),
}
_PLATES = {
    "metacarpal": 0.115,
    "metacarpal 1": 0.11,
    "proximal phalanx": 0.115,
    "middle phalanx": 0.135,
    "distal phalanx": 0.15,
}
"""The epiphysis with its growth plate, as a share of an adult bone's length."""
_BASES = ((26.0, 30.0), (13.5, 35.0), (2.5, 36.5), (-7.5, 35.0), (-16.5, 32.5))
_METACARPALS_DEG = (42.0, 11.5, 1.0, -10.5, -22.0)
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
_STEPS = (1 - np.cos(np.linspace(0.0, np.pi, 20))) / 2
_WALL = 0.22 + 0.78 * np.sin(np.pi * _STEPS) ** 0.8
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
_RADIUS_CAP: Corners = ((-5.5, -8), (-5.8, -1), (3, 1), (12, 3.5), (20, 8.5), (24, 7.5), (24.5, -2),
               (23.5, -8))  # fmt: skip
_ULNA_CAP: Corners = (
    (-23, -7.5),
    (-23.5, -1),
    (-22, 4),
    (-20, 0),
    (-14, -1),
    (-8.5, -2.5),
    (-8, -7.5),
)
_FOREARM_STATIONS = (0.0, 0.05, 0.14, 0.3, 1.0)
_FOREARM = (
    ("radius", _RADIUS_CAP, (9.2, -9.8), (10.0, -170.0), (14.2, 12.6, 9.6, 7.4, 7.0)),
    ("ulna", _ULNA_CAP, (-15.5, -9.0), (-19.0, -170.0), (7.4, 6.7, 5.5, 5.2, 5.6)),
)
"""Bone, its epiphysis, both ends of its shaft, half widths at the stations from the wrist on."""


def bones(child: Child) -> Iterator[Part]:
    """Yields every ossified piece of the hand, from the forearm to the finger tips."""
    yield from _forearm(child)
    for name, corners in _CARPALS.items():
        yield from _centre(child, name, _rounded(corners) * child.frame)
    for ray in range(5):
        for row, start, end in slots(child, ray):
            yield from _tube(child, row, ray, start, end)
    yield from _sesamoid(child)


def slots(child: Child, ray: int) -> Iterator[tuple[str, Points, Points]]:
    """Yields (row, base, tip) of the bones of one ray (0 is the thumb), in mm."""
    s = child.scale
    gap = (1.3 + 0.9 * (1 - child.growth)) * s
    at = np.array(_BASES[ray]) * child.frame
    for row, lengths in _LENGTHS.items():
        if not lengths[ray]:
            continue
        degrees = child.rays_deg[ray]
        if row == "metacarpal":
            follows = 0.6 if ray == 0 else 0.2
            degrees = follows * degrees + (1 - follows) * _METACARPALS_DEG[ray]
        way = _direction(degrees)
        tip = at + way * lengths[ray] * s
        yield row, at, tip
        at = tip + way * gap


def _direction(degrees: float) -> Points:
    angle = np.deg2rad(degrees)
    return np.array([np.sin(angle), np.cos(angle)])


def _tube(child: Child, row: str, ray: int, start: Points, end: Points) -> Iterator[Part]:
    """Yields shaft and epiphysis of one tubular bone, which are one piece once they have fused."""
    name = f"{row} {ray + 1}"
    at_head = row == "metacarpal" and ray > 0
    kind = name if name in _PROFILES else row
    form = child.growth**0.6
    profile = np.array(_PROFILES[kind]) * form + np.array(_INFANT) * (1 - form)
    half = profile * child.shaft_mm / 2 * _WIDTHS[row][ray] / _WIDTHS["metacarpal"][1]
    plate = _PLATES[name if name in _PLATES else row] * (1 + 0.6 * (1 - child.growth))
    closed = child.closure(name)
    shade = _shade(half.min())
    if closed > 0:
        yield _shaft(child, start, end, half, (0.0, 1.0), (True, False), shade * closed)
    if closed < 1:
        span = (0.0, 1 - plate) if at_head else (plate, 1.0)
        yield _shaft(child, start, end, half, span, (True, at_head), shade * (1 - closed))
        yield from _epiphysis(child, name, start, end, half, plate, at_head)


def _shade(half_mm: float) -> float:
    """Attenuation of a bone by its half width: a thicker bone absorbs more."""
    return float(0.68 * (half_mm / 4.0) ** 0.5)


def _shaft(
    child: Child,
    start: Points,
    end: Points,
    half: Points,
    span: tuple[float, float],
    flat: tuple[bool, bool],
    shade: float,
) -> Part:
    along = end - start
    length = float(np.hypot(*along)) * (span[1] - span[0])
    t = span[0] + (span[1] - span[0]) * _STEPS
    width = np.interp(t, _STATIONS, half)
    outer = width * _cap(_STEPS, width[0] / length, flat[0])
    outer = outer * _cap(_STEPS[::-1], width[-1] / length, flat[1])
    wall = half.min() * child.cortical_share * _WALL
    rim = min(0.5 * child.scale + 0.35, 0.1 * length) / length
    shrunk = np.maximum(outer - wall, 0.12 * outer)
    inner_t = span[0] + (span[1] - span[0]) * (rim + (1 - 2 * rim) * _STEPS)
    return Part(
        _ribbon(start, along, t, outer),
        _ribbon(start, along, inner_t, shrunk),
        min(shade, 1.0),
        0.50 * min(shade, 1.0),
    )


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


def _epiphysis(
    child: Child,
    name: str,
    start: Points,
    end: Points,
    half: Points,
    plate: float,
    at_head: bool,
) -> Iterator[Part]:
    grown, closed = child.extent(name), child.closure(name)
    if not grown:
        return
    joint, inward = (end, start - end) if at_head else (start, end - start)
    length = float(np.hypot(*inward))
    depth = plate * length
    gap = depth * (0.30 - 0.19 * grown) * (1 - 0.75 * closed)
    tall = (depth - gap) / 2
    wide = half[-2 if at_head else 1] * grown * (1.02 if at_head else 1.06)
    high = min(tall, wide) if grown < 0.5 else tall * (0.45 + 0.55 * grown)
    power = 2.0 if at_head else 2.0 + 1.2 * grown
    x = wide * np.copysign(np.abs(_COS) ** (2 / power), _COS)
    y = high * np.copysign(np.abs(_SIN) ** (2 / power), _SIN)
    y = y + tall + 0.22 * depth * grown * (np.abs(x) / wide) ** 3 * (grown > 0.8)
    unit = inward / length
    across = np.array([-unit[1], unit[0]])
    outline = joint + y[:, None] * unit + x[:, None] * across
    yield _solid(outline, 0.55 * child.scale + 0.2, _shade(half.min()) * (1 - closed) * 0.95)


def _solid(outline: Points, rim_mm: float, shade: float) -> Part:
    """A compact bone: a thin dense rim around a spongy inside."""
    middle = outline.mean(axis=0)
    arms = outline - middle
    radius = max(float(np.hypot(arms[:, 0], arms[:, 1]).mean()), 1e-3)
    inner = middle + arms * max(1 - rim_mm / radius, 0.3)
    return Part(outline, inner, min(shade, 1.0), 0.72 * min(shade, 1.0))


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
    return _cut(_cut(np.array(corners)))


def _cut(corners: Points) -> Points:
    """Cuts the corners of a closed polygon (Chaikin 1974)."""
    after = np.roll(corners, -1, axis=0)
    both = np.stack([0.75 * corners + 0.25 * after, 0.25 * corners + 0.75 * after], axis=1)
    return np.asarray(both.reshape(-1, 2))


def _forearm(child: Child) -> Iterator[Part]:
    matrix = forearm_turn(child)
    for name, cap, top, bottom, widths in _FOREARM:
        start, end = np.array([top, bottom]) * child.frame @ matrix
        half = np.interp(_STATIONS, _FOREARM_STATIONS, widths) * child.scale
        half = half * (1 + 0.2 * (1 - child.growth)) * child.width
        closed, shade = child.closure(name), _shade(half.min())
        if closed < 1:
            yield _shaft(child, start, end, half, (0.0, 1.0), (True, True), shade * (1 - closed))
            cap_outline = _rounded(cap) * child.frame @ matrix
            yield from _centre(child, name, cap_outline, 1 - closed)
        if closed > 0:
            whole = _shaft(child, start, end, half, (0.0, 1.0), (True, True), shade * closed)
            yield _crowned(whole, np.array(cap) * child.frame @ matrix)


def _crowned(shaft: Part, cap: Points) -> Part:
    """Shaft and epiphysis as one bone: the epiphysis takes the place of the shaft's flat end."""
    bend = 5  # nodes of that end on each side
    outer = np.concatenate([cap, shaft.outer[bend:-bend]])
    middle = cap.mean(axis=0)
    inner = np.concatenate([middle + 0.93 * (cap - middle), shaft.inner[bend:-bend]])
    return Part(_cut(_cut(outer)), _cut(_cut(inner)), shaft.cortex, shaft.inside)


def forearm_turn(child: Child) -> Points:
    """The matrix that turns row vectors by the direction of the forearm."""
    turn = np.deg2rad(child.forearm_deg)
    return np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])


def _sesamoid(child: Child) -> Iterator[Part]:
    (_, start, end), *_ = slots(child, 0)
    along = end - start
    across = np.array([-along[1], along[0]]) / np.hypot(*along)
    middle = start + 0.93 * along + across * 6.3 * child.scale
    grown = child.extent(anatomy.SESAMOID)
    if grown:
        circle = np.stack([2.6 * np.cos(_TURN), 3.2 * np.sin(_TURN)], axis=1)
        yield _solid(middle + grown * child.scale * circle, 0.6, _shade(3.0))
