"""What is learnt: which two views show the same radiograph (SimCLR), and that views differ."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from data.errors import TrainingError
from trainer import torchvision_guard  # noqa: F401  (must come before lightly)

from lightly.loss import NTXentLoss  # isort: skip
from lightly.models.modules.heads import SimCLRProjectionHead  # isort: skip

HIDDEN_WIDTH = 512
PROJECTED_WIDTH = 128
TEMPERATURE = 0.2
"""Divides the cosines of the loss: the lower, the more the nearest wrong radiographs count."""

LEAST_SPREAD = 0.02
"""Spread of the features under which the backbone tells all radiographs alike."""


class Contrasted(NamedTuple):
    """What one step brings.

    Attributes:
        loss: Scalar, lower is better.
        spread: Scalar, see `spread`.
    """

    loss: Tensor
    spread: Tensor


class Contrast(nn.Module):
    """A backbone with what it needs to learn without labels (Chen et al. 2020, SimCLR).

    Args:
        backbone: What learns; gives (N, F) features.
        features: F.
    """

    def __init__(self, backbone: nn.Module, features: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = SimCLRProjectionHead(features, HIDDEN_WIDTH, PROJECTED_WIDTH)
        self.loss = NTXentLoss(temperature=TEMPERATURE)

    def forward(self, views: Tensor) -> Contrasted:
        """Tells (2 N, 1, S, S) views of `two_views` from each other."""
        features = self.backbone(views)
        first, second = self.head(features).float().chunk(2)
        return Contrasted(self.loss(first, second), spread(features.detach().float()))


def spread(features: Tensor) -> Tensor:
    """Says how far the directions of (N, F) features lie apart.

    Returns:
        The mean standard deviation of the features of unit length times the square root of F:
        0 where all are the same, 1 where they point everywhere (Chen & He 2021, section 4.1).
    """
    unit = nn.functional.normalize(features, dim=1)
    return unit.std(0, correction=0).mean() * math.sqrt(features.shape[1])


def check(loss: float, spread: float, epoch: int) -> None:
    """Makes sure that something is being learnt.

    Raises:
        TrainingError: The loss is not finite, or the features have collapsed.
    """
    if not torch.isfinite(torch.tensor([loss, spread])).all():
        raise TrainingError(
            f"The self-supervised loss is no longer finite in epoch {epoch}: lower "
            "ssl_learning_rate or set precision to 32."
        )
    if spread < LEAST_SPREAD:
        raise TrainingError(
            f"The self-supervised training has collapsed in epoch {epoch}: the backbone tells all "
            f"radiographs alike (spread {spread:.3f}). Lower ssl_learning_rate or raise "
            "ssl_batch_size."
        )
