"""Images to augment, and single changes of them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from trainer.augmentation import geometry
from trainer.augmentation.augment import Ranges

EVERYTHING = Ranges(
    turn_deg=20.0,
    zoom=0.1,
    shift=0.05,
    shear_deg=5.0,
    flip=True,
    gamma=0.3,
    contrast=0.2,
    brightness=0.1,
    invert=0.5,
    sharpen=0.5,
    clahe=0.5,
    blur=0.5,
    posterise=0.5,
    noise=0.03,
    erase=0.5,
    marker=0.5,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 8, seed: int = 0) -> Tensor:
    """Random images of 64 x 64 in 0.1..0.9, with details of two pixels."""
    coarse = torch.rand(count, 1, 32, 32, generator=generator(seed)) * 0.8 + 0.1
    return torch.nn.functional.interpolate(coarse, (64, 64), mode="bilinear")


def only(name: str) -> Ranges:
    """That change of `EVERYTHING` and no other."""
    return replace(Ranges(), **{name: getattr(EVERYTHING, name)})


def each(*values: float) -> Tensor:
    return torch.tensor([float(value) for value in values]).view(-1, 1, 1, 1)


def one_map(
    turn_deg: float = 0,
    factor: float = 1,
    shift_x: float = 0,
    shift_y: float = 0,
    shear_deg: float = 0,
    mirrored: bool = False,
) -> Tensor:
    numbers = (torch.tensor([v]) for v in (turn_deg, factor, shift_x, shift_y, shear_deg))
    return geometry.affine_maps(*(n.float() for n in numbers), torch.tensor([mirrored]))
