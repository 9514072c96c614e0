"""Moving images: every geometric change of a batch is one affine map, sampled once."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from trainer.augmentation.draws import bring


def shrink(pixels: Tensor, size: int) -> Tensor:
    """Scales images down; what is finer than the new pixels is averaged away, not aliased.

    Args:
        pixels: (N, 1, S, S).
        size: New side, at most S.

    Returns:
        (N, 1, size, size); the same tensor where size is S.

    Raises:
        ValueError: `size` is larger than S.
    """
    side = pixels.shape[-1]
    if size > side:
        raise ValueError(f"images of {side} pixels cannot be scaled down to {size}")
    if size == side:
        return pixels
    return functional.interpolate(
        pixels, (size, size), mode="bilinear", align_corners=False, antialias=True
    )


def affine_maps(
    turn_deg: Tensor,
    factor: Tensor,
    shift_x: Tensor,
    shift_y: Tensor,
    shear_deg: Tensor,
    mirrored: Tensor,
) -> Tensor:
    """Returns for each image where its new pixels come from.

    An image is mirrored left to right, sheared, scaled, turned and shifted, in this order and
    around its centre.

    Args:
        turn_deg: (N,) rotation, degrees, counter-clockwise as seen.
        factor: (N,) change of size, above 1: larger.
        shift_x: (N,) to the right, as a share of the image's side.
        shift_y: (N,) downwards.
        shear_deg: (N,) by which columns lean over, degrees: what lies lower moves to the right.
        mirrored: (N,) bool.

    Returns:
        (N, 2, 3) maps of (x, y) out of the image into it, in half sides from its centre, y
        downwards: what `torch.nn.functional.affine_grid` takes.
    """
    turn, lean = torch.deg2rad(turn_deg), torch.tan(torch.deg2rad(shear_deg))
    cos, sin = turn.cos() / factor, turn.sin() / factor
    mirror = torch.where(mirrored, -1.0, 1.0)
    xx, xy = mirror * (cos - lean * sin), mirror * (-sin - lean * cos)
    x, y = 2 * shift_x, 2 * shift_y
    rows = [xx, xy, -(xx * x + xy * y), sin, cos, -(sin * x + cos * y)]
    return torch.stack(rows, 1).view(-1, 2, 3)


def move(pixels: Tensor, maps: Tensor) -> Tensor:
    """Moves each image by its own affine map.

    Grey values are interpolated between the four nearest pixels; beside the film it is black.

    Args:
        pixels: (N, 1, S, S).
        maps: (N, 2, 3), see `affine_maps`; on the CPU.
    """
    grid = functional.affine_grid(
        bring(maps.to(pixels.dtype), pixels.device), list(pixels.shape), align_corners=False
    )
    return functional.grid_sample(pixels, grid, padding_mode="zeros", align_corners=False)


def zoom_factors(even: Tensor, zoom: float) -> Tensor:
    """Returns (N,) changes of size from 1 / (1 + zoom) to 1 + zoom, for draws even in -1..1."""
    return torch.exp(even * math.log1p(zoom))
