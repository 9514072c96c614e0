"""One optimiser step and its schedule, as Lightning wants them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import Dataset, Sampler

from data.domain import Target
from data.errors import TrainingError
from trainer import torchvision_guard  # noqa: F401  (must come before lightning)
from trainer.augment import augment
from trainer.losses import batch_loss
from trainer.network import Network
from trainer.options import TrainOptions

import lightning.pytorch as pl  # isort: skip

Batch = tuple[Tensor, Tensor, Tensor]
"""(N, S, S) uint8 pixels, (N, targets) labels, (N,) weights."""

WARM_UP = 0.15
"""Share of the steps in which the learning rate rises."""

_SEED_STRIDE = 1_000_003


class Cases(Dataset[Batch]):
    """Training cases, fetched by whole batches out of the memory-mapped squares.

    Args:
        pixels: (rows, S, S) uint8 squares of a `PixelStore`.
        rows: (N,) row of each case.
        labels: (N, targets), see `targets.encode`.
        weights: (N,) weight of each case.
    """

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        rows: NDArray[np.int64],
        labels: NDArray[np.float32],
        weights: NDArray[np.float32],
    ) -> None:
        self.pixels, self.rows, self.labels, self.weights = pixels, rows, labels, weights

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Returns one batch; torch's loader prefers this to one case at a time."""
        chosen = np.asarray(indices, np.int64)
        squares = np.ascontiguousarray(self.pixels[self.rows[chosen]])
        labels, weights = self.labels[chosen], self.weights[chosen]
        return torch.from_numpy(squares), torch.from_numpy(labels), torch.from_numpy(weights)


class EpochOrder(Sampler[int]):
    """A random order that depends on seed and epoch alone, so a resumed run goes on the same way.

    Args:
        count: Cases.
        seed: See `TrainOptions.seed`.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed, self.epoch = count, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * _SEED_STRIDE + self.epoch)
        return iter(torch.randperm(self.count, generator=generator).tolist())


class Learner(pl.LightningModule):
    """Trains a `Network` on the targets of one task.

    Args:
        network: What is trained.
        targets: The task's targets, in the order of the network's heads.
        options: Learning rate, augmentation, seed.
        steps: Optimiser steps of the whole training, for the schedule.
    """

    def __init__(
        self, network: Network, targets: Sequence[Target], options: TrainOptions, steps: int
    ) -> None:
        super().__init__()
        self.network = network
        self.targets = tuple(targets)
        self.options = options
        self.steps = steps
        self._losses: list[Tensor] = []

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        """Returns the loss of one batch."""
        pixels, labels, weights = batch
        seed = self.options.seed * _SEED_STRIDE + self.global_step
        # All randomness follows from the step, so a resumed run repeats what the killed one did.
        torch.manual_seed(seed)
        images = augment(
            pixels.unsqueeze(1).float() / 255,
            self.options.augment,
            self.options.flip,
            torch.Generator().manual_seed(seed),
        )
        loss = batch_loss(self.targets, self.network(images), labels, weights)
        self._losses.append(loss.detach())
        return loss

    def on_train_epoch_start(self) -> None:
        """Forgets the losses of the epoch before."""
        self._losses.clear()

    def epoch_loss(self) -> float:
        """Returns the mean loss of the epoch's steps.

        Raises:
            TrainingError: A loss was not finite.
        """
        loss = float(torch.stack(self._losses).mean())
        if not math.isfinite(loss):
            raise TrainingError(
                f"The loss is no longer finite in epoch {self.current_epoch + 1}: "
                "lower learning_rate or set precision to 32."
            )
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW with a one-cycle schedule; norms and biases are not decayed."""
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]
        optimiser = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": self.options.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=self.options.learning_rate,
        )
        schedule = OneCycleLR(
            optimiser, self.options.learning_rate, total_steps=self.steps + 1, pct_start=WARM_UP
        )
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
