"""One optimiser step, as Lightning wants it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from data.errors import TrainingError
from trainer import torchvision_guard  # noqa: F401  (must come before lightning)
from trainer.augmentation.augment import augment, ranges_of
from trainer.fitting.cases import SEED_STRIDE, Batch
from trainer.fitting.schedules import make_schedule
from trainer.network.heads import Head
from trainer.network.losses import Loss
from trainer.network.moving_average import MovingAverage
from trainer.network.network import Network
from trainer.options import TrainOptions

import lightning.pytorch as pl  # isort: skip


class Learner(pl.LightningModule):
    """Trains a `Network`.

    Args:
        network: What is trained.
        heads: Its heads.
        options: How.
        steps: Optimiser steps of the whole training, for the schedule.
    """

    def __init__(
        self, network: Network, heads: Sequence[Head], options: TrainOptions, steps: int
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = Loss(heads, learned=options.loss_weights == "learned")
        self.average = MovingAverage(network, options.ema) if options.ema else None
        self.options = options
        self.steps = steps
        self._ranges = ranges_of(options)
        self._losses: list[Tensor] = []
        self._averaged_step = 0
        # Compiled beside the network, not in its place: weights keep their names.
        self._forward = torch.compile(network) if options.compile else network

    @property
    def kept(self) -> Network:
        """The network whose answers count: the average where there is one."""
        return self.average.network if self.average is not None else self.network

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Returns the loss of one batch."""
        pixels, labels, weights, known = batch
        # All randomness follows from epoch and batch, so a resumed run repeats what the killed
        # one did; the processes of one training draw differently.
        place = self.current_epoch * SEED_STRIDE + index * self.trainer.world_size
        seed = self.options.seed * SEED_STRIDE**2 + place + self.global_rank
        torch.manual_seed(seed % 2**63)
        generator = torch.Generator().manual_seed(seed % 2**63)
        images = augment(
            pixels.unsqueeze(1).float() / 255, self._ranges, generator, size=self._size()
        )
        shown = torch.rand(len(known), 1, generator=generator) >= self.options.withhold
        outputs = self._forward(images, known * shown.to(known.device))
        loss: Tensor = self.loss(outputs.heads, labels, weights)
        self._losses.append(loss.detach())
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Lets the average follow each optimiser step."""
        if self.average is not None and self.global_step != self._averaged_step:
            self._averaged_step = self.global_step
            self.average.follow(self.network, self.global_step)

    def on_train_start(self) -> None:
        """Takes a resumed training's last step as one that the average has followed."""
        self._averaged_step = self.global_step

    def on_train_epoch_start(self) -> None:
        """Forgets the losses of the epoch before."""
        self._losses.clear()

    def epoch_loss(self) -> float:
        """Returns the mean loss of the epoch's steps, in all processes that train together.

        Raises:
            TrainingError: A loss was not finite.
        """
        loss = float(self.trainer.strategy.reduce(torch.stack(self._losses).mean()))
        if not math.isfinite(loss):
            raise TrainingError(
                f"The loss is no longer finite in epoch {self.current_epoch + 1}: "
                "lower learning_rate or set precision to 32."
            )
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW with the schedule of the options; norms and biases are not decayed."""
        every = [*self.network.parameters(), *self.loss.parameters()]
        trained = [p for p in every if p.requires_grad]
        optimiser = torch.optim.AdamW(
            [
                {
                    "params": [p for p in trained if p.ndim > 1],
                    "weight_decay": self.options.weight_decay,
                },
                {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=self.options.learning_rate,
        )
        schedule = make_schedule(optimiser, self.options, self.steps)
        if schedule is None:
            return optimiser
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _size(self) -> int:
        """Returns the side of the squares of this step: each size gets the same share of steps."""
        course = self.options.size_course
        return course[min(self.global_step * len(course) // max(self.steps, 1), len(course) - 1)]
