"""Changing the grey values of images; each function returns values in 0..1."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

TILES = 8
"""Tiles a side in which the local contrast is measured: as many as are usual for CLAHE."""

CONTRAST_LIMIT = 3.0
"""Highest factor, up or down, on a tile's contrast: where there is nothing, grain is not made much
of."""

_FLAT = 1e-3
"""Spread of grey values (0..1) below which a tile is flat."""


def expose(pixels: Tensor, exponent: Tensor, contrast: Tensor, brightness: Tensor) -> Tensor:
    """Exposes each film in another way: grey -> grey^exponent, spread around its mean, shifted.

    Args:
        pixels: (N, 1, S, S) in 0..1.
        exponent: (N, 1, 1, 1) above 0; above 1: darker.
        contrast: (N, 1, 1, 1) factor on the distance from the film's mean, at least 0.
        brightness: (N, 1, 1, 1) added.
    """
    # Six times as fast as a power on a CPU; log(0) is minus infinity, of which exp is 0 again.
    pixels = pixels.log().mul_(exponent).exp_()
    mean = pixels.mean((1, 2, 3), keepdim=True)
    return pixels.mul_(contrast).add_(mean * (1 - contrast) + brightness).clamp_(0, 1)


def add_grain(pixels: Tensor, field: Tensor, left: Tensor, top: Tensor, amount: Tensor) -> Tensor:
    """Lays a part of one field of grain over each image.

    White noise is not like itself at any other place: parts that overlap are as good as fields of
    their own, and a fraction of the numbers has to be drawn.

    Args:
        pixels: (N, 1, S, S).
        field: (H, W) grain of mean 0 and standard deviation 1, both at least S.
        left: (N,) column of the field where an image's part begins, at most W - S.
        top: (N,) row, at most H - S.
        amount: (N, 1, 1, 1) standard deviation of the grain in the image.
    """
    side = pixels.shape[-1]
    parts = field.unfold(0, side, 1).unfold(1, side, 1)
    return parts[top, left].unsqueeze(1).mul_(amount).add_(pixels).clamp_(0, 1)


def invert(pixels: Tensor) -> Tensor:
    """Makes negatives: black becomes white."""
    return 1 - pixels


def blur(pixels: Tensor, width: Tensor, widest: float) -> Tensor:
    """Blurs each image by a Gaussian of its own; beyond the edge the last pixel goes on.

    Args:
        pixels: (n, 1, S, S).
        width: (n,) standard deviation, pixels, above 0.
        widest: The highest that `width` may hold; the kernel reaches three times as far.
    """
    count, _, side, _ = pixels.shape
    reach = min(max(1, round(3 * widest)), side - 1)
    steps = torch.arange(-reach, reach + 1, dtype=pixels.dtype, device=pixels.device)
    kernel = torch.exp(-0.5 * (steps / width[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).view(count, 1, 1, -1)
    # The images lie side by side as channels, so that each one meets its own kernel.
    channels = functional.pad(pixels, [reach] * 4, mode="replicate").view(
        1, count, side + 2 * reach, -1
    )
    rows = functional.conv2d(channels, kernel, groups=count)
    both = functional.conv2d(rows, kernel.transpose(2, 3), groups=count)
    return both.view(count, 1, side, side).clamp_(0, 1)


def posterise(pixels: Tensor, levels: Tensor) -> Tensor:
    """Leaves a few grey levels, evenly from black to white.

    Args:
        pixels: (n, 1, S, S) in 0..1.
        levels: (n, 1, 1, 1) steps from black to white, at least 1; need not be whole.
    """
    return (pixels * levels).round_().div_(levels).clamp_(0, 1)


def sharpen(pixels: Tensor, width: Tensor, widest: float, strength: Tensor) -> Tensor:
    """Unsharp masking: adds what a blur takes away.

    See Jain 1989, Fundamentals of Digital Image Processing.

    Args:
        pixels: (n, 1, S, S).
        width: (n,) standard deviation of the blur, pixels.
        widest: See `blur`.
        strength: (n, 1, 1, 1) factor on what is added.
    """
    return torch.lerp(blur(pixels, width, widest), pixels, 1 + strength).clamp_(0, 1)


def even_out(pixels: Tensor, strength: Tensor) -> Tensor:
    """Evens out the local contrast, as CLAHE does, from local spreads instead of histograms.

    Every place keeps its local mean, and what differs from it is scaled so that its local standard
    deviation becomes that of the whole film: a Wallis filter without its change of the mean
    (Wallis 1976, An approach to the space variant restoration and enhancement of images). From
    CLAHE (Zuiderveld 1994, Contrast limited adaptive histogram equalization, Graphics Gems IV) are
    the tiles, the bilinear course between their middles, and the limit of the gain.

    Args:
        pixels: (n, 1, S, S).
        strength: (n, 1, 1, 1) in 0..1: share of the result; the rest is the film as it was.
    """
    mean = functional.adaptive_avg_pool2d(pixels, TILES)
    spread = (
        (functional.adaptive_avg_pool2d(pixels * pixels, TILES) - mean**2).clamp_(min=0).sqrt_()
    )
    whole = pixels.std((1, 2, 3), keepdim=True, correction=0)
    gain = ((whole + _FLAT) / (spread + _FLAT)).clamp_(1 / CONTRAST_LIMIT, CONTRAST_LIMIT)
    local = functional.interpolate(
        torch.cat([mean, gain], 1), pixels.shape[-2:], mode="bilinear", align_corners=False
    )
    mean, gain = local[:, :1], local[:, 1:]
    return torch.lerp(pixels, mean + (pixels - mean) * gain, strength).clamp_(0, 1)
