"""How long a training takes: passes, steps, and how many of them fit into a time."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from data.atomic import write_file
from trainer.fitting.cases import Cases
from trainer.network.heads import Head
from trainer.network.losses import Loss
from trainer.network.network import Network
from trainer.network.precision import uses_bf16
from trainer.options import TrainOptions

TRIALS = 4
"""Steps whose median time counts, after one that warms up."""

OVERHEAD = 1.08
"""What augmentation, the moving average and the end of an epoch add to the steps."""

LEAST_SHARE_S = 1e-3
"""What a member may take where those before it took all the time: one epoch."""

PLAN = "plan.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to train.

    Attributes:
        batch_size: Images in a step; fewer than asked for where there are fewer images.
        epochs: Passes over the training images.
        steps: Optimiser steps in all.
    """

    batch_size: int
    epochs: int
    steps: int

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of one pass."""
        return self.steps // self.epochs


def share_of_time(options: TrainOptions, spent_s: float, members: int) -> TrainOptions:
    """Returns the options with one member's equal share of the time that is left.

    Args:
        options: `budget_s` and `max_seconds` bound all members together.
        spent_s: Seconds that the members before have taken.
        members: How many have yet to be trained, this one included.
    """

    def share(limit_s: float) -> float:
        return max(LEAST_SHARE_S, (limit_s - spent_s) / members) if limit_s else 0.0

    return replace(
        options, budget_s=share(options.budget_s), max_seconds=share(options.max_seconds)
    )


def plan(cases: int, options: TrainOptions, step_s: float | None = None) -> Plan:
    """Says how long `cases` training images are trained on.

    Args:
        cases: Training images.
        options: `budget_s` decides where it is given, otherwise `epochs` and `min_steps`.
        step_s: Seconds of a step, for `budget_s`.
    """
    batch_size = min(options.batch_size, cases)
    # Whole batches only: a rest of one image would have no variance to normalise by.
    per_epoch = cases // batch_size
    epochs = max(options.epochs, math.ceil(options.min_steps / per_epoch))
    if options.budget_s and step_s is not None:
        # A pass leaves a few images out rather than the time of a whole pass unused.
        steps = max(1, int(options.budget_s / step_s))
        epochs = math.ceil(steps / per_epoch)
        per_epoch = steps // epochs
    return Plan(batch_size, epochs, epochs * per_epoch)


def planned(
    network: Network,
    heads: Sequence[Head],
    cases: Cases,
    options: TrainOptions,
    device: torch.device,
    folder: Path,
    processes: int = 1,
) -> Plan:
    """Returns the plan of a training; a time budget is turned into passes once, by a few steps.

    A training that goes on after it was killed keeps the plan that it began with.
    """
    file = folder / PLAN
    if file.exists():
        return Plan(**json.loads(file.read_text()))
    step_s = None
    if options.budget_s:
        times = [
            seconds_of_step(network, heads, cases, options, device, size, processes)
            for size in options.size_course
        ]
        step_s = sum(times) / len(times) * OVERHEAD
    made = plan(len(cases), options, step_s)
    write_file(file, json.dumps(asdict(made)).encode(), sync=False)
    return made


def seconds_of_step(
    network: Network,
    heads: Sequence[Head],
    cases: Cases,
    options: TrainOptions,
    device: torch.device,
    size: int,
    processes: int = 1,
) -> float:
    """Measures a process's part of a step on squares of `size` pixels, on a copy of the network."""
    tried = copy.deepcopy(network).to(device).train()
    loss = Loss(heads).to(device)
    optimiser = torch.optim.AdamW(tried.parameters(), lr=options.learning_rate)
    count = max(2, min(options.batch_size, len(cases)) // options.accumulate // processes)
    _, labels, weights, known = cases.__getitems__(range(count))
    pixels = torch.rand((count, 1, size, size)).to(device)
    rest = [part.to(device) for part in (labels, weights, known)]
    times = []
    for _ in range(TRIALS + 1):
        began = time.perf_counter()
        for _ in range(options.accumulate):
            with torch.autocast(
                device.type, torch.bfloat16, enabled=uses_bf16(options.precision, device)
            ):
                outputs = tried(pixels, rest[2])
            loss(outputs.heads, rest[0], rest[1]).backward()
        optimiser.step()
        optimiser.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return float(np.median(times[1:]))
