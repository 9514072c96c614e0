"""The random numbers of one batch's augmentation, and how they reach the device."""

from __future__ import annotations

import torch
from torch import Tensor

NAMES = (
    *("turn", "zoom", "shift_x", "shift_y", "shear", "mirror"),
    *("gamma", "contrast", "brightness", "noise", "grain_x", "grain_y"),
    *("clahe", "clahe_strength", "blur", "blur_width"),
    *("sharpen", "sharpen_strength", "sharpen_width"),
    *("erase", "erase_x", "erase_y", "erase_width", "erase_height"),
    *("marker", "marker_letter", "marker_height", "marker_edge", "marker_place"),
    *("marker_depth", "marker_white", "invert"),
    *("posterise", "grey_levels"),
)
"""What is drawn for every image, whether a change needs it or not: switching one change off leaves
the others as they were."""


class Draws:
    """One number in 0..1 for each name and image, drawn on the CPU: the same for every device.

    Args:
        table: (names, N + 1); the last column belongs to the batch.
    """

    def __init__(self, table: Tensor) -> None:
        self._table = table
        self._rows: dict[str, Tensor] = dict(zip(NAMES, table[:, :-1], strict=True))

    @classmethod
    def of(cls, count: int, generator: torch.Generator) -> Draws:
        """Draws for a batch of `count` images."""
        return cls(torch.rand(len(NAMES), count + 1, generator=generator))

    def even(self, name: str, size: float) -> Tensor:
        """Returns (N,) numbers, even in -size..size."""
        return (self._rows[name] * 2 - 1) * size

    def between(self, name: str, ends: tuple[float, float]) -> Tensor:
        """Returns (N,) numbers, even between two ends."""
        return ends[0] + self._rows[name] * (ends[1] - ends[0])

    def whole(self, name: str, count: int) -> Tensor:
        """Returns (N,) whole numbers of 0..count - 1."""
        return (self._rows[name] * count).long().clamp_(max=count - 1)

    def chosen(self, name: str, share: float) -> Tensor:
        """Returns which images are changed, ascending: that share of the batch, at random.

        The number of images differs from the share by less than one, up or down by chance so that
        it is right in the mean: tensors of steady size suit a GPU's memory and kernels.
        """
        row = self._rows[name]
        among = int(share * len(row) + float(self._table[NAMES.index(name), -1]))
        return row.argsort()[:among].sort().values

    def take(self, images: Tensor) -> Draws:
        """Returns the draws of some images, for what changes only those."""
        return Draws(torch.cat([self._table[:, images], self._table[:, -1:]], dim=1))


def bring(tensor: Tensor, device: torch.device) -> Tensor:
    """Copies a tensor from the CPU to a device without waiting for what the device still does.

    A copy from pageable memory waits for the stream (CUDA runtime, API synchronization
    behavior), one from pinned memory does not.
    """
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
