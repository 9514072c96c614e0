"""Where a killed pre-training goes on."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from data.atomic import write_file
from trainer.options import TrainOptions

FILE = "pretraining.ckpt"
DECIDE = ("seed", "precision", "normalise")
"""Options that decide about the result, beside those that begin with `ssl_`."""

SAMPLE = 256
"""Squares whose pixels tell one set of radiographs from another."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The file of one pre-training.

    Attributes:
        path: The file.
        identity: Tells this pre-training from others; a file of another one is not read.
    """

    path: Path
    identity: str

    def save(self, state: dict[str, Any]) -> None:
        """Writes the state; a crash leaves the old file or the new one.

        Raises:
            StorageError: The disk is full.
        """
        buffer = io.BytesIO()
        torch.save({"identity": self.identity, **state}, buffer)
        write_file(self.path, buffer.getvalue(), sync=False)

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """Returns what was saved last; None: nothing, or by another pre-training."""
        try:
            state: dict[str, Any] = torch.load(self.path, device, weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
            return None
        return state if state.get("identity") == self.identity else None


def identify(
    backbone: nn.Module,
    pixels: NDArray[np.uint8],
    rows: NDArray[np.int64],
    options: TrainOptions,
) -> str:
    """Names a pre-training by all that decides about its result."""
    told = [(k, v) for k, v in options.to_json().items() if k.startswith("ssl_") or k in DECIDE]
    digest = hashlib.sha256(json.dumps(told).encode())
    digest.update(np.ascontiguousarray(rows).tobytes())
    chosen = rows[:: max(1, len(rows) // SAMPLE)]
    digest.update(np.ascontiguousarray(pixels[chosen]).tobytes())
    for name, value in backbone.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
