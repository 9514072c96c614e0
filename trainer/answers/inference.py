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


def chunk_of(device: torch.device) -> int:
    """Returns how many images pass the network together on a device."""
    return CHUNK.get(device.type, CHUNK["cpu"])


FEW = 4
"""So many images at most pass the backbone in smaller steps, where these change no bit."""
STEPS = (1, 2)
"""Smaller steps that are tried out."""


def run(
    network: Network,
    heads: Sequence[Head],
    squares: NDArray[np.uint8],
    device: torch.device,
    known: NDArray[np.float32] | None = None,
    views: Sequence[View] = AS_IT_IS,
    few: int = 0,
) -> RawOutputs:
    """Computes the raw outputs of every square.

    Args:
        network: In any mode; it is put into evaluation mode.
        heads: The network's heads.
        squares: (N, S, S) grey, as `data.images.preparation.prepare` makes them.
        device: Where the network lives.
        known: (N, choices) as `targets.encode_known` makes it; None: nothing is known.
        views: What the answer is the mean of.
        few: Images that pass the backbone together where there are `FEW` at most; see
            `steady_step`. 0: as many as always.

    Raises:
        ModelError: An output is not finite.
    """
    network.eval()
    size = chunk_of(device)
    parts = []
    with torch.inference_mode():
        for start in range(0, max(len(squares), 1), size):
            rows = slice(start, start + size)
            count = len(squares[rows])
            step = few if few and 0 < count <= FEW else size
            chunk = _filled(squares[rows], -(-max(count, 1) // step) * step)
            told = None if known is None else _filled(known[rows], size)
            parts.append(_chunk(network, heads, chunk, told, device, views, step))
    return _cut(_joined(parts), len(squares))


def steady_step(network: Network, side: int, device: torch.device) -> int:
    """Returns how few images may pass the backbone together without a bit of theirs changing.

    Tried out on noise: the order that a library sums in depends on the shapes, and never on the
    values. The heads always get full chunks: theirs are small matrices, whose order does change.

    Args:
        network: On `device`; it is put into evaluation mode.
        side: Of the squares, pixels.
        device: Where the network lives.
    """
    network.eval()
    size = chunk_of(device)
    noise = torch.Generator().manual_seed(0)
    pixels = torch.rand(size, 1, side, side, generator=noise).to(device)
    with torch.inference_mode():
        whole = network.embed(pixels)
        for step in STEPS:
            if torch.equal(_features(network, pixels, step, size), whole):
                return step
    return size


def _features(network: Network, pixels: Tensor, step: int, size: int) -> Tensor:
    """Returns (size, F) features of up to `size` images; those of absent images are 0."""
    parts = [network.embed(pixels[i : i + step]) for i in range(0, len(pixels), step)]
    features = torch.cat(parts)
    padded = features.new_zeros(size, *features.shape[1:])
    padded[: len(features)] = features
    return padded


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
    step: int,
) -> RawOutputs:
    pixels = squares.to(device).unsqueeze(1).float() / 255
    told = None if known is None else known.to(device)
    answers = []
    for view in views:
        features = _features(network, show(pixels, view), step, chunk_of(device))
        outputs = network.tell(features, told)
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
