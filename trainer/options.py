"""What a training can be told: one frozen dataclass, checked together, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from data.errors import InvalidInputError
from data.images.preparation import BACKGROUNDS, CROPS

PRECISIONS = ("auto", "32", "bf16")
STARTS = ("scratch", "champion")


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What a training can be told; the `help` of every field's metadata says what it does.

    The defaults were measured for two CPU cores and a few hundred labels: see `docs/training.md`.

    Raises:
        InvalidInputError: Options that are out of range; the sentence names all of them.
    """

    backbone: str = _option("test_resnet", "name of the timm backbone")
    image_size: int = _option(96, "side of the square that the model sees, pixels")
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
    epochs: int = _option(15, "passes over the training images, at least")
    min_steps: int = _option(500, "optimiser steps, at least: few images are passed more often")
    batch_size: int = _option(16, "images in an optimiser step")
    learning_rate: float = _option(2e-3, "highest learning rate of the one-cycle schedule")
    weight_decay: float = _option(0.02, "decoupled weight decay of AdamW")
    dropout: float = _option(0.0, "share of the features that is dropped before the heads")
    augment: float = _option(0.5, "strength of rotation, zoom, shift, contrast and noise; 0: none")
    flip: bool = _option(False, "mirror every other training image, for sets with either hand")
    validation_share: float = _option(
        0.0, "share of the training images that chooses the best epoch; 0: the last epoch is kept"
    )
    coverage: float = _option(0.9, "share of the truths that the intervals shall cover")
    min_examples: int = _option(8, "training images below which no training starts")
    start: str = _option("champion", "first weights: those of the champion, or scratch")
    seed: int = _option(0, "seed of first weights, order and augmentation")
    precision: str = _option("auto", "arithmetic: auto (bf16 on a GPU that has it), 32, bf16")
    device: str = _option("auto", "auto (a GPU where there is one), cpu, cuda or cuda:N")
    threads: int = _option(0, "CPU threads that compute; 0: all cores but one, see cpu_threads")
    workers: int = _option(0, "threads that decode images; 0: one per CPU core")
    max_seconds: float = _option(0.0, "the epoch that passes this time is the last; 0: no limit")
    checkpoint_s: float = _option(60.0, "seconds between two checkpoints that a killed run resumes")

    def __post_init__(self) -> None:
        problems = [text for text, wrong in self._rules() if wrong]
        if problems:
            raise InvalidInputError(f"Training options: {'; '.join(problems)}.")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> TrainOptions:
        """Makes options of a mapping; what it leaves out keeps its default.

        Raises:
            InvalidInputError: An unknown name, a value of the wrong type or out of range.
        """
        known = {item.name: item for item in fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise InvalidInputError(
                f"There is no training option {', '.join(unknown)}; "
                f"there are {', '.join(sorted(known))}."
            )
        return cls(**{k: _convert(k, v, str(known[k].type)) for k, v in values.items()})

    @classmethod
    def from_yaml(cls, path: str | Path) -> TrainOptions:
        """Reads options from a YAML file of `name: value` lines.

        Raises:
            InvalidInputError: The file cannot be read or is no such mapping; see `from_mapping`.
        """
        try:
            content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InvalidInputError(f"{path} cannot be read as YAML: {error}.") from error
        if content is None:
            return cls()
        if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
            raise InvalidInputError(f"{path} must consist of lines 'option: value'.")
        return cls.from_mapping(content)

    @classmethod
    def help_texts(cls) -> dict[str, str]:
        """Returns option -> what it does, in one line, with its default."""
        return {f.name: f"{f.metadata['help']} (default: {f.default})" for f in fields(cls)}

    def to_json(self) -> dict[str, Any]:
        """Returns the options as `from_mapping` reads them."""
        return asdict(self)

    def _rules(self) -> list[tuple[str, bool]]:
        device = self.device
        return [
            ("backbone is empty", not self.backbone),
            ("image_size must lie in 32..2048", not 32 <= self.image_size <= 2048),
            (f"crop must be one of {', '.join(CROPS)}", self.crop not in CROPS),
            ("mask_crop must lie in 1..4", not 1 <= self.mask_crop <= 4),
            (
                f"background must be one of {', '.join(BACKGROUNDS)}",
                self.background not in BACKGROUNDS,
            ),
            ("mask_edge must lie in 0..0.2", not 0 <= self.mask_edge <= 0.2),
            ("epochs must be at least 1", self.epochs < 1),
            ("min_steps must not be negative", self.min_steps < 0),
            ("batch_size must be at least 2", self.batch_size < 2),
            ("learning_rate must lie above 0 and at most 1", not 0 < self.learning_rate <= 1),
            ("weight_decay must lie in 0..1", not 0 <= self.weight_decay <= 1),
            ("dropout must lie in 0..0.9", not 0 <= self.dropout <= 0.9),
            ("augment must lie in 0..2", not 0 <= self.augment <= 2),
            ("validation_share must lie in 0..0.5", not 0 <= self.validation_share <= 0.5),
            ("coverage must lie in 0.5..0.99", not 0.5 <= self.coverage <= 0.99),
            ("min_examples must be at least 4", self.min_examples < 4),
            (f"start must be one of {', '.join(STARTS)}", self.start not in STARTS),
            ("seed must not be negative", self.seed < 0),
            (f"precision must be one of {', '.join(PRECISIONS)}", self.precision not in PRECISIONS),
            ("device must be auto, cpu, cuda or cuda:N", not _is_device(device)),
            ("threads must not be negative", self.threads < 0),
            ("workers must not be negative", self.workers < 0),
            ("max_seconds must not be negative", not self.max_seconds >= 0),
            ("checkpoint_s must not be negative", not self.checkpoint_s >= 0),
        ]


def _is_device(text: str) -> bool:
    return text in ("auto", "cpu", "cuda") or (
        text.startswith("cuda:") and text.removeprefix("cuda:").isdecimal()
    )


def _convert(name: str, value: Any, type_name: str) -> Any:
    if type_name == "bool" and isinstance(value, bool):
        return value
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
