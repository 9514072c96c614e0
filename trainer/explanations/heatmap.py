"""Where on a film a model looks for an answer: Grad-CAM (Selvaraju et al. 2017)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from data.domain import Value
from data.errors import InvalidInputError, ModelError
from data.images.box import Box
from data.images.preparation import Place
from trainer.inputs.targets import encode_known
from trainer.network.heads import Head
from trainer.network.network import Network
from trainer.predictor import Predictor

from captum.attr import LayerGradCam  # isort: skip  (it brings matplotlib: after what is ours)

Map = NDArray[np.float32]


def heat_map(
    predictor: Predictor,
    image: NDArray[np.uint8],
    radiograph_id: str,
    target: str,
    known: Mapping[str, str] | None = None,
) -> Map:
    """Returns how much each pixel of a film matters to the answer that a model gives for it.

    Of a number, what raises and what lowers it counts alike; of a choice, what speaks for the
    class that the model predicts. The map is as coarse as the last feature map of the network: a
    cell of 32 pixels of the prepared square, in most networks. Several members are averaged; the
    film is shown to them as it is, whatever the model's views are.

    Args:
        predictor: The model.
        image: (height, width) grey, as it was decoded.
        radiograph_id: Its hand mask is found by it.
        target: Name of a target that the model tells.
        known: What is known of the film before; None: nothing.

    Returns:
        (height, width) float 0..1, 1 where it matters most; 0 beside what the model is shown,
        and everywhere if no part matters.

    Raises:
        ImageError: The model needs a hand mask that the film does not have.
        InvalidInputError: The model has no such target, or it does not apply to this film.
        ModelError: The network has no feature map that is a grid over the film.
    """
    told = None if known is None else [known]
    (answer,) = predictor.predict_images([image], [radiograph_id], told)
    if target not in answer.values:
        names = ", ".join(answer.values)
        raise InvalidInputError(f"The model does not tell {target} of this film, but {names}.")
    shown = predictor.prepared(image, radiograph_id)
    places = predictor.places(image, radiograph_id)
    asked = _Asked(predictor, target, answer.values[target], known or {})
    maps = [
        _on_film(asked.importance(number, square), places[number], image.shape)
        for number, square in enumerate(shown)
    ]
    return _to_one(np.mean(maps, axis=0, dtype=np.float32))


class _Asked:
    """One question to a model: how it comes to a target's value."""

    def __init__(
        self, predictor: Predictor, target: str, value: Value, known: Mapping[str, str]
    ) -> None:
        self.predictor = predictor
        self.value = value
        card = predictor.card
        self.number = next(i for i, t in enumerate(card.targets) if t.name == target)
        fed = card.input_target
        self.known = None if fed is None else torch.from_numpy(encode_known(fed, [known]))

    def importance(self, member: int, square: NDArray[np.uint8]) -> Map:
        """Returns the (S, S) importance of a member's square, 0..1."""
        card, network = self.predictor.card, self.predictor.networks[member]
        head = card.heads(card.members[member])[self.number]
        device = next(network.parameters()).device
        pixels = torch.from_numpy(square).to(device)[None, None].float() / 255
        network, layer = with_feature_map(network, pixels)
        told = None if self.known is None else self.known.to(device)
        with torch.enable_grad():
            cam = LayerGradCam(lambda shown: self._said(network(shown, told).heads, head), layer)
            coarse: Tensor = cam.attribute(pixels).detach()
        coarse = coarse.abs() if head.norm is not None else coarse.relu()
        fine = interpolate(coarse, square.shape, mode="bilinear", align_corners=False)
        return _to_one(fine[0, 0].float().cpu().numpy())

    def _said(self, heads: tuple[Tensor, ...], head: Head) -> Tensor:
        """Returns the (N,) outputs that are explained: the number, or the logit of the class."""
        outputs = heads[self.number]
        if head.norm is None:
            return outputs[:, head.target.choices.index(str(self.value))]
        if head.bins:
            bins = torch.as_tensor(head.bins, dtype=outputs.dtype, device=outputs.device)
            return outputs.softmax(1) @ bins
        return outputs[:, 0]


def with_feature_map(network: Network, pixels: Tensor) -> tuple[Network, nn.Module]:
    """Returns a network with a layer whose output is its last (N, C, h, w) feature map.

    Args:
        network: Left as it is; of a transformer, a copy is returned that gives the same answers.
        pixels: (1, 1, S, S) float, 0..1, to try it with.

    Raises:
        ModelError: Its backbone has no such map.
    """
    if _is_transformer(network.backbone):
        network = copy.deepcopy(network)
        grid = _Grid(network.backbone)
        backbone: Any = network.backbone
        backbone.blocks[-1].norm1 = grid
        return network, grid.map
    layer = _last_map(network, pixels)
    if layer is None:
        raise ModelError(
            f"The backbone {network.form.backbone} has no feature map that is a grid over the "
            "film, so there is no heat map of its answers."
        )
    return network, layer


class _Grid(nn.Module):
    """The norm before a transformer's last attention, its patches laid out as they lie.

    After the last block, only the class token has a gradient in transformers that pool by it.
    """

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.norm = backbone.blocks[-1].norm1
        self.rows, self.columns = backbone.patch_embed.grid_size
        self.first = backbone.num_prefix_tokens
        self.map = nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self.norm(tokens)
        patches = tokens[:, self.first :].transpose(1, 2)
        grid = self.map(patches.reshape(*patches.shape[:2], self.rows, self.columns))
        return torch.cat([tokens[:, : self.first], grid.flatten(2).transpose(1, 2)], 1)


def _is_transformer(backbone: Any) -> bool:
    blocks = getattr(backbone, "blocks", None)
    wanted = ("num_prefix_tokens", "patch_embed")
    return (
        isinstance(blocks, nn.Sequential)
        and all(hasattr(backbone, name) for name in wanted)
        and hasattr(blocks[-1], "norm1")
        and hasattr(backbone.patch_embed, "grid_size")
    )


def _last_map(network: Network, pixels: Tensor) -> nn.Module | None:
    """Returns the module of a backbone whose output is what it pools, if that is a grid."""
    backbone: Any = network.backbone
    outputs: dict[nn.Module, Tensor] = {}

    def note(module: nn.Module, _: Any, output: Any) -> None:
        outputs[module] = output

    hooks = [module.register_forward_hook(note) for module in backbone.modules()]
    try:
        with torch.no_grad():
            network.embed(pixels)
            used = set(outputs)
            outputs.clear()
            pooled = backbone.forward_features(pixels)
    finally:
        for hook in hooks:
            hook.remove()
    if pooled.ndim != 4 or pooled.shape[1] != backbone.num_features:
        return None
    found = [m for m, output in outputs.items() if output is pooled and m in used]
    return found[-1] if found else None


def _on_film(square: Map, place: Place, shape: tuple[int, ...]) -> Map:
    """Lays a (S, S) map of what a member is shown over the film of `shape`."""
    part = torch.from_numpy(square[_pixels(place.square)])
    size = (place.box.height, place.box.width)
    film = np.zeros(shape, np.float32)
    film[_pixels(place.box)] = interpolate(
        part[None, None], size, mode="bilinear", align_corners=False
    )[0, 0].numpy()
    return film


def _pixels(box: Box) -> tuple[slice, slice]:
    return slice(box.top, box.bottom), slice(box.left, box.right)


def _to_one(importance: Map) -> Map:
    highest = float(importance.max())
    return importance / np.float32(highest) if highest > 0 else importance
