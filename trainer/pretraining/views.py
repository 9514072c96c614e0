"""Two views of each radiograph, as different as two films of the same hand may be."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.augmentation.augment import Ranges, augment
from trainer.network.network import normalised

VIEWS = Ranges(
    turn_deg=20.0,
    zoom=0.25,
    shift=0.1,
    flip=True,
    gamma=0.5,
    contrast=0.5,
    brightness=0.2,
    noise=0.05,
)
"""What must not matter: place, exposure, grain and side. Stronger than in the training on labels,
because whatever the views share is all there is to learn from."""


def two_views(
    pixels: NDArray[np.uint8], normalise: str, generator: torch.Generator, device: torch.device
) -> Tensor:
    """Changes each radiograph in two ways.

    Args:
        pixels: (N, S, S) grey.
        normalise: How the network reads grey values, see `TrainOptions.normalise`.
        generator: Source of randomness, on the CPU.
        device: Where the views are made.

    Returns:
        (2 N, 1, S, S) float as the backbone gets them: first one view of each, then the other.
    """
    films = torch.from_numpy(pixels).to(device).unsqueeze(1).float() / 255
    views = augment(torch.cat([films, films]), VIEWS, generator)
    return normalised(views, normalise).contiguous(memory_format=torch.channels_last)
