"""Random changes of training images that leave their labels true, as tensor operations."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Ranges:
    """Largest changes at strength 1; each image draws its own, evenly from both sides.

    Attributes:
        turn_deg: Rotation, degrees.
        zoom: Relative change of size.
        shift: Shift along each axis, as a part of the image's side.
        gamma: Natural logarithm of the exponent of the grey values.
        contrast: Relative change of the grey values' spread around their mean.
        brightness: Added to the grey values (0..1).
        noise: Highest standard deviation of grain (grey values 0..1).
    """

    turn_deg: float = 20.0
    zoom: float = 0.12
    shift: float = 0.05
    gamma: float = 0.3
    contrast: float = 0.2
    brightness: float = 0.1
    noise: float = 0.03


RANGES = Ranges()


def augment(
    pixels: Tensor, strength: float, flip: bool, generator: torch.Generator, ranges: Ranges = RANGES
) -> Tensor:
    """Changes each image of a batch in its own way.

    Args:
        pixels: (N, 1, S, S) float, 0 black to 1 white.
        strength: Factor on all `ranges`; 0 changes nothing but the flip.
        flip: Mirror each image left to right with probability one half.
        generator: Source of randomness; lives on the CPU, whatever the device of `pixels`.
        ranges: Largest changes at strength 1.

    Returns:
        (N, 1, S, S) float in 0..1 on the device of `pixels`.
    """
    if strength > 0 or flip:
        pixels = _move(pixels, strength, flip, generator, ranges)
    if strength > 0:
        pixels = _expose(pixels, strength, generator, ranges)
    return pixels


def _move(pixels: Tensor, strength: float, flip: bool, gen: torch.Generator, r: Ranges) -> Tensor:
    count = len(pixels)
    turn = _draw(gen, count) * math.radians(r.turn_deg) * strength
    zoom = 1 + _draw(gen, count) * r.zoom * strength
    # affine_grid's unit is half the image's side.
    shift_x, shift_y = (_draw(gen, count) * 2 * r.shift * strength for _ in range(2))
    mirrored = torch.rand(count, generator=gen) < (0.5 if flip else 0.0)
    mirror = torch.where(mirrored, -1.0, 1.0)
    cos, sin = turn.cos() * zoom, turn.sin() * zoom
    matrix = torch.stack([cos * mirror, -sin, shift_x, sin * mirror, cos, shift_y], 1)
    grid = functional.affine_grid(
        matrix.view(count, 2, 3).to(pixels.device), list(pixels.shape), align_corners=False
    )
    return functional.grid_sample(pixels, grid, padding_mode="zeros", align_corners=False)


def _expose(pixels: Tensor, strength: float, gen: torch.Generator, r: Ranges) -> Tensor:
    count, device = len(pixels), pixels.device

    def each(size: float) -> Tensor:
        return (_draw(gen, count) * size * strength).view(-1, 1, 1, 1).to(device)

    pixels = pixels.clamp(0, 1) ** each(r.gamma).exp()
    mean = pixels.mean((1, 2, 3), keepdim=True)
    pixels = (pixels - mean) * (1 + each(r.contrast)) + mean + each(r.brightness)
    grain = torch.randn(pixels.shape, generator=gen).to(device)
    return (pixels + grain * each(r.noise).abs()).clamp(0, 1)


def _draw(generator: torch.Generator, count: int) -> Tensor:
    """Returns (count,) numbers, even in -1..1."""
    return torch.rand(count, generator=generator) * 2 - 1
