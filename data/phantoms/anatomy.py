"""How a hand ossifies: when its centres appear, grow and fuse, and how long its bones are.

Ages are months, lengths millimetres; a pair is always (girls, boys). Nothing here draws.

Sources, and how near to them the numbers are. All were written down from memory of these works and
of their reprints in textbooks, and have not been compared with the originals: single ones may be
off, and none is fit for a reading.

* Appearance: medians of Garn, Rohmann & Silverman, "Radiographic standards for postnatal
  ossification and tooth calcification", Med Radiogr Photogr 43:45-66 (1967), to the whole month.
  The pisiform is not in that table; its ages are approximations to the standards of Greulich &
  Pyle.
* Fusion: near the half-years of Greulich & Pyle, "Radiographic atlas of skeletal development of
  the hand and wrist", 2nd ed. (1959), in the order of the stages in Gilsanz & Ratib, "Hand bone
  age" (2005): distal phalanges, metacarpals, proximal, then middle phalanges, last ulna and radius.
  The start of each fusion is an approximation.
* Bone lengths: approximations to Garn, Hertzog, Poznanski & Nagy, "Metacarpophalangeal length in
  the evaluation of skeletal malformation", Radiology 105:375-381 (1972).
* Width and cortex of the second metacarpal: approximations to Garn, "The earlier gain and the later
  loss of cortical bone" (1970), with the course that Martin et al., Osteoporos Int 22:1525-1536
  (2011), describe: wider in boys, the marrow cavity narrowing from a bone age of 10.5 (girls) and
  13.5 years (boys). All widths are some 7 % below the source, because the drawn shafts looked too
  wide beside films, and `FEMALE_WIDTH` enlarges the difference of the sexes on purpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from data.errors import InvalidInputError

SEXES = ("female", "male")
MIN_AGE_MONTHS = 0.0
MAX_AGE_MONTHS = 228.0

FEMALE_WIDTH = 0.93
"""Further factor on the width of girls' shafts. Not from a source: it makes the sexes differ more
than children do, so that a model can learn sex from some hundred pictures."""

CARPALS = (
    "capitate",
    "hamate",
    "triquetral",
    "lunate",
    "trapezium",
    "trapezoid",
    "scaphoid",
    "pisiform",
)
SESAMOID = "adductor sesamoid"

_Pair = tuple[float, float]
_FIRST_SIZE = 0.22
"""Width of a centre that has just appeared, as a share of its adult width: when it can be seen."""

_INFANCY_MONTHS = 6.0
"""A centre that appears before this (capitate, hamate) grows fast at first."""


@dataclass(frozen=True, slots=True)
class Centre:
    """One postnatal ossification centre.

    Attributes:
        name: A carpal bone, the sesamoid, or the bone whose epiphysis it is ("radius",
            "metacarpal 2", "proximal phalanx 3").
        appears: Median age at which it can be seen (girls, boys).
        grown: Age at which it fills its cartilage, or is as wide as the shaft (girls, boys).
        fuses: Age at which fusion with the shaft starts (girls, boys); None if it never fuses.
        fused: Age at which fusion is complete (girls, boys); None if it never fuses.
    """

    name: str
    appears: _Pair
    grown: _Pair
    fuses: _Pair | None = None
    fused: _Pair | None = None


_CARPAL_GROWN: _Pair = (150.0, 174.0)
_FREE: Sequence[tuple[str, _Pair]] = (
    ("capitate", (2, 3)),
    ("hamate", (2, 4)),
    ("triquetral", (21, 29)),
    ("lunate", (31, 49)),
    ("trapezium", (49, 70)),
    ("trapezoid", (50, 75)),
    ("scaphoid", (49, 68)),
    ("pisiform", (108, 132)),
    (SESAMOID, (129, 153)),
)
_APPEARANCE: Sequence[tuple[str, _Pair]] = (
    ("radius", (10, 13)),
    ("ulna", (64, 85)),
    ("metacarpal 1", (19, 32)),
    ("metacarpal 2", (13, 19)),
    ("metacarpal 3", (14, 21)),
    ("metacarpal 4", (15, 24)),
    ("metacarpal 5", (16, 26)),
    ("proximal phalanx 1", (21, 36)),
    ("proximal phalanx 2", (10, 17)),
    ("proximal phalanx 3", (10, 16)),
    ("proximal phalanx 4", (11, 18)),
    ("proximal phalanx 5", (14, 22)),
    ("middle phalanx 2", (16, 26)),
    ("middle phalanx 3", (15, 24)),
    ("middle phalanx 4", (15, 25)),
    ("middle phalanx 5", (24, 41)),
    ("distal phalanx 1", (12, 18)),
    ("distal phalanx 2", (30, 38)),
    ("distal phalanx 3", (18, 29)),
    ("distal phalanx 4", (18, 29)),
    ("distal phalanx 5", (24, 40)),
)
_FUSION: dict[str, tuple[_Pair, _Pair, _Pair]] = {
    "distal phalanx": ((108, 132), (150, 174), (162, 186)),
    "metacarpal": ((114, 138), (156, 180), (171, 195)),
    "proximal phalanx": ((108, 132), (159, 183), (174, 198)),
    "middle phalanx": ((108, 132), (165, 186), (180, 201)),
    "ulna": ((132, 156), (174, 192), (192, 210)),
    "radius": ((120, 144), (177, 195), (198, 216)),
}
"""Row of bones -> (as wide as the shaft, fusion starts, fusion complete)."""


def _table() -> dict[str, Centre]:
    free = {n: Centre(n, a, (a[0] + 48, a[1] + 48)) for n, a in _FREE}
    for name in CARPALS[:-1]:
        free[name] = Centre(name, free[name].appears, _CARPAL_GROWN)
    epiphyses = {n: Centre(n, a, *_FUSION[n.rstrip(" 12345")]) for n, a in _APPEARANCE}
    return {**free, **epiphyses}


CENTRES = _table()


def check(age_months: float, sex: str) -> None:
    """Refuses what no phantom can be drawn of.

    Raises:
        InvalidInputError: The age lies outside 0..228 months, or the sex is neither "female" nor
            "male".
    """
    if not MIN_AGE_MONTHS <= age_months <= MAX_AGE_MONTHS:
        raise InvalidInputError(
            f"A phantom's age must lie between {MIN_AGE_MONTHS:.0f} and {MAX_AGE_MONTHS:.0f} "
            f"months, not {age_months}."
        )
    if sex not in SEXES:
        raise InvalidInputError(f'A phantom\'s sex must be "female" or "male", not {sex!r}.')


def fused(age_months: float, sex: str) -> frozenset[str]:
    """The bones whose growth plate is closed in the median child of this bone age.

    Raises:
        InvalidInputError: See `check`.
    """
    check(age_months, sex)
    return frozenset(n for n in CENTRES if closure(n, age_months, sex) >= 1.0)


def extent(name: str, age_months: float, sex: str) -> float:
    """Width of a centre as a share of its adult width, 0 (not there yet) to 1."""
    centre, column = CENTRES[name], SEXES.index(sex)
    start = centre.appears[column]
    if age_months < start:
        return 0.0
    share = min((age_months - start) / (centre.grown[column] - start), 1.0)
    slowing = 4.0 if start < _INFANCY_MONTHS else 2.6
    return float(_FIRST_SIZE + (1 - _FIRST_SIZE) * (1 - (1 - share) ** slowing))


def closure(name: str, age_months: float, sex: str) -> float:
    """How far a growth plate has closed, 0 (open) to 1; 0 for what never fuses."""
    centre, column = CENTRES[name], SEXES.index(sex)
    if centre.fuses is None or centre.fused is None:
        return 0.0
    start, end = centre.fuses[column], centre.fused[column]
    return min(max((age_months - start) / (end - start), 0.0), 1.0)


_AGES = (0, 6, 12, 24, 48, 72, 96, 120, 144, 168, 192, 216)
_LENGTH = (
    (17.5, 21.5, 24.8, 30.2, 38.0, 44.6, 50.3, 55.9, 61.9, 65.1, 65.8, 65.9),
    (18.0, 22.0, 25.2, 30.3, 38.0, 44.5, 50.0, 54.7, 59.5, 66.0, 70.3, 71.1),
)
_WIDTH = (
    (3.8, 4.3, 4.7, 5.0, 5.4, 5.7, 6.1, 6.5, 6.9, 7.2, 7.3, 7.3),
    (3.9, 4.4, 4.8, 5.2, 5.6, 5.9, 6.3, 6.7, 7.2, 7.8, 8.3, 8.5),
)
_CORTEX = (
    (0.46, 0.42, 0.40, 0.42, 0.45, 0.475, 0.49, 0.51, 0.55, 0.585, 0.61, 0.63),
    (0.46, 0.42, 0.40, 0.42, 0.45, 0.47, 0.48, 0.485, 0.49, 0.50, 0.53, 0.55),
)
ADULT_LENGTH_MM = _LENGTH[1][-1]


@lru_cache(maxsize=16)
def metacarpal_length_mm(age_months: float, sex: str) -> float:
    """Length of the second metacarpal, epiphysis included once it has ossified."""
    return float(np.interp(age_months, _AGES, _LENGTH[SEXES.index(sex)]))


@lru_cache(maxsize=16)
def metacarpal_width_mm(age_months: float, sex: str) -> float:
    """Width of the second metacarpal at the middle of its shaft, `FEMALE_WIDTH` included."""
    factor = FEMALE_WIDTH if sex == "female" else 1.0
    return factor * float(np.interp(age_months, _AGES, _WIDTH[SEXES.index(sex)]))


@lru_cache(maxsize=16)
def cortical_share(age_months: float, sex: str) -> float:
    """Both cortices of the second metacarpal as a share of its width at the middle of the shaft."""
    return float(np.interp(age_months, _AGES, _CORTEX[SEXES.index(sex)]))
