"""The course of a pre-training: bounded in time, repeatable by its seed, resumable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from data.errors import TrainingError
from trainer import torchvision_guard  # noqa: F401  (must come before lightly)
from trainer.network.precision import uses_bf16
from trainer.options import TrainOptions
from trainer.pretraining.checkpoint import FILE, Checkpoint, identify
from trainer.pretraining.contrast import Contrast, check
from trainer.pretraining.views import two_views

from lightly.utils.scheduler import cosine_warmup_schedule  # isort: skip

LEAST_RADIOGRAPHS = 16
"""Fewer than that have too little to tell them from each other."""

WEIGHT_DECAY = 1e-4
CLIP_NORM = 5.0
"""Longest gradient: a single odd film must not throw the weights off."""

WARM_UP = 0.05
"""Share of the course in which the learning rate rises."""

PARTS = 10_000
"""Parts that the course is divided into for the learning rate."""

LOOK_EVERY = 20
"""Steps between two looks at loss, clock and checkpoint: on a GPU each look waits for it."""

_SEED_STRIDE = 1_000_003


def pretrain(
    backbone: nn.Module,
    pixels: NDArray[np.uint8],
    rows: NDArray[np.int64],
    options: TrainOptions,
    device: torch.device,
    folder: Path,
    progress: Callable[[str], None] | None = None,
) -> dict[str, float]:
    """Trains a backbone in place to tell radiographs from each other; needs no label.

    A call that was killed goes on from its last checkpoint when it is repeated with the same
    arguments, and one that had ended is not repeated: its weights are read. Without a time limit
    the result is that of a call that was never interrupted.

    Args:
        backbone: Gives (N, F) features of (N, 1, S, S) squares; ends on `device`.
        pixels: (rows, S, S) grey squares, may be mapped from a file.
        rows: (N,) which of them are learnt from. The caller leaves out those of the test split:
            a film that a model is tested on must not have shaped it, not even without its label.
        options: Those that begin with `ssl_`, seed, precision, normalise, checkpoint_s.
        device: Where to train.
        folder: Keeps the checkpoint.
        progress: Told one line per epoch, and more often in long ones.

    Returns:
        `radiographs`, `epochs` (as far as they got), `steps`, `seconds` (before a resumption
        included), `loss` and `spread` (see `contrast.spread`), means of the last steps.

    Raises:
        TrainingError: Too few radiographs, a loss that is not finite, or collapsed features.
        StorageError: The disk is full.
    """
    if len(rows) < LEAST_RADIOGRAPHS:
        raise TrainingError(
            f"There are {len(rows)} radiographs to learn from without labels, but at least "
            f"{LEAST_RADIOGRAPHS} are needed: import more."
        )
    checkpoint = Checkpoint(folder / FILE, identify(backbone, pixels, rows, options))
    was_training = backbone.training
    with (
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        torch.backends.cudnn.flags(
            enabled=True, benchmark=not options.deterministic, deterministic=options.deterministic
        ),
    ):
        course = _Course(backbone, pixels, rows, options, device, checkpoint)
        course.run(progress or _say_nothing)
    backbone.train(was_training)
    return course.result()


class _Course:
    """One pre-training.

    Args:
        backbone: What learns.
        pixels: See `pretrain`.
        rows: See `pretrain`.
        options: See `pretrain`.
        device: See `pretrain`.
        checkpoint: Where to go on from, and where to save.
    """

    def __init__(
        self,
        backbone: nn.Module,
        pixels: NDArray[np.uint8],
        rows: NDArray[np.int64],
        options: TrainOptions,
        device: torch.device,
        checkpoint: Checkpoint,
    ) -> None:
        self.pixels, self.rows, self.options, self.device = pixels, rows, options, device
        self.checkpoint = checkpoint
        self.batch_size = min(options.ssl_batch_size, len(rows))
        self.per_epoch = len(rows) // self.batch_size
        self.steps = self.per_epoch * options.ssl_epochs
        torch.manual_seed(options.seed)
        self.model = Contrast(backbone, _count_features(backbone, pixels.shape[1])).to(device)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=options.ssl_learning_rate, weight_decay=WEIGHT_DECAY
        )
        self.bf16 = uses_bf16(options.precision, device)
        self.step, self.seconds, self.loss, self.spread, self.ended = 0, 0.0, 0.0, 0.0, False

    def run(self, progress: Callable[[str], None]) -> None:
        """Goes on from the checkpoint, if there is one, to the end."""
        self._resume()
        began = monotonic() - self.seconds
        saved = told = self.seconds
        seen: list[torch.Tensor] = []
        self.model.train()
        while not self.ended:
            seen.append(self._take_step())
            self.step += 1
            epoch_ends = self.step % self.per_epoch == 0
            if not (epoch_ends or len(seen) == LOOK_EVERY):
                continue
            self.loss, self.spread = torch.stack(seen).mean(0).tolist()
            seen.clear()
            check(self.loss, self.spread, self.epoch)
            self.seconds = monotonic() - began
            limit = self.options.ssl_max_seconds
            self.ended = self.step == self.steps or (limit > 0 and self.seconds >= limit)
            if self.ended or self.seconds - saved >= self.options.checkpoint_s:
                self._save()
                saved = self.seconds
            if self.ended or epoch_ends or self.seconds - told >= self.options.checkpoint_s:
                progress(self._line())
                told = self.seconds

    @property
    def epoch(self) -> int:
        """The epoch of the last step, 1 for the first."""
        return max(0, self.step - 1) // self.per_epoch + 1

    def result(self) -> dict[str, float]:
        """See `pretrain`."""
        return {
            "radiographs": float(len(self.rows)),
            "epochs": round(self.step / self.per_epoch, 3),
            "steps": float(self.step),
            "seconds": round(self.seconds, 3),
            "loss": self.loss,
            "spread": self.spread,
        }

    def _take_step(self) -> torch.Tensor:
        """Learns from one batch and returns its loss and spread, (2,)."""
        epoch, index = divmod(self.step, self.per_epoch)
        seed = self.options.seed * _SEED_STRIDE
        order = torch.randperm(len(self.rows), generator=_generator(seed + epoch)).numpy()
        chosen = self.rows[order[index * self.batch_size :][: self.batch_size]]
        # All randomness follows from the step, so a resumed run repeats what the killed one did.
        torch.manual_seed(seed + self.step)
        squares = np.ascontiguousarray(self.pixels[chosen])
        generator = _generator(seed + self.step)
        views = two_views(squares, self.options.normalise, generator, self.device)
        for group in self.optimiser.param_groups:
            group["lr"] = self._learning_rate()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            loss, spread = self.model(views)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        self.optimiser.step()
        return torch.stack([loss.detach(), spread])

    def _learning_rate(self) -> float:
        """Rises, then falls along a cosine to 0 at the last step, or at the time limit."""
        done = self.step / self.steps
        if self.options.ssl_max_seconds:
            done = max(done, self.seconds / self.options.ssl_max_seconds)
        rate: float = cosine_warmup_schedule(
            step=int(min(done, 1) * (PARTS - 1)),
            max_steps=PARTS,
            start_value=self.options.ssl_learning_rate,
            end_value=0.0,
            warmup_steps=int(WARM_UP * PARTS),
            warmup_start_value=0.0,
        )
        return rate

    def _line(self) -> str:
        return (
            f"self-supervised epoch {self.epoch}/{self.options.ssl_epochs}: loss {self.loss:.3f}, "
            f"spread {self.spread:.2f}, {self.seconds:.0f} s"
        )

    def _resume(self) -> None:
        state = self.checkpoint.load(self.device)
        if state is not None:
            self.model.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.seconds, self.loss, self.spread, self.ended = state["course"]

    def _save(self) -> None:
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "course": [self.step, self.seconds, self.loss, self.spread, self.ended],
        }
        self.checkpoint.save(state)


def _count_features(backbone: nn.Module, side: int) -> int:
    backbone.eval()
    first = next(backbone.parameters())
    with torch.no_grad():
        return int(backbone(torch.zeros(1, 1, side, side, device=first.device)).shape[1])


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _say_nothing(_line: str) -> None:
    pass
