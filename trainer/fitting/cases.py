"""The training cases, by batches and in the order of each epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""(N, S, S) uint8 pixels, (N, targets) labels, (N,) weights, (N, choices) what is known."""

SEED_STRIDE = 1_000_003


@dataclass(frozen=True, slots=True)
class Cases(Dataset[Batch]):
    """Training cases, fetched by whole batches out of the memory-mapped squares.

    Attributes:
        pixels: (rows, S, S) uint8 squares of a `PixelStore`.
        rows: (N,) row of each case.
        labels: (N, targets), see `targets.encode`.
        weights: (N,) weight of each case.
        known: (N, choices), see `targets.encode_known`.
    """

    pixels: NDArray[np.uint8]
    rows: NDArray[np.int64]
    labels: NDArray[np.float32]
    weights: NDArray[np.float32]
    known: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Returns one batch; torch's loader prefers this to one case at a time."""
        chosen = np.asarray(indices, np.int64)
        squares = np.ascontiguousarray(self.pixels[self.rows[chosen]])
        rest = (self.labels[chosen], self.weights[chosen], self.known[chosen])
        labels, weights, known = (torch.from_numpy(part) for part in rest)
        return torch.from_numpy(squares), labels, weights, known

    def __reduce__(self) -> tuple[Any, ...]:
        """Other processes map the squares' file themselves: only its name is handed over."""
        squares: Any = self.pixels
        if isinstance(squares, np.memmap):
            squares = _Mapped(str(squares.filename), squares.shape)
        return _with_pixels, (squares, self.rows, self.labels, self.weights, self.known)


@dataclass(frozen=True, slots=True)
class _Mapped:
    """A file of squares that is mapped where it is needed."""

    file: str
    shape: tuple[int, ...]


def _with_pixels(squares: Any, *rest: Any) -> Cases:
    if isinstance(squares, _Mapped):
        squares = np.memmap(squares.file, np.uint8, "r", shape=squares.shape)
    return Cases(squares, *rest)


class EpochOrder(Sampler[int]):
    """A random order that depends on seed and epoch alone, so a resumed run goes on the same way.

    Args:
        cases: Cases that there are.
        used: Cases of an epoch: whole steps only. A rest of one image would have no variance.
        seed: See `TrainOptions.seed`.
        rank: Number of this process among those that train together.
        processes: How many train together; each takes every `processes`-th case.
    """

    def __init__(self, cases: int, used: int, seed: int, rank: int = 0, processes: int = 1) -> None:
        self.cases, self.used, self.seed, self.epoch = cases, used, seed, 0
        self.rank, self.processes = rank, processes

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.used // self.processes

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * SEED_STRIDE + self.epoch)
        order = torch.randperm(self.cases, generator=generator)[: self.used]
        return iter(order[self.rank :: self.processes].tolist()[: len(self)])
