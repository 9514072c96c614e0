"""Whether an image may hold burned-in text, which may name a person.

A guess by shapes, not by reading: several marks of about the same height, side by side, that stand
out from what is around them, near the border. It finds printed lines of five characters or more;
it does not find handwriting, single letters, or text over bright bone. Treat `False` as "nothing
was noticed".
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

CHARACTERS = 5
"""A date or a name has at least as many; lead markers (L, R, initials) have fewer."""

HEIGHT_PX = (7, 64)
"""Characters that can still be read, and the largest that devices print."""

LONGEST_SIDE_PX = 2048
"""Larger images are looked at in this size."""

CONTRAST = 70
"""Fewest grey values (of 255) between a character and what is around it."""

BORDER = 0.25
"""Text is printed in this outer part of the width or height, where the anatomy is not."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """A connected shape: left, top, width and height in pixels."""

    left: int
    top: int
    width: int
    height: int


def may_hold_text(image: NDArray[np.uint8]) -> bool:
    """Says whether a line of text was noticed.

    Args:
        image: (height, width), grey.
    """
    scale = LONGEST_SIDE_PX / max(image.shape)
    if scale < 1:
        size = round(image.shape[1] * scale), round(image.shape[0] * scale)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return any(_has_line(_marks(side), image.shape) for side in (image, 255 - image))


def _marks(image: NDArray[np.uint8]) -> list[_Mark]:
    """Finds bright shapes of the size and the density of a character."""
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (17, 17))  # wider than a stroke of a letter
    standing_out = cv2.morphologyEx(image, cv2.MORPH_TOPHAT, kernel)
    _, mask = cv2.threshold(standing_out, CONTRAST, 255, cv2.THRESH_BINARY)
    count, _, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    left, top, width, height, area = boxes[1:count].T
    low, high = HEIGHT_PX
    fits = (height >= low) & (height <= high) & (width * 8 >= height) & (width <= 1.5 * height)
    fits &= (area >= 0.15 * width * height) & (area <= 0.9 * width * height)
    shapes = np.stack([left, top, width, height], axis=1)[fits]
    return [_Mark(*map(int, shape)) for shape in shapes]


def _has_line(marks: list[_Mark], shape: tuple[int, ...]) -> bool:
    ordered = sorted(marks, key=lambda mark: mark.left)
    lines: list[list[_Mark]] = []
    for mark in ordered:
        line = next((one for one in lines if _continues(one[-1], mark)), None)
        if line is None:
            lines.append([mark])
        else:
            line.append(mark)
    return any(len(line) >= CHARACTERS and _near_border(line, shape) for line in lines)


def _continues(last: _Mark, mark: _Mark) -> bool:
    """Says whether two marks may be neighbouring characters on one line."""
    tall, small = max(last.height, mark.height), min(last.height, mark.height)
    gap = mark.left - (last.left + last.width)
    bottoms = abs(last.top + last.height - mark.top - mark.height)
    return -0.2 * tall <= gap <= 1.2 * tall and bottoms <= 0.2 * tall and small >= 0.6 * tall


def _near_border(line: list[_Mark], shape: tuple[int, ...]) -> bool:
    middle_y = line[0].top + line[0].height / 2
    middle_x = (line[0].left + line[-1].left + line[-1].width) / 2
    x, y = middle_x / shape[1], middle_y / shape[0]
    return min(x, 1 - x, y, 1 - y) <= BORDER
