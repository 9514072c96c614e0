"""A model on disk: a folder of two files, weights and the JSON without which they mean nothing.

`model.safetensors` holds the weights, `model.json` everything else that a prediction needs and
everything that says where the model comes from. Both are covered by one SHA-256, which also makes
the model's version, so a version names its content; nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors
from torch import Tensor

from data.atomic import storage_error
from data.errors import InvalidInputError, ModelError, TrainingError
from trainer.answers.novelty import Familiar
from trainer.model.card import FORMAT, ModelCard
from trainer.model.earlier_formats import EARLIER, card_of_today, tensors_of_today
from trainer.network.network import Network

WEIGHTS = "model.safetensors"
CARD = "model.json"
FAMILIAR = "familiar."
"""Beginning of the names, within a member, of what `trainer.answers.novelty` has fitted."""


@dataclass(frozen=True, slots=True)
class Part:
    """What of a member is kept as tensors.

    Attributes:
        network: The trained network.
        familiar: The cloud of the films that it learnt from; None: they were too few.
    """

    network: Network
    familiar: Familiar | None = None


def save_model(folder: Path, parts: Sequence[Part], card: ModelCard) -> ModelCard:
    """Writes a model folder, wholly or not at all.

    Args:
        folder: What shall hold the model; replaced if it is there.
        parts: One for each of the card's members.
        card: Everything else; its version and hash are filled in.

    Returns:
        The card as it was written.

    Raises:
        StorageError: The disk is full or the folder cannot be written.
    """
    weights = write_tensors(
        {f"{i}.{k}": v for i, part in enumerate(parts) for k, v in part_tensors(part).items()}
    )
    digest = content_hash(weights, card.to_json())
    card = replace(card, model_version=f"{card.dataset_version}-{digest[:8]}", content_hash=digest)
    text = json.dumps(card.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        _write_synced(draft / WEIGHTS, weights)
        _write_synced(draft / CARD, text.encode())
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise storage_error(error, folder) from error
    return card


def load_model(folder: Path) -> tuple[tuple[Part, ...], ModelCard]:
    """Reads a model folder and checks that it is what its version names.

    Returns:
        The parts, on the CPU and in evaluation mode, and the card.

    Raises:
        ModelError: A file is missing, unreadable or altered.
    """
    card, weights = check_model(folder)
    try:
        tensors = tensors_of_today(read_tensors(weights))
        return tuple(_part(card, i, tensors) for i in range(len(card.members))), card
    except (TrainingError, SafetensorError, RuntimeError, KeyError) as error:
        raise ModelError(f"The weights in {folder} do not fit their {CARD}: {error}") from error


def check_model(folder: Path) -> tuple[ModelCard, bytes]:
    """Reads both files once and holds them against the hash.

    Returns:
        The card and the bytes of the weights that were checked.

    Raises:
        ModelError: A file is missing, unreadable or altered.
    """
    try:
        weights = (folder / WEIGHTS).read_bytes()
        content = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"There is no readable model in {folder}: {error}.") from error
    if not isinstance(content, dict) or content.get("format") not in (FORMAT, *EARLIER):
        raise ModelError(f"{folder / CARD} is not of the form {FORMAT}.")
    if not _is_whole(weights, content):
        raise ModelError(f"The model in {folder} was altered after training: fetch it anew.")
    try:
        card = ModelCard.from_json(card_of_today(content))
    except (KeyError, TypeError, ValueError, AttributeError, InvalidInputError) as error:
        raise ModelError(f"{folder / CARD} cannot be understood: {error}") from error
    if card.model_version != f"{card.dataset_version}-{card.content_hash[:8]}":
        raise ModelError(f"The model in {folder} carries another version than its content has.")
    return card, weights


def part_tensors(part: Part) -> dict[str, Tensor]:
    """Returns the tensors of a member by name, as they are written."""
    # safetensors wants each tensor's numbers in the order of its axes.
    tensors = {k: v.detach().cpu().contiguous() for k, v in part.network.state_dict().items()}
    if part.familiar is not None:
        arrays = part.familiar.to_arrays()
        tensors |= {f"{FAMILIAR}{k}": torch.from_numpy(v) for k, v in arrays.items()}
    return tensors


def content_hash(weights: bytes, card: Mapping[str, Any]) -> str:
    """Returns the SHA-256 over the weights' own and the card less its version and hash."""
    named = ("model_version", "content_hash")
    rest = {k: v for k, v in card.items() if k not in named}
    text = json.dumps(
        rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(hashlib.sha256(weights).digest() + text.encode()).hexdigest()


def _is_whole(weights: bytes, card: Mapping[str, Any]) -> bool:
    """Whether weights and card are those that the card's hash was made of."""
    try:
        return content_hash(weights, card) == card.get("content_hash")
    except ValueError:  # not-a-number, or half of a character: no card was written with one
        return False


def _part(card: ModelCard, number: int, tensors: Mapping[str, Tensor]) -> Part:
    own = {
        k.removeprefix(f"{number}."): v for k, v in tensors.items() if k.startswith(f"{number}.")
    }
    arrays = {k.removeprefix(FAMILIAR): v for k, v in own.items() if k.startswith(FAMILIAR)}
    network = card.network(card.members[number])
    network.load_state_dict({k: v for k, v in own.items() if not k.startswith(FAMILIAR)})
    named = {name: tensor.numpy() for name, tensor in arrays.items()}
    familiar = Familiar.from_arrays(named) if named else None
    return Part(network.eval(), familiar)


def _write_synced(path: Path, payload: bytes) -> None:
    with path.open("wb") as file:
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())
