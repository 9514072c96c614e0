"""First weights of a timm backbone out of a file, and batch norms that fit the radiographs.

Two kinds of file are read: a state dict of timm's (`.safetensors` or `.npz`, by names), and the
arrays of a network whose batch norms were folded into its convolutions, as converters of mobile
networks write them: `00_conv_2d/weight`, `00_conv_2d/bias`, `01_depthwise_conv_2d/weight`, ... in
the order of computation, weights (out, height, width, in), those of depthwise convolutions
(1, height, width, channels), trained on colours in -1..1.

Such networks pad like TensorFlow ("SAME"): a stride of 2 on an even side pads only right and
below. timm computes the same with `create_model(..., pad_type="same")`; with torch's even padding
the weights work as well, but each stride of 2 looks one pixel further up and left.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file
from torch import Tensor, nn

from data.errors import ModelError
from trainer import torchvision_guard  # noqa: F401  (must come before timm)
from trainer.network.network import GREY_MEAN, GREY_SD

from timm.models import adapt_input_conv  # isort: skip

FOLDED = re.compile(r"(\d+)_(depthwise_)?conv_2d/weight")
"""Name of a weight in a file with folded batch norms."""

GREY = {"zscore": (GREY_MEAN, GREY_SD), "interval": (0.5, 0.5)}
"""How the network reads -> what it subtracts of grey values (0..1), what it then divides by."""

UNREADABLE = (
    *(OSError, EOFError, ValueError, KeyError, TypeError),
    *(zipfile.BadZipFile, zlib.error, SafetensorError),
)
"""What a damaged file of weights makes its readers raise."""

NAMED = 3
"""Misfits that an error names."""


def load_folded_weights(
    backbone: nn.Module,
    file: Path,
    normalise: str = "zscore",
) -> None:
    """Puts the weights of a file into a backbone; without an error all of them fitted.

    A first convolution of three colours becomes one of grey where the backbone has one channel.
    timm's are summed, as timm does. With folded batch norms the colours are known to be
    2 * grey - 1, so the first convolution then answers as it would to the grey radiograph in
    colours; only along the edges it sees the padding as another grey than mid-grey.

    Args:
        backbone: A timm model without classifier; unchanged after an error.
        file: `.safetensors` or `.npz`; a classifier in it is left out.
        normalise: How the network reads grey values, see `TrainOptions.normalise`. Films that are
            `equalised` one by one have no fixed scale: they are taken as `zscore`.

    Raises:
        ModelError: The file cannot be read, holds what is not finite, or does not fit.
    """
    arrays = _read(file)
    if any(FOLDED.fullmatch(name) for name in arrays):
        _take_folded(backbone, arrays, file, *GREY.get(normalise, GREY["zscore"]))
    else:
        _take_named(backbone, arrays, file)


def renormalise(backbone: nn.Module, images: Tensor) -> None:
    """Sets the statistics of every batch norm to those of the radiographs; answers stay the same.

    After folding, the batch norms do nothing: in training they would suddenly normalise, and the
    weights' knowledge would be lost. Here mean and variance become those of `images`, and gain
    and bias make up for it, so that the network in evaluation mode computes what it did, and in
    training mode nearly that.

    Args:
        backbone: Any network; those without `BatchNorm2d` stay as they are.
        images: (N, C, S, S) float as the backbone gets them, some hundred, all in one batch.
    """

    def adapt(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        running_mean, running_variance = _statistics(norm)
        mean = inputs[0].mean((0, 2, 3))
        variance = inputs[0].var((0, 2, 3), correction=0)
        factor = norm.weight / torch.sqrt(running_variance + norm.eps)
        norm.bias.copy_(norm.bias + (mean - running_mean) * factor)
        norm.weight.copy_(factor * torch.sqrt(variance + norm.eps))
        running_mean.copy_(mean)
        running_variance.copy_(variance)

    norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(adapt) for norm in norms]
    was_training = backbone.training
    backbone.eval()
    try:
        with torch.no_grad():
            backbone(images)
    finally:
        for hook in hooks:
            hook.remove()
        backbone.train(was_training)


def _read(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as content:
                arrays = {name: content[name] for name in content.files}
        elif file.suffix == ".safetensors":
            arrays = load_file(file)
        else:
            raise ModelError(f"{file.name}: weights must be a .safetensors or .npz file.")
    except UNREADABLE as error:
        raise ModelError(f"The weights in {file} cannot be read: {error}.") from error
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise ModelError(f"{name} in {file} does not consist of finite numbers.")
    return {
        name: torch.from_numpy(array.astype(np.float32) if array.dtype.kind == "f" else array)
        for name, array in arrays.items()
    }


def _take_named(backbone: nn.Module, arrays: Mapping[str, Tensor], file: Path) -> None:
    config = getattr(backbone, "pretrained_cfg", {})
    own = backbone.state_dict()
    classifiers = tuple(f"{name}." for name in _names(config.get("classifier")))
    given = {
        name: array
        for name, array in arrays.items()
        if name in own or not (classifiers and name.startswith(classifiers))
    }
    for layer in _names(config.get("first_conv")):
        name = f"{layer}.weight"
        if name in given and given[name].ndim == 4 and given[name].shape[1] == 3:
            given[name] = adapt_input_conv(own[name].shape[1], given[name])
    needed = {name for name in own if not name.endswith("num_batches_tracked")}
    misfits = [f"{name} is missing" for name in own if name in needed - set(given)]
    misfits += [f"{name} is not in the backbone" for name in given if name not in own]
    misfits += [
        f"{name} is {_shape(array)} instead of {_shape(own[name])}"
        for name, array in given.items()
        if name in own and array.shape != own[name].shape
    ]
    _refuse(misfits, file)
    backbone.load_state_dict({**own, **given})


def _take_folded(
    backbone: nn.Module, arrays: Mapping[str, Tensor], file: Path, grey_mean: float, grey_sd: float
) -> None:
    layers = _folded_layers(arrays, file)
    convolutions = [m for m in backbone.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    # One more than the backbone has is the classifier.
    if len(convolutions) != len(norms) or len(layers) - len(norms) not in (0, 1):
        raise ModelError(
            f"{file.name} does not fit the backbone: it holds {len(layers)} convolutions, the "
            f"backbone has {len(convolutions)}, and {len(norms)} batch norms."
        )
    layers = layers[: len(convolutions)]
    name, weight, bias = layers[0]
    if convolutions[0].in_channels == 1 and weight.shape[1] == 3:
        bias = bias + (2 * grey_mean - 1) * weight.sum((1, 2, 3))
        layers[0] = (name, weight.sum(1, keepdim=True) * 2 * grey_sd, bias)
    misfits = [
        f"{name} is {_shape(weight)} instead of {_shape(convolution.weight)}"
        for (name, weight, bias), convolution in zip(layers, convolutions, strict=True)
        if weight.shape != convolution.weight.shape or bias.shape != weight.shape[:1]
    ]
    _refuse(misfits, file)
    with torch.no_grad():
        for (_, weight, bias), convolution, norm in zip(layers, convolutions, norms, strict=True):
            convolution.weight.copy_(weight)
            _make_plain(norm, bias)


def _folded_layers(arrays: Mapping[str, Tensor], file: Path) -> list[tuple[str, Tensor, Tensor]]:
    """Returns name, weight (out, in, height, width), bias (out,) in the order of computation."""
    numbered = sorted((int(m[1]), name) for name in arrays if (m := FOLDED.fullmatch(name)))
    layers = []
    for _, name in numbered:
        array, bias = arrays[name], arrays.get(name.replace("/weight", "/bias"))
        if array.ndim != 4 or bias is None:
            raise ModelError(f"{name} in {file.name} has not four axes and a bias.")
        axes = (3, 0, 1, 2) if "depthwise" in name else (0, 3, 1, 2)
        layers.append((name, array.permute(axes), bias))
    return layers


def _make_plain(norm: nn.BatchNorm2d, bias: Tensor) -> None:
    """Makes a batch norm add `bias` and do nothing else."""
    mean, variance = _statistics(norm)
    norm.weight.fill_(1)
    norm.bias.copy_(bias)
    mean.zero_()
    variance.fill_(1 - norm.eps)


def _statistics(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Returns the running mean and variance of each channel, to be changed in place."""
    if norm.running_mean is None or norm.running_var is None:
        raise ModelError("A batch norm of the backbone keeps no statistics.")
    return norm.running_mean, norm.running_var


def _refuse(misfits: list[str], file: Path) -> None:
    if misfits:
        more = f", and {len(misfits) - NAMED} more" if len(misfits) > NAMED else ""
        raise ModelError(
            f"{file.name} does not fit the backbone: {', '.join(misfits[:NAMED])}{more}."
        )


def _names(value: object) -> tuple[str, ...]:
    """Returns the names in a configuration of timm's: a text is one, a tuple several."""
    if isinstance(value, str):
        return (value,) if value else ()
    return tuple(value) if isinstance(value, tuple | list) else ()


def _shape(array: Tensor) -> str:
    return " x ".join(map(str, array.shape)) or "a single number"
