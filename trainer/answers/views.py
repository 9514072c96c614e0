"""The views of a film whose mean answer is the answer: test-time augmentation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

STEPS = (0, -1, 1, -2, 2)
"""The five rotations, in multiples of `TrainOptions.tta_degrees`."""


@dataclass(frozen=True, slots=True)
class View:
    """One way to show a film.

    Attributes:
        turn_deg: Rotation, degrees.
        mirrored: Left and right exchanged.
    """

    turn_deg: float = 0.0
    mirrored: bool = False


AS_IT_IS = (View(),)


def views_of(tta: str, degrees: float) -> tuple[View, ...]:
    """Returns the views for `TrainOptions.tta` and `tta_degrees`; the first: as it is."""
    turns = [step * degrees for step in STEPS] if tta in ("rotate", "full") else [0.0]
    mirrors = [False, True] if tta in ("flip", "full") else [False]
    return tuple(View(turn, mirrored) for mirrored in mirrors for turn in turns)


def show(pixels: Tensor, view: View) -> Tensor:
    """Returns the squares as a view shows them.

    Args:
        pixels: (N, 1, S, S) float, 0 black to 1 white; what comes in from outside is black.
        view: How.
    """
    if view.mirrored:
        pixels = pixels.flip(3)
    if view.turn_deg == 0:
        return pixels
    angle = math.radians(view.turn_deg)
    cos, sin = math.cos(angle), math.sin(angle)
    matrix = torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0]], device=pixels.device)
    grid = functional.affine_grid(
        matrix.expand(len(pixels), 2, 3), list(pixels.shape), align_corners=False
    )
    return functional.grid_sample(pixels, grid, padding_mode="zeros", align_corners=False)
