"""Runs a network over prepared squares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.errors import ModelError
from trainer.answers.raw_outputs import RawOutputs, mean_of_views, to_units
from trainer.answers.views import AS_IT_IS, View, show
from trainer.network.heads import Head
from trainer.network.network import Network

CHUNK = {"cpu": 8, "cuda": 64}
"""Images that pass the network together, always: shorter chunks are filled up with black.

Convolutions choose their order of summation by the batch's shape, so with a fixed shape an image
gets the same answer alone and among others (on the same hardware and library versions).
"""


def run(
    network: Network,
    heads: Sequence[Head],
    squares: NDArray[np.uint8],
    device: torch.device,
    known: NDArray[np.float32] | None = None,
    views: Sequence[View] = AS_IT_IS,
) -> RawOutputs:
    """Computes the raw outputs of every square.

    Args:
        network: In any mode; it is put into evaluation mode.
        heads: The network's heads.
        squares: (N, S, S) grey, as `data.images.preparation.prepare` makes them.
        device: Where the network lives.
        known: (N, choices) as `targets.encode_known` makes it; None: nothing is known.
        views: What the answer is the mean of.

    Raises:
        ModelError: An output is not finite.
    """
    network.eval()
    size = CHUNK.get(device.type, CHUNK["cpu"])
    parts = []
    with torch.inference_mode():
        for start in range(0, max(len(squares), 1), size):
            rows = slice(start, start + size)
            chunk = _filled(squares[rows], size)
            told = None if known is None else _filled(known[rows], size)
            parts.append(_chunk(network, heads, chunk, told, device, views))
    return _cut(_joined(parts), len(squares))


def choose_device(name: str) -> torch.device:
    """Returns the device for `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        ModelError: A GPU was asked for by name and is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(f"There is no GPU {name}: set the device to auto or cpu.")
    return device


def _chunk(
    network: Network,
    heads: Sequence[Head],
    squares: Tensor,
    known: Tensor | None,
    device: torch.device,
    views: Sequence[View],
) -> RawOutputs:
    pixels = squares.to(device).unsqueeze(1).float() / 255
    told = None if known is None else known.to(device)
    answers = []
    for view in views:
        outputs = network(show(pixels, view), told)
        groups = [group.cpu().numpy() for group in outputs.heads]
        answers.append(to_units(heads, groups, outputs.features.cpu().numpy()))
    return mean_of_views(answers)


def _filled(rows: NDArray[np.generic], size: int) -> Tensor:
    padded = np.zeros((size, *rows.shape[1:]), rows.dtype)
    padded[: len(rows)] = rows
    return torch.from_numpy(padded)


def _joined(parts: Sequence[RawOutputs]) -> RawOutputs:
    first = parts[0]
    return RawOutputs(
        {
            name: (
                np.concatenate([part.numbers[name][0] for part in parts]),
                np.concatenate([part.numbers[name][1] for part in parts]),
            )
            for name in first.numbers
        },
        {name: np.concatenate([part.logits[name] for part in parts]) for name in first.logits},
        np.concatenate([part.features for part in parts]),
    )


def _cut(raw: RawOutputs, count: int) -> RawOutputs:
    return RawOutputs(
        {name: (c[:count], s[:count]) for name, (c, s) in raw.numbers.items()},
        {name: logits[:count] for name, logits in raw.logits.items()},
        raw.features[:count],
    )
