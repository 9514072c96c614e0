"""What a training can be told: one declaration, from which YAML, command line and help follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from data.errors import InvalidInputError, UnknownOptionError
from trainer.option_names import unknown_options
from trainer.option_rules import broken_rules

PROFILES = Path(__file__).parent / "profiles"
"""Folder of the named sets of options that come with the trainer."""


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What a training can be told; the `help` of every field's metadata says what it does.

    The defaults were measured for two CPU cores and a few hundred labels: see `docs/training.md`.

    Raises:
        InvalidInputError: Options that are out of range; the sentence names all of them.
    """

    # What the network sees.
    image_size: int = _option(96, "side of the square that the model sees, pixels")
    sizes: str = _option(
        "", "sides that the training goes through, such as 96,128,160: small and fast first"
    )
    crop: str = _option(
        "field",
        "what the model sees: field (what was exposed), hand (what shows something in it), plain "
        "(without plain borders), whole, or mask (a square around the hand mask)",
    )
    mask_crop: float = _option(
        1.15, "side of the square around the hand mask, in multiples of its longer side"
    )
    background: str = _option(
        "keep", "what lies outside the hand mask: keep, or remove (it becomes black)"
    )
    mask_edge: float = _option(
        0.0, "seam in which a removed background fades, as a share of image_size; 0: none"
    )
    exposure: str = _option(
        "as_is",
        "how films of other exposure are shown: as_is, or levelled (markers and stickers are "
        "filled with what is around, and the window follows the film's own range)",
    )
    normalise: str = _option(
        "zscore",
        "grey values that the network reads: zscore (of all films), interval (-1 to 1), or "
        "equalised (each film brought to mean 0 and spread 1)",
    )

    # The network.
    backbone: str = _option("test_resnet", "name of the timm backbone")
    hidden: str = _option(
        "", "widths of the dense layers between features and heads, such as 256,64"
    )
    dropout: float = _option(0.0, "share of the features that is dropped before the heads")
    number_head: str = _option(
        "regression", "how numbers are told: regression, or distribution (a softmax over bins)"
    )
    bin_width: float = _option(2.0, "width of the bins of a distribution, in the target's unit")
    label_spread: float = _option(
        6.0, "spread of a label over the bins of a distribution, in the target's unit"
    )
    input_mode: str = _option(
        "implicit",
        "what becomes of the task's known input (the sex): input (the recorded one is fed to the "
        "numbers, or nothing), explicit (the recorded one, otherwise the predicted one), implicit "
        "(nothing is fed), only (nothing but it is predicted)",
    )
    withhold: float = _option(
        0.25, "share of the training images whose known input is withheld (input and explicit)"
    )
    members: str = _option(
        "",
        "models of an ensemble, each backbone@size#seed with parts that may be left out, such as "
        "'resnet18@160#0, #1'; empty: one model",
    )

    # What is learnt from.
    only: str = _option("", "train on these cases alone, such as sex=female; empty: on all")
    folds: int = _option(0, "parts of the patients for cross-validation, at least 2; 0: all train")
    fold: int = _option(0, "the part that is held out, counted from 0, and chooses the epoch")
    validation_share: float = _option(
        0.0, "share of the patients that chooses the best epoch; 0: the last epoch is kept"
    )
    min_examples: int = _option(8, "training images below which no training starts")
    label_weights: str = _option(
        "agreement", "weight of a label: agreement (of its readers), or equal"
    )
    loss_weights: str = _option(
        "fixed", "weights of the targets' losses: fixed (the task's), or learned"
    )

    # First weights.
    start: str = _option(
        "champion",
        "first weights: champion, scratch, pretrained (timm's, from its hub), file (see weights), "
        "or self_supervised (learnt from all radiographs, labelled or not)",
    )
    weights: str = _option("", "file with the first weights of the backbone, for start: file")
    frozen: int = _option(
        0,
        "first stages of the backbone (the stem counts as one) that keep the first weights they "
        "came with, which makes a step cheaper; none do where those were random",
    )
    ssl_epochs: int = _option(20, "passes of the self-supervised training over all radiographs")
    ssl_batch_size: int = _option(64, "images in a step of the self-supervised training")
    ssl_learning_rate: float = _option(1e-3, "highest rate of the self-supervised training")
    ssl_max_seconds: float = _option(
        0.0,
        "time after which the self-supervised training ends, of all members together; 0: no limit",
    )

    # The optimisation.
    epochs: int = _option(15, "passes over the training images, at least")
    min_steps: int = _option(500, "optimiser steps, at least: few images are passed more often")
    budget_s: float = _option(
        0.0,
        "time to train all members in: as many passes as fit are planned at the start; 0: epochs "
        "decides",
    )
    max_seconds: float = _option(
        0.0, "the epoch that passes a member's share of this time is its last; 0: no limit"
    )
    batch_size: int = _option(16, "images in an optimiser step")
    accumulate: int = _option(1, "parts that a step's images are computed in, to save memory")
    learning_rate: float = _option(2e-3, "highest learning rate of the schedule")
    schedule: str = _option(
        "onecycle",
        "course of the learning rate: onecycle, cosine (restarts, each twice as long), constant, "
        "or plateau (lower whenever the validation error no longer falls)",
    )
    weight_decay: float = _option(0.02, "decoupled weight decay of AdamW")
    clip_norm: float = _option(5.0, "longest gradient; 0: any")
    ema: float = _option(0.0, "decay of the moving average of the weights that is kept; 0: none")
    patience: int = _option(
        0, "epochs without a lower validation error after which the training ends; 0: never"
    )

    # Augmentation: largest changes; `augment` is a factor on all of them.
    augment: float = _option(0.5, "strength of all changes of training images below; 0: none")
    flip: bool = _option(False, "mirror every other training image, for sets with either hand")
    turn_deg: float = _option(20.0, "rotation of training images, degrees")
    zoom: float = _option(0.12, "relative change of size of training images")
    shift: float = _option(0.05, "shift along each axis, as a share of the image's side")
    shear_deg: float = _option(0.0, "shear of training images, degrees")
    gamma: float = _option(0.3, "natural logarithm of the exponent of the grey values")
    contrast: float = _option(0.2, "relative change of the grey values' spread")
    brightness: float = _option(0.1, "change of the grey values (0 to 1)")
    noise: float = _option(0.03, "highest standard deviation of grain (grey values 0 to 1)")
    sharpen: float = _option(0.0, "share of the training images that is sharpened")
    clahe: float = _option(0.0, "share whose contrast is evened out locally, as CLAHE does")
    blur: float = _option(0.0, "share of the training images that is blurred")
    posterise: float = _option(
        0.0, "share of the training images that is left few grey levels, as faint films have"
    )
    invert: float = _option(0.0, "share of the training images that is shown as a negative")
    erase: float = _option(0.0, "share of the training images that loses a rectangle")
    marker: float = _option(0.0, "share of the training images that gets a white lead marker")

    # What it promises, and how it answers.
    coverage: float = _option(0.9, "share of the truths that the intervals shall cover")
    bias_correction: bool = _option(
        False, "correct numbers by a straight line fitted on the calibration split"
    )
    tta: str = _option(
        "none",
        "views that an answer is the mean of: none, flip (2), rotate (5) or full (5 rotations, "
        "each also mirrored)",
    )
    tta_degrees: float = _option(10.0, "rotation between two of the five views, degrees")

    # The machine.
    seed: int = _option(0, "seed of first weights, order and augmentation")
    precision: str = _option(
        "auto", "arithmetic: auto (bf16 where the GPU or CPU is made for it), 32, bf16"
    )
    deterministic: bool = _option(
        True, "take the kernels that add up in the same order every time, also where slower"
    )
    compile: bool = _option(False, "compile the network; pays off in long trainings on a GPU")
    device: str = _option("auto", "auto (a GPU where there is one), cpu, cuda or cuda:N")
    devices: int = _option(1, "GPUs (or CPU processes) that train together; 0: all GPUs")
    threads: int = _option(0, "CPU threads that compute; 0: all cores but one, see cpu_threads")
    workers: int = _option(0, "threads that decode images; 0: one per CPU core")
    checkpoint_s: float = _option(60.0, "seconds between two checkpoints that a killed run resumes")

    def __post_init__(self) -> None:
        problems = broken_rules(self)
        if problems:
            raise InvalidInputError(f"Training options: {'; '.join(problems)}.")

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        """Widths of the dense layers before the heads."""
        return _whole_numbers(self.hidden)

    @property
    def size_course(self) -> tuple[int, ...]:
        """Sides of the squares that the training goes through, pixels; the last is `image_size`."""
        return _whole_numbers(self.sizes) or (self.image_size,)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> TrainOptions:
        """Makes options of a mapping; what it leaves out keeps its default.

        Raises:
            UnknownOptionError: There is no such option.
            InvalidInputError: A value is of the wrong type or out of range.
        """
        known = {item.name: item for item in fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise UnknownOptionError(unknown_options(unknown, known))
        return cls(**{k: _convert(k, v, str(known[k].type)) for k, v in values.items()})

    @classmethod
    def from_yaml(cls, path: str | Path) -> TrainOptions:
        """Reads options from a YAML file of `name: value` lines.

        Raises:
            InvalidInputError: The file cannot be read or is no such mapping; see `from_mapping`.
        """
        return cls.from_mapping(read_yaml(path))

    def with_settings(self, settings: Mapping[str, Any]) -> TrainOptions:
        """Returns the same options but for these; values may be text, as on a command line.

        Raises:
            InvalidInputError: See `from_mapping`.
        """
        return self.from_mapping({**asdict(self), **settings})

    def to_json(self) -> dict[str, Any]:
        """Returns the options as `from_mapping` reads them."""
        return asdict(self)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Reads a YAML file of `name: value` lines.

    Args:
        path: The file, or the name of one of `PROFILES`, such as `cpu`.

    Raises:
        InvalidInputError: The file cannot be read or is no such mapping.
    """
    profile = PROFILES / f"{path}.yaml"
    file = profile if profile.parent == PROFILES and profile.exists() else Path(path)
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        names = ", ".join(sorted(p.stem for p in PROFILES.glob("*.yaml")))
        raise InvalidInputError(
            f"There is neither a file nor a profile '{path}'; profiles are {names}."
        ) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInputError(f"{path} cannot be read as YAML: {error}.") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InvalidInputError(f"{path} must consist of lines 'option: value'.")
    return content


def _whole_numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",")) if text.strip() else ()


def _convert(name: str, value: Any, type_name: str) -> Any:
    if type_name == "bool":
        if isinstance(value, bool):
            return value
        if value in ("true", "false"):
            return value == "true"
    if type_name == "str" and isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    if type_name in ("int", "float") and not isinstance(value, bool | None):
        # YAML 1.1 reads 1e-3 as text, so numbers are also accepted as text.
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = float("nan")
        if type_name == "float" and number == number:
            return number
        if number.is_integer():
            return int(number)
    kind = {"bool": "true or false", "str": "text", "int": "a whole number", "float": "a number"}
    raise InvalidInputError(
        f"The training option {name} is {value!r}, but must be {kind[type_name]}."
    )
