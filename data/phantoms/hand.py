"""One child's hand in millimetres: its size, the layout of its rays, its silhouette.

The frame: origin where radius and lunate meet, x towards the thumb (right in a picture of the left
hand from behind), y towards the fingers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from data.phantoms import anatomy

Points: TypeAlias = NDArray[np.float64]
"""(n, 2) corners, or (2,) one point: x, y in millimetres."""

RAYS_DEG = (31.0, 10.0, 1.0, -9.0, -21.0)
"""Directions of thumb and fingers, from +y towards +x, of a hand laid down at ease."""
_BASES = ((26.0, 30.0), (13.5, 35.0), (2.5, 36.5), (-7.5, 35.0), (-16.5, 32.5))
_METACARPALS_DEG = (42.0, 11.5, 1.0, -10.5, -22.0)
"""Bases of the metacarpals of an adult man, thumb first, and the directions of those bones."""
_LENGTHS = {
    "metacarpal": (48.0, 71.1, 68.5, 61.0, 57.0),
    "proximal phalanx": (34.0, 42.5, 47.0, 44.0, 35.0),
    "middle phalanx": (0.0, 26.5, 31.5, 30.0, 21.5),
    "distal phalanx": (24.0, 19.5, 20.5, 20.5, 18.5),
}
"""Bones of an adult man, thumb first; the thumb has no middle phalanx."""
_TURN = np.linspace(0.0, 2 * np.pi, 20, endpoint=False)
_DISC = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)


@dataclass(frozen=True, slots=True)
class Child:
    """One child, as far as the radiograph shows it.

    Attributes:
        age_months: Bone age.
        sex: "female" or "male".
        ahead_months: How far a centre is ahead of the median for this age, by its name.
        size: Bone length relative to the median.
        width: Bone width relative to the median for the length.
        cortex: Cortical thickness relative to the median.
        fat: Soft tissue around the bones relative to the median.
        rays_deg: Directions of thumb and fingers (5), from +y towards +x.
        forearm_deg: Direction of the forearm, from -y towards +x.
    """

    age_months: float
    sex: str
    ahead_months: Mapping[str, float] = field(default_factory=dict)
    size: float = 1.0
    width: float = 1.0
    cortex: float = 1.0
    fat: float = 1.0
    rays_deg: tuple[float, ...] = RAYS_DEG
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
        return self.size * (bone + 0.06 * (1 - bone))

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
        return min(max((self.scale - 0.3) / 0.7, 0.0), 1.0)

    @property
    def frame(self) -> Points:
        """What x and y of an adult are multiplied with; infants' hands are broader."""
        return self.scale * np.array([self.breadth, 1.0])

    @property
    def breadth(self) -> float:
        """Breadth relative to length, compared with an adult."""
        return 1 + 0.4 * (1 - self.growth)


def ray_bones(child: Child, ray: int) -> Iterator[tuple[str, Points, Points]]:
    """Yields (row, base, tip) of the bones of one ray (0 is the thumb), in mm."""
    scale = child.scale
    gap = (1.3 + 0.9 * (1 - child.growth)) * scale
    at = np.array(_BASES[ray]) * child.frame
    for row, lengths in _LENGTHS.items():
        if not lengths[ray]:
            continue
        degrees = child.rays_deg[ray]
        if row == "metacarpal":
            follows = 0.6 if ray == 0 else 0.2
            degrees = follows * degrees + (1 - follows) * _METACARPALS_DEG[ray]
        way = _direction(degrees)
        tip = at + way * lengths[ray] * scale
        yield row, at, tip
        at = tip + way * gap


def _direction(degrees: float) -> Points:
    angle = np.deg2rad(degrees)
    return np.array([np.sin(angle), np.cos(angle)])


def forearm_turn(child: Child) -> Points:
    """The matrix that turns row vectors by the direction of the forearm."""
    turn = np.deg2rad(child.forearm_deg)
    return np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])


def silhouette(child: Child) -> Iterator[Points]:
    """Yields points in mm whose convex hulls together are the hand's silhouette."""
    rays = [list(ray_bones(child, ray)) for ray in range(5)]
    for ray, bones in enumerate(rays):
        yield from _finger(child, ray, bones)
    heads, bases = [bones[0][2] for bones in rays], [bones[0][1] for bones in rays]
    radial, ulnar = np.array([(15.0, 4.0), (-15.0, 2.0)]) * child.frame
    web = 0.35 * bases[1] + 0.65 * heads[1]
    yield _balls(child, [*heads[1:], bases[4], radial, ulnar], (11, 11, 11, 11, 14, 15, 13.5))
    yield _balls(child, [heads[0], bases[0], web, radial], (10.8, 12.5, 8.0, 13.0))
    arm = np.array([(5, -5), (-5, -5), (9, -170), (-13, -170)]) * child.frame
    yield _balls(child, list(arm @ forearm_turn(child)), (26.0, 24.0, 34.0, 34.0))


def _finger(
    child: Child, ray: int, bones: Sequence[tuple[str, Points, Points]]
) -> Iterator[Points]:
    (_, base, head), *finger = bones
    knuckle, tip = finger[0][2], finger[-1][2]
    wide = (10.8, 10.5, 8.0) if ray == 0 else (9.2, 8.2, 6.4) if ray == 4 else (10.2, 9.4, 7.4)
    back = (knuckle - tip) / np.hypot(*(knuckle - tip)) * (wide[2] - 4.0)
    end = tip + back * child.scale * child.breadth
    yield _balls(child, [head + (base - head) * 0.1, knuckle], wide[:2])
    yield _balls(child, [knuckle, end], wide[1:])


def _balls(child: Child, middles: Sequence[Points], radii: Sequence[float]) -> Points:
    """Points on circles: flesh of an adult's thickness `radii` (mm) around these middles."""
    flesh = child.scale * child.breadth * child.fat * (1.2 - 0.2 * child.growth)
    pairs = zip(middles, radii, strict=True)
    return np.concatenate([middle + _DISC * (radius * flesh) for middle, radius in pairs])
