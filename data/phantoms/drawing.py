"""Draws phantoms: hand radiographs made from published ossification, with a known truth.

    python -m data.phantoms.drawing OUT.png     writes a contact sheet

A phantom is a left hand from behind, fingers up, thumb on the right. Its bone age and its sex can
be read off the hand, as `phantom_anatomy` has it; exposure, frame, marker and pose are drawn
without regard to them. Phantoms are for demonstrations and tests of the software. They are no data
about children: see docs/phantoms.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from data.errors import InvalidInputError, StorageError
from data.phantoms import anatomy
from data.phantoms.film import Grey, View, expose, sample_film
from data.phantoms.hand import RAYS_DEG, Child

SIDE = "left"
MIN_SIZE_PX = 32
MAX_SIZE_PX = 4096
YOUNGEST_MONTHS = 6.0
OLDEST_MONTHS = 216.0
"""Ages that `draw_phantoms` covers."""

_GOLDEN_RATIO = (5**0.5 - 1) / 2
_HAND_MM = 218.0
"""Finger tip to wrist of an adult man, skin included."""


@dataclass(frozen=True, slots=True)
class PhantomTruth:
    """What is known of a phantom because it was drawn so.

    Attributes:
        age_months: Bone age, 0..228.
        sex: "female" or "male".
        side: Always "left".
    """

    age_months: float
    sex: str
    side: str


def draw_hand(age_months: float, sex: str, seed: int, size: int = 256) -> Grey:
    """Draws one hand, the same for the same arguments in every process.

    A seed is a child and a film: with another age it is the same child at that age, in the same
    pose, on the same film.

    Args:
        age_months: Bone age, 0..228.
        sex: "female" or "male".
        seed: At least 0.
        size: Height of the film in pixels, 32..4096; the width is 0.74 to 0.92 of it.

    Returns:
        (size, width) grey values, 8 bit.

    Raises:
        InvalidInputError: An argument lies outside its range.
    """
    anatomy.check(age_months, sex)
    _check_seed_and_size(seed, size)
    traits, film, noise = (
        np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(3)
    )
    child = _sample_child(traits, age_months, sex)
    view = _sample_view(traits, child, size)
    return expose(child, view, sample_film(film), noise)


def draw_phantoms(
    count: int, seed: int, size: int = 256
) -> Iterator[tuple[str, PhantomTruth, Grey]]:
    """Draws phantoms of ages spread evenly over 6 to 216 months, girls and boys by turns.

    Ages follow the golden ratio, so that any stretch of the sequence holds all ages, and a longer
    sequence of the same seed begins with the shorter one. Each phantom is its own patient.

    Args:
        count: How many, at least 0.
        seed: At least 0; another seed gives other children.
        size: Height in pixels, see `draw_hand`.

    Yields:
        Name ("phantom-000123", unique among the phantoms of one seed), truth, image.

    Raises:
        InvalidInputError: An argument lies outside its range.
    """
    for name, truth, own in plan_phantoms(count, seed, size):
        yield name, truth, draw_hand(truth.age_months, truth.sex, own, size)


def plan_phantoms(
    count: int, seed: int, size: int = 256
) -> Iterator[tuple[str, PhantomTruth, int]]:
    """Yields what `draw_phantoms` draws: name, truth, and the seed for `draw_hand`.

    Raises:
        InvalidInputError: An argument lies outside its range.
    """
    if count < 0:
        raise InvalidInputError(f"The number of phantoms must not be negative, not {count}.")
    _check_seed_and_size(seed, size)
    first = np.random.default_rng(seed).random()
    for number in range(count):
        share = (first + number * _GOLDEN_RATIO) % 1.0
        age = round(YOUNGEST_MONTHS + (OLDEST_MONTHS - YOUNGEST_MONTHS) * share, 1)
        truth = PhantomTruth(age, anatomy.SEXES[number % 2], SIDE)
        own = int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0])
        yield f"phantom-{number:06d}", truth, own


def _check_seed_and_size(seed: int, size: int) -> None:
    if seed < 0:
        raise InvalidInputError(f"A phantom's seed must not be negative, not {seed}.")
    if not MIN_SIZE_PX <= size <= MAX_SIZE_PX:
        raise InvalidInputError(
            f"A phantom's size must lie between {MIN_SIZE_PX} and {MAX_SIZE_PX} pixels, not {size}."
        )


def _sample_child(rng: np.random.Generator, age_months: float, sex: str) -> Child:
    """Draws how one child differs from the median of its age and sex.

    The bones are ahead or behind by a standard deviation of 0.4 months at birth to 2.9 from seven
    years on: small, because the truth is the bone age and not the age by the calendar. Four fifths
    of it are common to all centres of a child.
    """
    spread = 0.4 + min(0.03 * age_months, 2.5)
    common, own = rng.normal(), rng.normal(size=len(anatomy.CENTRES))
    ahead = spread * (0.8 * common + 0.6 * own)
    size, width, cortex, fat = np.exp(rng.normal(0.0, (0.035, 0.03, 0.05, 0.05)))
    splay = np.array([1.0, *[rng.normal(1.0, 0.3)] * 4])
    rays = np.array(RAYS_DEG) * splay + rng.normal(0.0, (8.0, 2.0, 1.5, 2.0, 3.0))
    return Child(
        age_months=age_months,
        sex=sex,
        ahead_months=dict(zip(anatomy.CENTRES, ahead.tolist(), strict=True)),
        size=float(size),
        width=float(width),
        cortex=float(cortex),
        fat=float(fat),
        rays_deg=tuple(rays.tolist()),
        forearm_deg=float(np.clip(rng.normal(0.0, 5.0), -12.0, 12.0)),
    )


def _sample_view(rng: np.random.Generator, child: Child, size: int) -> View:
    """Draws magnification, rotation (at most 12 degrees) and place of the hand on the film.

    A larger hand fills more of the film, but less than in proportion, and magnification varies by
    6 %: the hand's size alone does not give the age away.
    """
    width = round(size * rng.uniform(0.74, 0.92))
    fill = min(0.73 * child.scale**0.25 * np.exp(rng.normal(0.0, 0.06)), 0.82)
    scale = size * fill / (_HAND_MM * child.scale)
    turn = np.deg2rad(np.clip(rng.normal(0.0, 5.0), -12.0, 12.0))
    matrix = scale * np.array([[np.cos(turn), np.sin(turn)], [np.sin(turn), -np.cos(turn)]])
    middle = np.array([8.0, _HAND_MM / 2 - 3.0]) * child.scale
    x = width * (0.5 + rng.uniform(-0.04, 0.04))
    y = size * (fill / 2 + rng.uniform(0.07, 0.13))
    return View(matrix, np.array([x, y]) - matrix @ middle, size, width)


_SHEET_AGES = ((0.0, 12.0, 36.0, 72.0), (108.0, 144.0, 180.0, 216.0))
_SHEET_SIZE_PX = 240
_CAPTION_PX = 16


def contact_sheet(seed: int = 1) -> Grey:
    """Draws girls of four ages above boys of the same ages, twice; one seed for both of a pair."""
    rows = []
    for line, ages in enumerate(_SHEET_AGES):
        for sex in anatomy.SEXES:
            cells = [_cell(age, sex, seed + 4 * line + i) for i, age in enumerate(ages)]
            rows.append(np.hstack(cells))
    return np.asarray(np.vstack(rows), np.uint8)


def _cell(age_months: float, sex: str, seed: int) -> Grey:
    cell = np.zeros((_SHEET_SIZE_PX + _CAPTION_PX, _SHEET_SIZE_PX), np.uint8)
    hand = draw_hand(age_months, sex, seed, _SHEET_SIZE_PX)
    left = (_SHEET_SIZE_PX - hand.shape[1]) // 2
    cell[:_SHEET_SIZE_PX, left : left + hand.shape[1]] = hand
    caption, where = f"{sex}, {age_months:.0f} months", (left, _SHEET_SIZE_PX + 12)
    cv2.putText(cell, caption, where, cv2.FONT_HERSHEY_SIMPLEX, 0.38, 255, 1, cv2.LINE_AA)
    return cell


def main(arguments: list[str]) -> int:
    """Writes the contact sheet to the file that is named."""
    if len(arguments) != 1:
        sys.stderr.write("Usage: python -m data.phantoms.drawing OUT.png\n")
        return 2
    target = Path(arguments[0])
    try:
        packed = cv2.imencode(".png", contact_sheet(), [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]
        target.write_bytes(packed.tobytes())
    except OSError as error:
        problem = StorageError(f"{target} cannot be written: {error.strerror}.")
        sys.stderr.write(f"{problem}\n")
        return problem.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
