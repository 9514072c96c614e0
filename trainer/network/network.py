"""The network: one timm backbone for one grey channel, and one head per target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from data.errors import TrainingError
from trainer import torchvision_guard  # noqa: F401  (must come before timm)

import timm  # isort: skip
from timm.models import group_parameters  # isort: skip

GREY_MEAN = 0.25
GREY_SD = 0.25
"""Roughly the grey values of prepared radiographs (0 black to 1 white)."""

FED_FEATURES = 32
"""Features that the known input becomes before it joins those of the film."""


@dataclass(frozen=True, slots=True)
class NetworkForm:
    """What decides about the shape of a network's weights and about what it computes.

    Attributes:
        backbone: Name of a timm model that pools to one vector per image.
        image_size: Side of the squares, pixels.
        outputs: Outputs of each head, in the order of the targets.
        normalise: `zscore`, `interval` or `equalised`; see `TrainOptions.normalise`.
        hidden: Widths of the dense layers of each head.
        dropout: Share of the features that is dropped before each layer of a head.
        input_head: Number of the head whose target may be known before; None: none is fed.
        predicts_input: Where the input is not known, the head's own answer is fed.
        fed: Numbers of the heads that are fed with it.
    """

    backbone: str
    image_size: int
    outputs: tuple[int, ...]
    normalise: str = "zscore"
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0
    input_head: int | None = None
    predicts_input: bool = False
    fed: tuple[int, ...] = ()


class Outputs(NamedTuple):
    """What a network says of N squares.

    Attributes:
        features: (N, F) float, the pooled features of the backbone.
        heads: One (N, outputs) float tensor per target.
    """

    features: Tensor
    heads: tuple[Tensor, ...]


class Network(nn.Module):
    """Grey squares and what is known of the patient in, one group of outputs per target out.

    Args:
        form: Its shape.
        pretrained: Start from timm's weights for this backbone, which its hub delivers.

    Raises:
        TrainingError: timm has no such backbone or no weights for it, or it does not work on such
            squares.
    """

    def __init__(self, form: NetworkForm, pretrained: bool = False) -> None:
        super().__init__()
        self.form = form
        self._frozen: tuple[nn.Module, ...] = ()
        self.backbone = _make_backbone(form.backbone, pretrained)
        features = _count_features(self.backbone, form.backbone, form.image_size)
        self.feed = None if form.input_head is None else nn.Linear(_inputs(form), FED_FEATURES)
        self.heads = nn.ModuleList(
            _make_head(form, features + (FED_FEATURES if i in form.fed else 0), count)
            for i, count in enumerate(form.outputs)
        )
        # Convolutions on CPUs and tensor cores are fastest with the channels last in memory.
        for parameter in self.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def forward(self, pixels: Tensor, known: Tensor | None = None) -> Outputs:
        """Computes the outputs of every head.

        Args:
            pixels: (N, 1, S, S) float, 0 black to 1 white.
            known: (N, classes of the input) float, 1 at the known class; a row of zeros where it
                is not known. None: it is known of none.
        """
        return self.tell(self.embed(pixels), known)

    def tell(self, features: Tensor, known: Tensor | None = None) -> Outputs:
        """Computes the outputs of every head from the (N, F) features that `embed` returned."""
        outputs: dict[int, Tensor] = {
            i: head(features) for i, head in enumerate(self.heads) if i not in self.form.fed
        }
        if self.feed is not None:
            told = self._told(outputs, known, features)
            joined = torch.cat([features, self.feed(told).to(features.dtype)], 1)
            outputs |= {i: self.heads[i](joined) for i in self.form.fed}
        return Outputs(features.float(), tuple(outputs[i].float() for i in range(len(self.heads))))

    def embed(self, pixels: Tensor) -> Tensor:
        """Returns the (N, F) pooled features of (N, 1, S, S) squares, 0 black to 1 white."""
        squares = normalised(pixels, self.form.normalise)
        features: Tensor = self.backbone(squares.contiguous(memory_format=torch.channels_last))
        return features

    def freeze(self, stages: int) -> None:
        """Keeps the weights and batch statistics of the backbone's first stages as they are.

        Args:
            stages: How many, as timm groups the layers of a backbone; the stem is the first.

        Raises:
            TrainingError: timm groups the layers of this backbone in no way.
        """
        if stages == 0:
            return
        matcher: Any = getattr(self.backbone, "group_matcher", None)
        if matcher is None:
            raise TrainingError(
                f"The backbone {self.form.backbone!r} names no stages: set frozen to 0."
            )
        by_stage = group_parameters(self.backbone, matcher(coarse=True))
        names = [name for stage in sorted(by_stage)[:stages] for name in by_stage[stage]]
        for name in names:
            self.backbone.get_parameter(name).requires_grad_(False)
        owners = {name.rpartition(".")[0] for name in names} - {""}
        self._frozen = tuple(self.backbone.get_submodule(owner) for owner in sorted(owners))
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Switches between training and answering; what is frozen only ever answers."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def _told(self, outputs: dict[int, Tensor], known: Tensor | None, features: Tensor) -> Tensor:
        """Returns what is fed: (N, classes), what is known, or what is predicted, or zeros."""
        head = self.form.input_head
        if head is None:
            raise ValueError("nothing is fed to this network")
        if known is None:
            known = features.new_zeros((len(features), self.form.outputs[head]))
        if not self.form.predicts_input:
            return known
        # The numbers' errors must not teach the input's head to please them.
        predicted = outputs[head].detach().float().softmax(1)
        return torch.where(known.sum(1, keepdim=True) > 0, known, predicted)


def normalised(pixels: Tensor, how: str) -> Tensor:
    """Brings grey values (0 black to 1 white) to what a network reads.

    Args:
        pixels: (N, 1, S, S).
        how: See `TrainOptions.normalise`.
    """
    match how:
        case "interval":
            return pixels * 2 - 1
        case "equalised":
            mean = pixels.mean((1, 2, 3), keepdim=True)
            sd = pixels.std((1, 2, 3), keepdim=True, correction=0)
            return (pixels - mean) / (sd + 1e-3)
        case _:
            return (pixels - GREY_MEAN) / GREY_SD


def _inputs(form: NetworkForm) -> int:
    return 0 if form.input_head is None else form.outputs[form.input_head]


def _make_head(form: NetworkForm, features: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in form.hidden:
        layers += [nn.Dropout(form.dropout), nn.Linear(features, width), nn.GELU()]
        features = width
    return nn.Sequential(*layers, nn.Dropout(form.dropout), nn.Linear(features, outputs))


def _make_backbone(name: str, pretrained: bool) -> nn.Module:
    if ":" in name:  # hf-hub:..., local-dir:...: weights and code from elsewhere
        raise TrainingError(f"The backbone {name!r} is not the plain name of a timm model.")
    try:
        model = timm.create_model(name, in_chans=1, num_classes=0, pretrained=pretrained)
    except (RuntimeError, TypeError, ValueError, OSError) as error:
        what = "pretrained weights of the backbone" if pretrained else "backbone"
        hint = ": set start to scratch, or to file with weights that you have" if pretrained else ""
        raise TrainingError(f"The {what} {name!r} cannot be had ({error}){hint}.") from error
    return model


def _count_features(backbone: nn.Module, name: str, image_size: int) -> int:
    backbone.eval()
    try:
        with torch.no_grad():
            shape = backbone(torch.zeros(1, 1, image_size, image_size)).shape
    except (RuntimeError, AssertionError) as error:
        raise TrainingError(
            f"The backbone {name!r} does not work on {image_size} x {image_size} pixels: {error}."
        ) from error
    backbone.train()
    if len(shape) != 2:
        raise TrainingError(f"The backbone {name!r} does not give one vector per image.")
    return int(shape[1])
