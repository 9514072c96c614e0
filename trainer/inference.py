"""Runs a network over prepared squares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from data.domain import Target
from data.errors import ModelError
from trainer.network import Network
from trainer.raw_outputs import RawOutputs, to_units
from trainer.targets import Norm, outputs_of

CHUNK = 8
"""Images that pass the network together, always: shorter chunks are filled up with black.

Convolutions choose their order of summation by the batch's shape, so with a fixed shape an image
gets the same answer alone and among others (on the same hardware and library versions).
"""


def run(
    network: Network,
    targets: Sequence[Target],
    norms: Mapping[str, Norm],
    squares: NDArray[np.uint8],
    device: torch.device,
) -> RawOutputs:
    """Computes the raw outputs of every square.

    Args:
        network: In any mode; it is put into evaluation mode.
        targets: In the order of the network's heads.
        norms: The normalisation of the number targets.
        squares: (N, S, S) grey, as `data.images.preparation.prepare` makes them.
        device: Where the network lives.

    Raises:
        ModelError: An output is not finite.
    """
    network.eval()
    parts: list[list[NDArray[np.float32]]] = [[] for _ in targets]
    with torch.inference_mode():
        for start in range(0, len(squares), CHUNK):
            chunk = np.ascontiguousarray(squares[start : start + CHUNK])
            for part, values in zip(parts, _chunk(network, chunk, device), strict=True):
                part.append(values)
    joined = [
        np.concatenate([np.zeros((0, outputs_of(target)), np.float32), *part])
        for target, part in zip(targets, parts, strict=True)
    ]
    return to_units(targets, joined, norms)


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
    network: Network, squares: NDArray[np.uint8], device: torch.device
) -> list[NDArray[np.float32]]:
    padded = np.zeros((CHUNK, *squares.shape[1:]), np.uint8)
    padded[: len(squares)] = squares
    pixels = torch.from_numpy(padded).to(device).unsqueeze(1).float() / 255
    outputs = network(pixels)
    return [output[: len(squares)].cpu().numpy() for output in outputs]
