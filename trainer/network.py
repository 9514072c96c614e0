"""The network: one timm backbone for one grey channel, and one linear head per target."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from data.errors import TrainingError
from trainer import torchvision_guard  # noqa: F401  (must come before timm)

import timm  # isort: skip

GREY_MEAN = 0.25
GREY_SD = 0.25
"""Roughly the grey values of prepared radiographs (0 black to 1 white)."""


class Network(nn.Module):
    """Grey squares in, one group of outputs per target out.

    Args:
        backbone: Name of a timm model that pools to one vector per image.
        image_size: Side of the squares, pixels.
        dropout: Share of the features that is dropped before the heads.
        outputs: Outputs of each head, in the order of the task's targets.

    Raises:
        TrainingError: timm has no such backbone, or it does not work on such squares.
    """

    def __init__(
        self,
        backbone: str,
        image_size: int,
        dropout: float,
        outputs: Sequence[int],
    ) -> None:
        super().__init__()
        self.backbone = _make_backbone(backbone)
        features = _count_features(self.backbone, backbone, image_size)
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleList(nn.Linear(features, count) for count in outputs)
        # Convolutions on CPUs and tensor cores are fastest with the channels last in memory.
        for parameter in self.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Computes the outputs of every head.

        Args:
            pixels: (N, 1, S, S) float, 0 black to 1 white.

        Returns:
            One (N, outputs) float tensor per target.
        """
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        features = self.dropout(self.backbone((pixels - GREY_MEAN) / GREY_SD))
        return tuple(head(features).float() for head in self.heads)


def _make_backbone(name: str) -> nn.Module:
    if ":" in name:  # hf-hub:..., local-dir:...: weights and code from elsewhere
        raise TrainingError(f"The backbone {name!r} is not the plain name of a timm model.")
    try:
        model = timm.create_model(name, in_chans=1, num_classes=0, pretrained=False)
    except (RuntimeError, TypeError, ValueError) as error:
        raise TrainingError(f"The backbone {name!r} cannot be made: {error}.") from error
    return model


def _count_features(backbone: nn.Module, name: str, image_size: int) -> int:
    backbone.eval()
    try:
        with torch.no_grad():
            shape = backbone(torch.zeros(1, 1, image_size, image_size)).shape
    except (RuntimeError, AssertionError) as error:
        raise TrainingError(
            f"The backbone {name!r} does not work on {image_size} x {image_size} pixels: {error}."
        ) from error
    backbone.train()
    if len(shape) != 2:
        raise TrainingError(f"The backbone {name!r} does not give one vector per image.")
    return int(shape[1])
