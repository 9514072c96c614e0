"""The course of the learning rate."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingWarmRestarts,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
)

from trainer.options import TrainOptions

WARM_UP = 0.15
"""Share of the steps of one cycle in which the learning rate rises."""

CYCLES = 3
"""Cycles of the cosine; each is twice as long as the one before."""

PLATEAU_FACTOR = 0.3
PLATEAU_EPOCHS = 3
"""Epochs without a lower validation error after which the rate falls by the factor."""


def make_schedule(optimiser: Optimizer, options: TrainOptions, steps: int) -> LRScheduler | None:
    """Returns what sets the rate after each step; None: nothing does.

    Args:
        optimiser: Whose rate is set.
        options: Names the schedule.
        steps: Optimiser steps of the whole training.
    """
    if options.schedule == "onecycle":
        return OneCycleLR(
            optimiser, options.learning_rate, total_steps=steps + 1, pct_start=WARM_UP
        )
    if options.schedule == "cosine":
        first = max(1, -(-steps // (2**CYCLES - 1)))
        return CosineAnnealingWarmRestarts(optimiser, first, T_mult=2)
    return None


def make_plateau(optimiser: Optimizer, options: TrainOptions) -> ReduceLROnPlateau | None:
    """Returns what lowers the rate by the validation error, told once per epoch; or None."""
    if options.schedule != "plateau":
        return None
    return ReduceLROnPlateau(
        optimiser, mode="min", factor=PLATEAU_FACTOR, patience=PLATEAU_EPOCHS - 1
    )
