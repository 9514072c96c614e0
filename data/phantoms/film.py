"""From a hand to a film: skin, attenuation, exposure, noise, collimator and marker, in pixels.

What varies here is what varies between real films and says nothing of the child: exposure (some
films are very dark), background, scatter, noise, sharpness, frame, and the place of the marker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.phantoms.bones import Part, bones
from data.phantoms.hand import Child, Points, silhouette

Grey: TypeAlias = NDArray[np.uint8]
Image: TypeAlias = NDArray[np.float32]

_FINE = 2
"""Bones are painted on a canvas this many times as fine as the film, then averaged."""
_SHIFT = 4
"""Binary digits of a pixel's fraction in OpenCV's drawing functions."""


@dataclass(frozen=True, slots=True)
class View:
    """Where the hand lies on the film.

    Attributes:
        matrix: (2, 2), millimetres (y up) to film pixels (y down).
        origin: (2,), the pixel x, y of the hand's origin.
        height: Of the film in pixels.
        width: Of the film in pixels.
    """

    matrix: NDArray[np.float64]
    origin: NDArray[np.float64]
    height: int
    width: int

    @property
    def pixels_per_mm(self) -> float:
        """Magnification."""
        return float(np.hypot(*self.matrix[:, 0]))

    def pixels(self, points: Points) -> Points:
        """Millimetres to film pixels."""
        return np.asarray(points @ self.matrix.T + self.origin)


@dataclass(frozen=True, slots=True)
class Film:
    """How a film was exposed, developed and digitised.

    Attributes:
        base: Grey value where nothing lies in the beam.
        gain: Grey values between that and dense bone.
        gamma: Exponent of the tone curve.
        noise: Standard deviation of the quantum noise as a share of `gain`.
        blur_px: Unsharpness, in pixels of a film of 256 pixels.
        slope: Change of the background from one side to the other, as a share of `gain`.
        frame: Widths of the unexposed margins (left, top, right, bottom) as shares of the film.
        frame_grey: Grey value of the margins.
        frame_line: Brightness added on the margin's edge (white line); 0: none.
        frame_deg: Rotation of the collimator.
    """

    base: float
    gain: float
    gamma: float
    noise: float
    blur_px: float
    slope: float
    frame: tuple[float, float, float, float]
    frame_grey: float
    frame_line: float
    frame_deg: float


_STYLES = (
    # share of films, base, gain
    (0.62, (2.0, 14.0), (130.0, 215.0)),
    (0.18, (30.0, 80.0), (110.0, 165.0)),
    (0.12, (1.0, 6.0), (28.0, 65.0)),
    (0.08, (95.0, 140.0), (65.0, 100.0)),
)
"""Digital; scanned film; under-exposed or badly windowed; washed out."""


def sample_film(rng: np.random.Generator) -> Film:
    """Draws how a film was exposed, in about the proportions of a clinical collection."""
    shares = np.array([s[0] for s in _STYLES])
    _, base, gain = _STYLES[int(rng.choice(len(_STYLES), p=shares / shares.sum()))]
    framed = rng.random() < 0.45
    margins = rng.uniform(0.0, 0.055, 4) * (rng.random(4) < 0.75) * framed
    return Film(
        base=float(rng.uniform(*base)),
        gain=float(rng.uniform(*gain)),
        gamma=float(rng.uniform(0.85, 1.3)),
        noise=float(rng.uniform(0.006, 0.02)),
        blur_px=float(rng.uniform(0.35, 0.75)),
        slope=float(rng.normal(0.0, 0.05)),
        frame=(float(margins[0]), float(margins[1]), float(margins[2]), float(margins[3])),
        frame_grey=float(rng.choice([0.0, 4.0, 110.0], p=[0.55, 0.25, 0.2])),
        frame_line=float(rng.choice([0.0, 70.0, 180.0], p=[0.3, 0.35, 0.35])),
        frame_deg=float(rng.normal(0.0, 1.0)),
    )


def expose(child: Child, view: View, film: Film, rng: np.random.Generator) -> Grey:
    """Draws the radiograph.

    Returns:
        (height, width) grey values, bright bone on a dark background.
    """
    size = (view.width, view.height)
    sharp = view.height / 256
    skin = _skin(child, view)
    bone = cv2.resize(_paint_bones(child, view), size, interpolation=cv2.INTER_AREA)
    grain = rng.standard_normal((view.height, view.width), np.float32)
    # The spongy bone's texture is the same numbers upside down: half the time, and no relation.
    spongy = _blur(grain[::-1], 0.9 * sharp)
    dense = bone * np.float32(1 / 255) * (1 + 0.09 / spongy.std() * spongy)
    ray = _thickness(child, view) * (0.42 * skin + 0.72 * dense)
    ray = _blur(ray, film.blur_px * sharp)
    tone = 1.3 * (1 - np.exp(-1.1 * ray))
    image = film.base + film.gain * (tone**film.gamma + film.slope * _ramp(view.width))
    image = _collimate(image, film)
    image = _mark(image, skin, film, rng)
    image += film.noise * film.gain * (0.5 + np.sqrt(tone)) * grain
    return np.asarray(np.clip(image, 0, 255), np.uint8)


_THICKNESS_AT = (-60.0, 0.0, 35.0, 100.0, 150.0, 210.0)
_THICKNESS = (1.30, 1.15, 1.05, 0.75, 0.62, 0.52)
"""Relative thickness of arm, wrist, knuckles and finger tips at these y (mm) of an adult."""


def _thickness(child: Child, view: View) -> Image:
    back = np.linalg.inv(view.matrix)[1] / child.scale
    coarse = (np.arange(32) + 0.5) / 32
    x = (coarse * view.width - view.origin[0]) * back[0]
    y = (coarse * view.height - view.origin[1]) * back[1]
    along = np.interp(x[None, :] + y[:, None], _THICKNESS_AT, _THICKNESS).astype(np.float32)
    return np.asarray(cv2.resize(along, (view.width, view.height), interpolation=cv2.INTER_LINEAR))


def _blur(image: Image, sigma_px: float) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.float32)


def _ramp(width: int) -> Image:
    return np.linspace(-1.0, 1.0, width, dtype=np.float32)[None, :]


def _fixed(points: ArrayLike) -> NDArray[np.int32]:
    return np.rint(np.asarray(points, np.float64) * (1 << _SHIFT)).astype(np.int32)


def _paint_bones(child: Child, view: View) -> Grey:
    """Adds up all bones: what lies over each other absorbs together."""
    canvas = np.zeros((view.height * _FINE, view.width * _FINE), np.uint8)
    fraction = _FINE << _SHIFT
    for part in bones(child):
        corners = view.pixels(np.concatenate([part.outer, part.inner])) * fraction
        _paint(canvas, np.rint(corners).astype(np.int32), part)
    return canvas


def _paint(canvas: Grey, corners: NDArray[np.int32], part: Part) -> None:
    """Adds one piece; `corners` are its outlines in fractions of a pixel of the canvas."""
    x, y, wide, high = cv2.boundingRect(corners)
    left, top = max((x >> _SHIFT) - 2, 0), max((y >> _SHIFT) - 2, 0)
    right = min((x + wide >> _SHIFT) + 3, canvas.shape[1])
    bottom = min((y + high >> _SHIFT) + 3, canvas.shape[0])
    if right <= left or bottom <= top:
        return
    corners = corners - (left << _SHIFT, top << _SHIFT)
    outer, inner = corners[: len(part.outer)], corners[len(part.outer) :]
    patch = np.zeros((bottom - top, right - left), np.uint8)
    cv2.fillPoly(patch, [outer], round(255 * part.cortex), cv2.LINE_AA, _SHIFT)
    cv2.fillPoly(patch, [inner], round(255 * part.inside), cv2.LINE_AA, _SHIFT)
    place = canvas[top:bottom, left:right]
    cv2.add(place, patch, dst=place)


def _skin(child: Child, view: View) -> Image:
    """Thickness of the soft tissue, 0 (air) to 1."""
    mask = np.zeros((view.height, view.width), np.uint8)
    for points in silhouette(child):
        hull = cv2.convexHull(view.pixels(points).astype(np.float32))
        cv2.fillConvexPoly(mask, _fixed(hull), 255, cv2.LINE_AA, _SHIFT)
    mm = view.pixels_per_mm * child.scale * child.breadth
    inside = cv2.threshold(mask, 127, 255, cv2.THRESH_BINARY)[1]
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    thick = (1 - np.exp(depth * (-1 / (5.5 * mm)))) * (mask * np.float32(1 / 255))
    return _blur(thick, max(0.6 * mm, 0.4))


def _collimate(image: Image, film: Film) -> Image:
    """Blanks what the collimator kept from the beam, and draws its bright edge."""
    if not any(film.frame):
        return image
    height, width = image.shape
    left, top, right, bottom = film.frame
    corners = np.array([(left, top), (1 - right, top), (1 - right, 1 - bottom), (left, 1 - bottom)])
    # A side without margin lies outside the film, so that a rotation leaves no wedge there.
    corners = np.where(corners <= 0, -0.1, np.where(corners >= 1, 1.1, corners)) - 0.5
    turn = np.deg2rad(film.frame_deg)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    corners = (corners * (width, height)) @ matrix + (width / 2, height / 2)
    # Drawn with 8 bits: OpenCV smooths edges in no other image.
    drawn = np.zeros((2, height, width), np.uint8)
    cv2.fillConvexPoly(drawn[0], _fixed(corners), 255, cv2.LINE_AA, _SHIFT)
    thick = max(1, round(height / 220))
    cv2.polylines(drawn[1], [_fixed(corners)], True, 255, thick, cv2.LINE_AA, _SHIFT)
    lit, line = drawn * np.float32(1 / 255)
    image = film.frame_grey + (image - film.frame_grey) * lit
    return np.asarray(image + film.frame_line * line, np.float32)


_PLACES = ((0.10, 0.62), (0.10, 0.78), (0.88, 0.86), (0.12, 0.10), (0.88, 0.12), (0.88, 0.72))
"""Where a marker may lie, x and y as shares of the film."""


def _mark(image: Image, skin: Image, film: Film, rng: np.random.Generator) -> Image:
    """Lays the lead marker, an L with the radiographer's letters, where least of the hand lies."""
    height, width = image.shape
    tall = 0.11 * height * rng.uniform(0.8, 1.2)
    places = np.array(_PLACES) * (width, height) + rng.normal(0.0, 0.015, (6, 2)) * height
    hidden = [float(_window(skin, x, y, 0.6 * tall).mean()) for x, y in places]
    cost = np.array(hidden) + rng.uniform(0.0, 0.02, len(places)) + 0.008 * np.arange(6)
    x, y = places[int(np.argmin(cost))]
    turn = float(rng.normal(0.0, 6.0) + rng.choice([0.0, 90.0, -90.0], p=[0.85, 0.08, 0.07]))
    plate = _plate(rng)
    scale = tall / plate.shape[0]
    matrix = cv2.getRotationMatrix2D((plate.shape[1] / 2, plate.shape[0] / 2), turn, scale)
    matrix[:, 2] += (x - plate.shape[1] / 2, y - plate.shape[0] / 2)
    soft = cv2.GaussianBlur(plate, (0, 0), 0.4 / scale)
    lead = cv2.warpAffine(soft, matrix, (width, height), flags=cv2.INTER_LINEAR)
    peak = min(film.base + 1.15 * film.gain, 250.0)
    return np.asarray(image + lead * np.maximum(peak - image, 0.0))


def _window(skin: Image, x: float, y: float, reach: float) -> Image:
    top, left = max(int(y - reach), 0), max(int(x - reach), 0)
    return skin[top : max(int(y + reach), top + 1), left : max(int(x + reach), left + 1)]


_STROKES: dict[str, tuple[tuple[int, int], ...]] = {
    "A": ((0, 6), (2, 0), (4, 6), (3, 4), (1, 4)),
    "E": ((4, 0), (0, 0), (0, 3), (3, 3), (0, 3), (0, 6), (4, 6)),
    "H": ((0, 0), (0, 6), (0, 3), (4, 3), (4, 0), (4, 6)),
    "K": ((0, 0), (0, 6), (0, 3), (4, 0), (1, 3), (4, 6)),
    "L": ((0, 0), (0, 6), (4, 6)),
    "M": ((0, 6), (0, 0), (2, 3), (4, 0), (4, 6)),
    "N": ((0, 6), (0, 0), (4, 6), (4, 0)),
    "T": ((0, 0), (4, 0), (2, 0), (2, 6)),
    "V": ((0, 0), (2, 6), (4, 0)),
    "W": ((0, 0), (1, 6), (2, 2), (3, 6), (4, 0)),
    "Z": ((0, 0), (4, 0), (0, 6), (4, 6)),
}
"""Letters as one stroke each on a grid of 5 by 7; OpenCV's fonts differ between its versions."""


def _plate(rng: np.random.Generator) -> Image:
    """(80, 48) coverage by lead: a faint plate or none, an L, two or three letters or none."""
    plate = np.zeros((80, 48), np.uint8)
    if rng.random() < 0.7:
        plate[2:-2, 2:-2] = int(rng.integers(20, 64))
    _letter(plate, "L", (14, 10), 5.5, 6)
    if rng.random() < 0.8:
        letters = [sorted(_STROKES)[i] for i in rng.integers(0, len(_STROKES), rng.integers(2, 4))]
        for number, letter in enumerate(letters):
            _letter(plate, letter, (6 + 14 * number, 55), 2.2, 2)
    return plate * np.float32(1 / 255)


def _letter(plate: Grey, letter: str, corner: tuple[int, int], step: float, pen: int) -> None:
    points = np.array(_STROKES[letter]) * step + corner
    cv2.polylines(plate, [_fixed(points)], False, 255, pen, cv2.LINE_AA, _SHIFT)
