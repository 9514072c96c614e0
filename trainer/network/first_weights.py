"""Where a network's first weights come from."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from data.errors import ModelError, TrainingError
from data.images.decoding import DEFAULT_LIMITS, ImageLimits
from data.masks import mask_hash
from trainer.inputs.pixels import Film, PixelStore
from trainer.inputs.training_data import TrainingData
from trainer.model.card import Member, ModelCard, network_form
from trainer.model.files import load_model
from trainer.network.network import Network, normalised

SELF_SUPERVISED = "self-supervised"
RENORMALISED_BY = 256
"""Training films that the batch statistics of weights from a file are fitted to."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sources:
    """What first weights can come from, beside the options.

    Attributes:
        champion: Folder of the model that serves, for `start: champion`; None: there is none.
        pool: Radiographs that nobody need have labelled, for `start: self_supervised`; none of
            them belongs to the test split.
        cache: Keeps prepared pixels and self-supervised weights.
        device: Where self-supervised training computes.
        progress: Told in words how that training goes.
        limits: Largest image that is decoded.
    """

    champion: Path | None
    pool: Sequence[Film]
    cache: Path
    device: torch.device
    progress: Callable[[str], None] | None = field(default=None, compare=False)
    limits: ImageLimits = DEFAULT_LIMITS


def first_weights(
    card: ModelCard, number: int, data: TrainingData, sources: Sources
) -> tuple[Network, str]:
    """Makes a member's network with its first weights.

    Args:
        card: The model that is trained.
        number: Which of its members.
        data: The training cases.
        sources: Where weights can come from.

    Returns:
        The network, and what `Member.started_from` says of it.

    Raises:
        TrainingError: The weights that were asked for cannot be had or do not fit.
        ModelError: The champion's folder is not whole.
    """
    member = card.members[number]
    torch.manual_seed(member.options.seed)
    match member.options.start:
        case "champion" if sources.champion is not None:
            return _like_champion(card, number, sources.champion)
        case "pretrained":
            return card.network(member, pretrained=True), "pretrained"
        case "file":
            return _from_file(card, member, data)
        case "self_supervised":
            return _self_supervised(card, member, sources)
    return card.network(member), ""


def _like_champion(card: ModelCard, number: int, champion: Path) -> tuple[Network, str]:
    network = card.network(card.members[number])
    parts, before = load_model(champion)
    if number < len(parts) and network_form(before, before.members[number]) == network_form(
        card, card.members[number]
    ):
        network.load_state_dict(parts[number].network.state_dict())
        return network, before.model_version
    log.warning("%s has another form: this model starts from scratch.", before.model_version)
    return network, ""


def _from_file(card: ModelCard, member: Member, data: TrainingData) -> tuple[Network, str]:
    from trainer.network.timm_weights import load_folded_weights, renormalise

    network, file = card.network(member), Path(member.options.weights)
    try:
        load_folded_weights(network.backbone, file, member.options.normalise)
    except ModelError as error:
        raise TrainingError(str(error)) from error
    squares = data.squares(data.train[:RENORMALISED_BY])
    pixels = torch.from_numpy(squares).unsqueeze(1).float() / 255
    renormalise(network.backbone, normalised(pixels, member.options.normalise))
    return network, f"file {file.name} {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"


def _self_supervised(card: ModelCard, member: Member, sources: Sources) -> tuple[Network, str]:
    """Learns the backbone from the pool, or takes what was learnt from the same pool before."""
    from trainer.pretraining.pretrain import pretrain

    limit_s = member.options.ssl_max_seconds / len(card.members)  # All of them learn in turn.
    options = replace(member.options, ssl_max_seconds=limit_s)
    network = card.network(member)
    store = PixelStore(sources.cache, member.preparation, options.workers, sources.limits)
    # In an order of its own: the same films give the same weights, however they were found.
    pool = sorted(sources.pool, key=lambda film: film.id)
    pixels, rows, refused = store.load(pool)
    rows = rows[rows >= 0]
    if len(rows) < options.ssl_batch_size:
        raise TrainingError(
            f"There are {len(rows)} radiographs to learn from without labels, but a step takes "
            f"{options.ssl_batch_size}: import more, or lower ssl_batch_size."
        )
    films = [film for film in pool if film.id not in refused]
    key = _key(card, replace(member, options=options), films)
    kept = sources.cache / "self-supervised" / f"{key}.safetensors"
    if not kept.exists():
        folder = kept.with_suffix("")
        folder.mkdir(parents=True, exist_ok=True)
        pretrain(network.backbone, pixels, rows, options, sources.device, folder, sources.progress)
        draft = kept.with_suffix(".part")
        save_file({k: v.contiguous() for k, v in network.backbone.state_dict().items()}, draft)
        draft.replace(kept)
        shutil.rmtree(folder, ignore_errors=True)
    network.backbone.load_state_dict(load_file(kept))
    return network, f"{SELF_SUPERVISED} {key}"


def _key(card: ModelCard, member: Member, films: Sequence[Film]) -> str:
    """Names self-supervised weights by all that decides about them."""
    options = member.options.to_json()
    own = {k: v for k, v in options.items() if k.startswith("ssl_") or k in _DECIDE}
    masked = member.preparation.needs_mask
    names = [f"{f.id}:{mask_hash(f.mask)}" if masked and f.mask else f.id for f in films]
    text = json.dumps([own, names, card.preparation_code], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


_DECIDE = (
    "backbone",
    "image_size",
    "crop",
    "mask_crop",
    "background",
    "mask_edge",
    "exposure",
    "normalise",
    "precision",
    "seed",
)
"""Options that decide what self-supervised training learns, beside its own."""
