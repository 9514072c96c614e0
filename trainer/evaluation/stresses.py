"""The ways in which a film may look different while the bones show the same.

After Santomartino et al. 2024, Evaluating the Robustness of a Deep Learning Bone Age Algorithm to
Clinical Image Variation Using Computational Stress Testing (Radiology: Artificial Intelligence 6):
rotations, flips, brightness, contrast, inversion, marker and resolution changed the answers of a
model that had won on films as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from data.images import alteration

Film = NDArray[np.uint8]

EXPOSURE_STEP = 64
"""Grey levels: a quarter of the range. Density follows the logarithm of the exposure, so twice the
exposure shifts it by the film's gradient times 0.3: with a gradient of 2.7 by a quarter of 3.2."""

BLUR = 1 / 256
"""Standard deviation, as a share of the longer side: one pixel of a model that sees 256."""

GRAIN_SD = 16.0
"""Grey levels, see `data.images.alteration.grainy`."""

BORDER = 0.05
"""Width of a border, as a share of the longer side."""


@dataclass(frozen=True, slots=True)
class Stress:
    """One way in which a film may look different.

    Attributes:
        name: What a report calls it.
        what: One sentence: what is done, or what it stands for.
        change: (height, width) grey -> the changed film, of perhaps another size; always the same.
        moves: The hand lies elsewhere afterwards: a mask of the film no longer fits.
    """

    name: str
    what: str
    change: Callable[[Film], Film]
    moves: bool = False


def quarter_with_marker(image: Film) -> Film:
    """Leaves a quarter of a film's contrast, about its darkest grey, and adds a white marker.

    The marker sets the brightest grey to that of lead, so a display window that is taken from the
    extremes shows next to nothing of the hand.

    Args:
        image: (height, width) grey.
    """
    return alteration.with_marker(alteration.compressed(image, 0.25))


def _turn(degrees: float) -> Stress:
    return Stress(
        f"turned {degrees:+g}°",
        f"Turned by {abs(degrees):g}° {'counter-' if degrees > 0 else ''}clockwise, "
        "on a larger sheet that holds all of it.",
        partial(alteration.turned, degrees=degrees),
        moves=True,
    )


STRESSES = (
    *(_turn(degrees) for degrees in (-20.0, -10.0, 10.0, 20.0)),
    Stress(
        "mirrored", "Left and right are exchanged: the other hand.", alteration.mirrored, moves=True
    ),
    Stress("inverted", "A negative: bones are black.", alteration.inverted),
    Stress(
        "darker",
        "Darker by a quarter of the range, as if exposed twice as long; shadows are cut off.",
        partial(alteration.shifted, levels=-EXPOSURE_STEP),
    ),
    Stress(
        "lighter",
        "Lighter by a quarter of the range, as if exposed half as long; highlights are cut off.",
        partial(alteration.shifted, levels=EXPOSURE_STEP),
    ),
    Stress(
        "quarter contrast",
        "A quarter of the contrast, about the darkest grey value.",
        partial(alteration.compressed, factor=0.25),
    ),
    Stress(
        "quarter contrast, marker",
        "A quarter of the contrast, then a white lead letter in a corner.",
        quarter_with_marker,
    ),
    Stress(
        "blurred",
        "Blurred by a Gaussian of 1/256 of the longer side.",
        partial(alteration.blurred, share=BLUR),
    ),
    Stress("half resolution", "Half as many pixels each way.", alteration.halved, moves=True),
    Stress("marker", "A white lead letter in the darkest corner.", alteration.with_marker),
    Stress(
        "grainy",
        f"Mottle of {GRAIN_SD:g} grey levels, in 512 places along the longer side.",
        partial(alteration.grainy, sd=GRAIN_SD),
    ),
    Stress(
        "white border",
        f"A white border of {BORDER:.0%} of the longer side around the film.",
        partial(alteration.framed, share=BORDER),
        moves=True,
    ),
)
"""All of them; they keep what the bones show."""
