"""What lies on a film and says nothing of the patient: erased parts and lead markers."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.augmentation.draws import bring

LETTERS = (
    ("#....", "#....", "#....", "#....", "#....", "#....", "#####"),
    ("####.", "#...#", "#...#", "####.", "#.#..", "#..#.", "#...#"),
    ("..#..", "..#..", "..#..", "..#..", "..#..", "..#..", "..#.."),
)
"""Lead markers: L, R, and a plain bar."""

ROWS, COLUMNS = 7, 5
"""Of a letter."""


def erase(pixels: Tensor, left: Tensor, top: Tensor, width: Tensor, height: Tensor) -> Tensor:
    """Covers a rectangle of each image with the image's mean grey.

    After Zhong et al. 2020, Random Erasing Data Augmentation: no single bone may decide.

    Args:
        pixels: (n, 1, S, S).
        left: (n,) place of the rectangle's left edge, pixels, with fractions; on the CPU.
        top: (n,) of its upper edge.
        width: (n,) pixels.
        height: (n,) pixels.
    """
    middles = torch.arange(pixels.shape[-1]) + 0.5
    columns, rows = (
        (middles >= start[:, None]) & (middles < (start + length)[:, None])
        for start, length in ((left, width), (top, height))
    )
    columns, rows = (bring(inside, pixels.device) for inside in (columns, rows))
    covered = (rows[:, :, None] & columns[:, None, :]).unsqueeze(1)
    return torch.where(covered, pixels.mean((1, 2, 3), keepdim=True), pixels)


def mark(
    pixels: Tensor, letter: Tensor, left: Tensor, top: Tensor, height: Tensor, white: Tensor
) -> Tensor:
    """Lays a lead marker on each image: where it lies, nothing is darker than it.

    Args:
        pixels: (n, 1, S, S).
        letter: (n,) index in `LETTERS`; this and the following on the CPU.
        left: (n,) place of the letter's left edge, pixels, with fractions.
        top: (n,) of its upper edge.
        height: (n,) pixels; a letter is 5/7 as wide.
        white: (n,) grey of the marker, 0..1.
    """
    device = pixels.device
    middles = torch.arange(pixels.shape[-1]) + 0.5
    rows = _cells(middles, top, height / ROWS, ROWS)
    columns = _cells(middles, left, height / ROWS, COLUMNS)
    shapes = bring(_shapes()[letter] * white.view(-1, 1, 1), device).to(pixels.dtype)
    images = bring(torch.arange(len(letter)), device).view(-1, 1, 1)
    marker = shapes[images, bring(rows, device)[:, :, None], bring(columns, device)[:, None, :]]
    return torch.maximum(pixels, marker.unsqueeze(1))


def _cells(middles: Tensor, start: Tensor, cell: Tensor, count: int) -> Tensor:
    """Returns (n, S): the letter's row (or column) at each pixel; `count` beside the letter."""
    cells = ((middles - start[:, None]) / cell[:, None]).floor().long()
    return torch.where((cells >= 0) & (cells < count), cells, count)


def _shapes() -> Tensor:
    """Returns (letters, 8, 6) of 0 and 1: a last row and column of 0 is what lies beside them."""
    shapes = torch.zeros(len(LETTERS), ROWS + 1, COLUMNS + 1)
    for shape, letter in zip(shapes, LETTERS, strict=True):
        shape[:ROWS, :COLUMNS] = torch.tensor([[cell == "#" for cell in row] for row in letter])
    return shapes
