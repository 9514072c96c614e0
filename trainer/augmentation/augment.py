"""Random changes of training images that leave their labels true, as tensor operations.

All images of a batch are changed at once, each in its own way, on the device where they are.
Everything random is drawn on the CPU, so that the same seed gives the same changes on every device,
and nothing that a GPU computes is looked at: the host never waits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.augmentation import geometry, grey, marks
from trainer.augmentation.draws import Draws, bring
from trainer.options import TrainOptions

MOST_SHEAR_DEG = 60.0
"""Twice the largest option would be a right angle, which leaves nothing of an image."""

BLUR_WIDTH = (0.003, 0.009)
"""Standard deviation of a blur, as a share of the image's side: about 0.5 to 1.5 pixels of 160. The
same for what sharpening adds."""

LEAST_BLUR_PX = 0.5
"""A narrower blur of a small image would change nothing."""

SHARPEN_STRENGTH = (0.5, 2.0)
"""Factor on the details that sharpening adds."""

CLAHE_STRENGTH = (0.3, 1.0)
"""Share of the film with even contrast in what becomes of it."""

GREY_LEVELS = (8.0, 64.0)
"""What is left of 256 on a film that was exposed far too little, or for another display."""

ERASED_SIDE = (0.1, 0.3)
"""Sides of an erased rectangle, as a share of the image's side."""

MARKER_HEIGHT = (0.04, 0.09)
"""Of a lead letter, as a share of the image's side: 10 to 20 mm on a film of 240 mm."""

MARKER_DEPTH = (0.01, 0.08)
"""Distance of a lead letter from the nearest edge, as a share of the image's side."""

MARKER_WHITE = (0.85, 1.0)
"""Grey value of lead."""

GRAIN_MARGIN = 64
"""Pixels by which the field of grain is larger than an image: 65 x 65 different parts."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """Largest changes; each image draws its own, evenly from both sides. The default is none.

    Attributes:
        turn_deg: Rotation, degrees.
        zoom: Relative change of size; 0.1 is from 1 / 1.1 to 1.1 times.
        shift: Shift along each axis, as a share of the image's side.
        shear_deg: Shear, degrees.
        flip: Mirror each image left to right with probability one half.
        gamma: Natural logarithm of the exponent of the grey values.
        contrast: Relative change of the grey values' spread around their mean.
        brightness: Added to the grey values (0..1).
        invert: Share of the images that become negatives.
        sharpen: Share that is sharpened.
        clahe: Share whose local contrast is evened out, see `grey.even_out`.
        blur: Share that is blurred.
        posterise: Share that is left few grey levels.
        noise: Highest standard deviation of grain (grey values 0..1).
        erase: Share that loses a rectangle to the image's mean grey.
        marker: Share that gets a white lead letter near an edge.
    """

    turn_deg: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    shear_deg: float = 0.0
    flip: bool = False
    gamma: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    invert: float = 0.0
    sharpen: float = 0.0
    clahe: float = 0.0
    blur: float = 0.0
    posterise: float = 0.0
    noise: float = 0.0
    erase: float = 0.0
    marker: float = 0.0

    @property
    def moves(self) -> bool:
        """Whether anything changes places."""
        return any((self.turn_deg, self.zoom, self.shift, self.shear_deg, self.flip))

    @property
    def exposes(self) -> bool:
        """Whether the course of the grey values changes."""
        return any((self.gamma, self.contrast, self.brightness))


def ranges_of(options: TrainOptions) -> Ranges:
    """Returns the changes that options ask for: each times `options.augment`, but for the flip."""
    factor = options.augment

    def share(value: float) -> float:
        return min(1.0, value * factor)

    return Ranges(
        turn_deg=options.turn_deg * factor,
        zoom=options.zoom * factor,
        shift=options.shift * factor,
        shear_deg=min(MOST_SHEAR_DEG, options.shear_deg * factor),
        flip=options.flip,
        gamma=options.gamma * factor,
        contrast=options.contrast * factor,
        brightness=options.brightness * factor,
        invert=share(options.invert),
        sharpen=share(options.sharpen),
        clahe=share(options.clahe),
        blur=share(options.blur),
        posterise=share(options.posterise),
        noise=options.noise * factor,
        erase=share(options.erase),
        marker=share(options.marker),
    )


def augment(
    pixels: Tensor, ranges: Ranges, generator: torch.Generator, size: int | None = None
) -> Tensor:
    """Changes each image of a batch in its own way.

    Args:
        pixels: (N, 1, S, S) float, 0 black to 1 white; not written to.
        ranges: Largest changes.
        generator: Source of randomness; lives on the CPU, whatever the device of `pixels`.
        size: Side of the images that are returned, at most S; None: S.

    Returns:
        (N, 1, size, size) float in 0..1 on the device of `pixels`; `pixels` itself where there is
        nothing to change.

    Raises:
        ValueError: `size` is larger than S.
    """
    draws = Draws.of(len(pixels), generator)
    if size is not None:
        pixels = geometry.shrink(pixels, size)
    if ranges == Ranges():
        return pixels
    pixels = geometry.move(pixels, _maps(draws, ranges)) if ranges.moves else pixels.clone()
    _change_some(pixels, draws, "clahe", ranges.clahe, _even_out)
    _change_some(pixels, draws, "blur", ranges.blur, _blur)
    _change_some(pixels, draws, "sharpen", ranges.sharpen, _sharpen)
    _change_some(pixels, draws, "posterise", ranges.posterise, _posterise)
    if ranges.exposes:
        pixels = _expose(pixels, draws, ranges)
    if ranges.noise > 0:
        pixels = _add_grain(pixels, draws, ranges.noise, generator)
    _change_some(pixels, draws, "erase", ranges.erase, _erase)
    _change_some(pixels, draws, "marker", ranges.marker, _mark)
    # Last: on a negative, lead is black.
    _change_some(pixels, draws, "invert", ranges.invert, lambda some, _: grey.invert(some))
    return pixels


def _change_some(
    pixels: Tensor,
    draws: Draws,
    name: str,
    share: float,
    change: Callable[[Tensor, Draws], Tensor],
) -> None:
    """Changes that share of the images where they lie; the others cost nothing."""
    chosen = draws.chosen(name, share)
    if len(chosen) > 0:
        places = bring(chosen, pixels.device)
        pixels.index_copy_(0, places, change(pixels[places], draws.take(chosen)))


def _maps(draws: Draws, ranges: Ranges) -> Tensor:
    return geometry.affine_maps(
        turn_deg=draws.even("turn", ranges.turn_deg),
        factor=geometry.zoom_factors(draws.even("zoom", 1.0), ranges.zoom),
        shift_x=draws.even("shift_x", ranges.shift),
        shift_y=draws.even("shift_y", ranges.shift),
        shear_deg=draws.even("shear", ranges.shear_deg),
        mirrored=draws.between("mirror", (0.0, 1.0)) < (0.5 if ranges.flip else 0.0),
    )


def _expose(pixels: Tensor, draws: Draws, ranges: Ranges) -> Tensor:
    exponent = draws.even("gamma", ranges.gamma).exp()
    contrast = (1 + draws.even("contrast", ranges.contrast)).clamp_(min=0)
    brightness = draws.even("brightness", ranges.brightness)
    each = bring(torch.stack([exponent, contrast, brightness]), pixels.device)
    return grey.expose(pixels, *each.to(pixels.dtype).view(3, -1, 1, 1, 1))


def _add_grain(pixels: Tensor, draws: Draws, noise: float, generator: torch.Generator) -> Tensor:
    side, device = pixels.shape[-1] + GRAIN_MARGIN, pixels.device
    field = bring(torch.randn(side, side, generator=generator), device).to(pixels.dtype)
    amount = bring(draws.between("noise", (0.0, noise)), device).to(pixels.dtype)
    left, top = (bring(draws.whole(n, GRAIN_MARGIN + 1), device) for n in ("grain_x", "grain_y"))
    return grey.add_grain(pixels, field, left, top, amount.view(-1, 1, 1, 1))


def _even_out(pixels: Tensor, draws: Draws) -> Tensor:
    return grey.even_out(pixels, _each(draws, "clahe_strength", CLAHE_STRENGTH, pixels))


def _blur(pixels: Tensor, draws: Draws) -> Tensor:
    return grey.blur(pixels, *_widths(draws, "blur_width", pixels))


def _sharpen(pixels: Tensor, draws: Draws) -> Tensor:
    strength = _each(draws, "sharpen_strength", SHARPEN_STRENGTH, pixels)
    return grey.sharpen(pixels, *_widths(draws, "sharpen_width", pixels), strength)


def _posterise(pixels: Tensor, draws: Draws) -> Tensor:
    low, high = (math.log(levels) for levels in GREY_LEVELS)
    return grey.posterise(pixels, _each(draws, "grey_levels", (low, high), pixels).exp())


def _erase(pixels: Tensor, draws: Draws) -> Tensor:
    side = pixels.shape[-1]
    width, height = (draws.between(f"erase_{n}", ERASED_SIDE) * side for n in ("width", "height"))
    left = draws.between("erase_x", (0.0, 1.0)) * (side - width)
    top = draws.between("erase_y", (0.0, 1.0)) * (side - height)
    return marks.erase(pixels, left, top, width, height)


def _mark(pixels: Tensor, draws: Draws) -> Tensor:
    side = pixels.shape[-1]
    # A cell of a letter that is smaller than a pixel would lie between two and not be seen.
    height = (draws.between("marker_height", MARKER_HEIGHT) * side).clamp_(min=marks.ROWS)
    room_x, room_y = side - height * marks.COLUMNS / marks.ROWS, side - height
    depth = draws.between("marker_depth", MARKER_DEPTH) * side
    along = draws.between("marker_place", (0.0, 1.0))
    edge = draws.whole("marker_edge", 4)
    left = torch.where(edge < 2, along * room_x, torch.where(edge == 2, depth, room_x - depth))
    top = torch.where(edge >= 2, along * room_y, torch.where(edge == 0, depth, room_y - depth))
    letter = draws.whole("marker_letter", len(marks.LETTERS))
    white = draws.between("marker_white", MARKER_WHITE)
    return marks.mark(pixels, letter, left, top, height, white)


def _each(draws: Draws, name: str, ends: tuple[float, float], pixels: Tensor) -> Tensor:
    """Returns one number per image, (n, 1, 1, 1) on the device of the pixels."""
    return bring(draws.between(name, ends).to(pixels.dtype), pixels.device).view(-1, 1, 1, 1)


def _widths(draws: Draws, name: str, pixels: Tensor) -> tuple[Tensor, float]:
    """Returns the width of each image's blur and the widest that there may be, pixels."""
    narrow, wide = (max(LEAST_BLUR_PX, share * pixels.shape[-1]) for share in BLUR_WIDTH)
    return _each(draws, name, (narrow, wide), pixels).view(-1), wide
