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
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors
from torch import Tensor

from data.atomic import storage_error
from data.domain import Target, TaskSpec
from data.errors import ModelError, TrainingError
from data.images.preparation import Preparation
from trainer.calibration import Calibration
from trainer.network import Network
from trainer.options import TrainOptions
from trainer.targets import Norm, outputs_of

WEIGHTS = "model.safetensors"
CARD = "model.json"
FORMAT = "carpal-model-1"
LIBRARIES = ("torch", "timm", "lightning", "numpy", "opencv-python-headless", "Pillow")


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What stands in `model.json`.

    Attributes:
        task: Name of the task folder.
        targets: The task's targets as they were at training, in the order of the heads.
        primary: The target that the gate judges by.
        options: How the model was trained.
        norms: Normalisation of the number targets.
        calibration: Intervals and temperatures.
        preparation: How films are prepared, in training and for every prediction.
        preparation_code: `pixels.preparation_id` of the modules that did it at training.
        dataset_version: Dataset version that it learnt from.
        provenance: Git commits and whatever else the caller wants kept.
        libraries: Library -> version at training.
        counts: Cases that were trained on, held out to choose the epoch, and calibrated on.
        started_from: Model version of the first weights; empty: random ones.
        history: Per epoch: `epoch`, `loss`, and `validation_mae` where there was a validation.
        model_version: `<dataset_version>-<8 hexadecimal digits>`; empty until it was saved.
        content_hash: SHA-256 over weights and card; empty until it was saved.
    """

    task: str
    targets: tuple[Target, ...]
    primary: str
    options: TrainOptions
    norms: Mapping[str, Norm]
    calibration: Calibration
    preparation: Preparation
    preparation_code: str
    dataset_version: str
    provenance: Mapping[str, str]
    libraries: Mapping[str, str]
    counts: Mapping[str, int]
    started_from: str
    history: tuple[Mapping[str, float], ...]
    model_version: str = ""
    content_hash: str = ""

    def to_json(self) -> dict[str, Any]:
        """Returns the content of `model.json`."""
        return {
            **asdict(replace(self, calibration=None)),  # type: ignore[arg-type]
            "calibration": self.calibration.to_json(),
            "format": FORMAT,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ModelCard:
        """Reads what `to_json` returned.

        Raises:
            KeyError: A part is missing.
            TypeError: A part has the wrong type or is unknown.
            ValueError: A part has an impossible value.
        """
        rest = {k: v for k, v in with_preparation(content).items() if k != "format"}
        return cls(
            **rest
            | {
                "preparation": Preparation.from_json(rest["preparation"]),
                "targets": tuple(_target(item) for item in content["targets"]),
                "options": TrainOptions.from_mapping(rest["options"]),
                "norms": {k: Norm(**v) for k, v in content["norms"].items()},
                "calibration": Calibration.from_json(content["calibration"]),
                "history": tuple(content["history"]),
            }
        )

    def network(self) -> Network:
        """Makes the network that the weights belong to, with random weights.

        Raises:
            TrainingError: timm does not have the backbone.
        """
        options = self.options
        outputs = [outputs_of(target) for target in self.targets]
        return Network(options.backbone, options.image_size, options.dropout, outputs)


def save_model(folder: Path, network: Network, card: ModelCard) -> ModelCard:
    """Writes a model folder, wholly or not at all.

    Args:
        folder: What shall hold the model; replaced if it is there.
        network: The trained network, on any device.
        card: Everything else; its version and hash are filled in.

    Returns:
        The card as it was written.

    Raises:
        StorageError: The disk is full or the folder cannot be written.
    """
    # safetensors wants each tensor's numbers in the order of its axes.
    tensors = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    weights = write_tensors(tensors)
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


def load_model(folder: Path) -> tuple[Network, ModelCard]:
    """Reads a model folder and checks that it is what its version names.

    Returns:
        The network on the CPU in evaluation mode, and its card.

    Raises:
        ModelError: A file is missing, unreadable or altered.
    """
    card, weights = check_model(folder)
    try:
        network = card.network()
        tensors: dict[str, Tensor] = read_tensors(weights)
        network.load_state_dict(tensors)
    except (TrainingError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"The weights in {folder} do not fit their {CARD}: {error}") from error
    return network.eval(), card


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
    except (OSError, ValueError) as error:
        raise ModelError(f"There is no readable model in {folder}: {error}.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ModelError(f"{folder / CARD} is not of the form {FORMAT}.")
    if content_hash(weights, content) != content.get("content_hash"):
        raise ModelError(f"The model in {folder} was altered after training: fetch it anew.")
    try:
        card = ModelCard.from_json(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{folder / CARD} is incomplete: {error}.") from error
    if card.model_version != f"{card.dataset_version}-{card.content_hash[:8]}":
        raise ModelError(f"The model in {folder} carries another version than its content has.")
    return card, weights


def require_task(card: ModelCard, spec: TaskSpec) -> None:
    """Makes sure that a model answers what a task asks.

    Raises:
        ModelError: It was trained for another task, or the task's targets have changed since.
    """
    if card.task != spec.name:
        raise ModelError(
            f"{card.model_version} is a model of the task {card.task}, not of {spec.name}."
        )
    if [_meaning(t) for t in card.targets] != [_meaning(t) for t in spec.targets]:
        raise ModelError(
            f"The targets of {spec.name} have changed since {card.model_version} was trained: "
            "train a new model."
        )


def with_preparation(content: Mapping[str, Any]) -> dict[str, Any]:
    """Completes a card that was written before `preparation` said how films are prepared.

    Such models were trained on films without their plain borders, and of those they are asked.
    """
    if not isinstance(content["preparation"], str):
        return dict(content)
    options = {"crop": "plain", **content["options"]}
    return {
        **content,
        "options": options,
        "preparation": Preparation(options["image_size"], "plain").to_json(),
        "preparation_code": content["preparation"],
    }


def content_hash(weights: bytes, card: Mapping[str, Any]) -> str:
    """Returns the SHA-256 over the weights' own and the card less its version and hash."""
    named = ("model_version", "content_hash")
    rest = {k: v for k, v in card.items() if k not in named}
    text = json.dumps(
        rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(hashlib.sha256(weights).digest() + text.encode()).hexdigest()


def library_versions() -> dict[str, str]:
    """Returns the versions of the libraries that a model's numbers depend on."""
    return {name: version(name) for name in LIBRARIES}


def _meaning(target: Target) -> tuple[Any, ...]:
    """What has to be the same for a head to answer a target."""
    number = (target.minimum, target.maximum, target.unit)
    return target.name, target.kind, number, target.choices, target.applies_when


def _target(content: Mapping[str, Any]) -> Target:
    condition = content["applies_when"]
    return Target(
        **dict(content)
        | {
            "choices": tuple(content["choices"]),
            "applies_when": tuple(condition) if condition is not None else None,
        }
    )


def _write_synced(path: Path, payload: bytes) -> None:
    with path.open("wb") as file:
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())
