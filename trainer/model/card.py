"""What belongs to a model's weights and without which they mean nothing: `model.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import Any

from data.domain import Target, TaskSpec
from data.errors import ModelError
from data.images.preparation import Preparation
from trainer.answers.calibration import Calibration
from trainer.evaluation.bands import Band
from trainer.inputs.targets import Norm
from trainer.network.heads import Head, heads_of
from trainer.network.network import Network, NetworkForm
from trainer.options import TrainOptions

FORMAT = "carpal-model-2"
LIBRARIES = ("torch", "timm", "lightning", "numpy", "opencv-python-headless", "Pillow")


@dataclass(frozen=True, slots=True)
class Member:
    """One network of a model; most models have one, an ensemble has several.

    Attributes:
        options: How it was trained.
        norms: Normalisation of the number targets.
        preparation: How films are prepared, in training and for every prediction.
        started_from: Where its first weights came from: a model version, `pretrained`, `file ...`
            or `self-supervised ...`; empty: random ones.
        history: Per epoch: `epoch`, `loss`, and `validation_error` where there was a validation.
    """

    options: TrainOptions
    norms: Mapping[str, Norm]
    preparation: Preparation
    started_from: str = ""
    history: tuple[Mapping[str, float], ...] = ()

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Member:
        """Reads what `ModelCard.to_json` made of it."""
        return cls(
            TrainOptions.from_mapping(content["options"]),
            {name: Norm(**norm) for name, norm in content["norms"].items()},
            Preparation.from_json(content["preparation"]),
            str(content["started_from"]),
            tuple(content["history"]),
        )


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What stands in `model.json`.

    Attributes:
        task: Name of the task folder.
        targets: The targets that the model tells, in the order of the heads.
        primary: The target that the gate judges by, or the first one if the model does not tell it.
        input: The choice target that is fed to the numbers; None: none is.
        options: What was asked of the training.
        members: The networks whose mean answer is the model's.
        bands: Bands of the primary target whose intervals are their own.
        calibration: Intervals, corrections and temperatures.
        preparation_code: `pixels.preparation_id` of the modules that prepared the films.
        dataset_version: Dataset version that it learnt from.
        provenance: Git commits and whatever else the caller wants kept.
        libraries: Library -> version at training.
        counts: Cases that were trained on, held out to choose the epoch, and calibrated on.
        model_version: `<dataset_version>-<8 hexadecimal digits>`; empty until it was saved.
        content_hash: SHA-256 over weights and card; empty until it was saved.
    """

    task: str
    targets: tuple[Target, ...]
    primary: str
    input: str | None
    options: TrainOptions
    members: tuple[Member, ...]
    bands: tuple[Band, ...]
    calibration: Calibration
    preparation_code: str
    dataset_version: str
    provenance: Mapping[str, str]
    libraries: Mapping[str, str]
    counts: Mapping[str, int]
    model_version: str = ""
    content_hash: str = ""

    @property
    def predicts_input(self) -> bool:
        """Whether the model feeds its own answer where the input is not known."""
        return self.input is not None and self.options.input_mode == "explicit"

    @property
    def needs_mask(self) -> bool:
        """Whether films without a hand mask cannot be answered."""
        return any(member.preparation.needs_mask for member in self.members)

    @property
    def history(self) -> tuple[Mapping[str, float], ...]:
        """The epochs of the first member."""
        return self.members[0].history

    @property
    def input_target(self) -> Target | None:
        """The choice target that is fed to the numbers; None: none is."""
        return next((target for target in self.targets if target.name == self.input), None)

    def heads(self, member: Member) -> tuple[Head, ...]:
        """Returns the heads of a member's network."""
        return heads_of(self.targets, member.norms, member.options)

    def network(self, member: Member, pretrained: bool = False) -> Network:
        """Makes the network that a member's weights belong to, with first weights.

        Args:
            member: One of `members`.
            pretrained: With timm's weights, from its hub.

        Raises:
            TrainingError: timm does not have the backbone, or no weights for it.
        """
        return Network(network_form(self, member), pretrained)

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
        rest = {k: v for k, v in content.items() if k != "format"}
        return cls(
            **rest
            | {
                "targets": tuple(_target(item) for item in content["targets"]),
                "options": TrainOptions.from_mapping(content["options"]),
                "members": tuple(Member.from_json(item) for item in content["members"]),
                "bands": tuple(_band(item) for item in content["bands"]),
                "calibration": Calibration.from_json(content["calibration"]),
            }
        )


def network_form(card: ModelCard, member: Member) -> NetworkForm:
    """Returns the form of a member's network."""
    options, targets = member.options, card.targets
    number = next((i for i, t in enumerate(targets) if t.name == card.input), None)
    return NetworkForm(
        backbone=options.backbone,
        image_size=options.image_size,
        outputs=tuple(head.outputs for head in card.heads(member)),
        normalise=options.normalise,
        hidden=options.hidden_widths,
        dropout=options.dropout,
        input_head=number,
        predicts_input=card.predicts_input,
        fed=()
        if number is None
        else tuple(i for i, target in enumerate(targets) if target.kind == "number"),
    )


def require_task(card: ModelCard, spec: TaskSpec) -> None:
    """Makes sure that a model answers what a task asks, or a part of it.

    Raises:
        ModelError: It was trained for another task, or the task's targets have changed since.
    """
    if card.task != spec.name:
        raise ModelError(
            f"{card.model_version} is a model of the task {card.task}, not of {spec.name}."
        )
    partial = bool(card.options.only) or card.options.input_mode == "only"
    asked = [_meaning(t, partial) for t in spec.targets]
    told = [_meaning(t, partial) for t in card.targets]
    if told != ([meaning for meaning in asked if meaning in told] if partial else asked):
        raise ModelError(
            f"The targets of {spec.name} have changed since {card.model_version} was trained: "
            "train a new model."
        )


def library_versions() -> dict[str, str]:
    """Returns the versions of the libraries that a model's numbers depend on."""
    return {name: version(name) for name in LIBRARIES}


def _meaning(target: Target, partial: bool) -> tuple[Any, ...]:
    """What has to be the same for a head to answer a target.

    In a model of one sex alone what applies to it applies to all: then conditions do not count.
    """
    number = (target.minimum, target.maximum, target.unit)
    condition = None if partial else target.applies_when
    return target.name, target.kind, number, target.choices, condition


def _target(content: Mapping[str, Any]) -> Target:
    condition = content["applies_when"]
    return Target(
        **dict(content)
        | {
            "choices": tuple(content["choices"]),
            "applies_when": tuple(condition) if condition is not None else None,
        }
    )


def _band(content: Mapping[str, Any]) -> Band:
    by = content["by"]
    return Band(**dict(content) | {"by": tuple(by) if by is not None else None})
