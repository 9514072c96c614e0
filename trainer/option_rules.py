"""Which training options make sense, alone and together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from data.images.preparation import BACKGROUNDS, CROPS, EXPOSURES

if TYPE_CHECKING:
    from trainer.options import TrainOptions

ONE_OF = {
    "crop": CROPS,
    "background": BACKGROUNDS,
    "exposure": EXPOSURES,
    "normalise": ("zscore", "interval", "equalised"),
    "number_head": ("regression", "distribution"),
    "input_mode": ("input", "explicit", "implicit", "only"),
    "label_weights": ("agreement", "equal"),
    "loss_weights": ("fixed", "learned"),
    "start": ("champion", "scratch", "pretrained", "file", "self_supervised"),
    "schedule": ("onecycle", "cosine", "constant", "plateau"),
    "tta": ("none", "flip", "rotate", "full"),
    "precision": ("auto", "32", "bf16"),
}
"""Option -> the words that it may be."""

RANGES: dict[str, tuple[float, float]] = {
    "image_size": (32, 2048),
    "mask_crop": (1, 4),
    "mask_edge": (0, 0.2),
    "dropout": (0, 0.9),
    "withhold": (0, 1),
    "folds": (0, 100),
    "validation_share": (0, 0.5),
    "weight_decay": (0, 1),
    "augment": (0, 2),
    "turn_deg": (0, 180),
    "zoom": (0, 0.9),
    "shift": (0, 0.5),
    "shear_deg": (0, 45),
    "gamma": (0, 2),
    "contrast": (0, 0.9),
    "brightness": (0, 0.5),
    "noise": (0, 0.5),
    "sharpen": (0, 1),
    "clahe": (0, 1),
    "blur": (0, 1),
    "posterise": (0, 1),
    "invert": (0, 1),
    "erase": (0, 1),
    "marker": (0, 1),
    "coverage": (0.5, 0.99),
    "tta_degrees": (0, 45),
    "ema": (0, 0.99999),
}
"""Option -> lowest and highest value."""

AT_LEAST: dict[str, float] = {
    "epochs": 1,
    "batch_size": 2,
    "accumulate": 1,
    "min_examples": 4,
    "ssl_epochs": 1,
    "ssl_batch_size": 2,
    **dict.fromkeys(
        (
            "frozen",
            "min_steps",
            "budget_s",
            "max_seconds",
            "ssl_max_seconds",
            "clip_norm",
            "patience",
            "fold",
            "seed",
            "devices",
            "threads",
            "workers",
            "checkpoint_s",
        ),
        0,
    ),
}
"""Option -> lowest value."""

_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
_WHOLE_NUMBERS = re.compile(r"\s*(\d+\s*(,\s*\d+\s*)*)?")
_MEMBER = re.compile(r"\s*([\w.]+)?\s*(@\s*\d+)?\s*(#\s*\d+)?\s*")


def broken_rules(options: TrainOptions) -> list[str]:
    """Returns what is wrong with options, one half-sentence each; nothing: they make sense."""
    words = (
        f"{name} must be one of {', '.join(known)}"
        for name, known in ONE_OF.items()
        if getattr(options, name) not in known
    )
    ranges = (
        f"{name} must lie in {low:g}..{high:g}"
        for name, (low, high) in RANGES.items()
        if not low <= getattr(options, name) <= high
    )
    lowest = (
        f"{name} must be at least {low:g}"
        for name, low in AT_LEAST.items()
        if not getattr(options, name) >= low
    )
    return [*words, *ranges, *lowest, *(text for text, wrong in _single(options) if wrong)] + [
        text for text, wrong in _together(options) if wrong
    ]


def _single(options: TrainOptions) -> list[tuple[str, bool]]:
    rates = [
        (f"{name} must lie above 0 and at most 1", not 0 < getattr(options, name) <= 1)
        for name in ("learning_rate", "ssl_learning_rate")
    ]
    positive = [
        (f"{name} must lie above 0", not getattr(options, name) > 0)
        for name in ("bin_width", "label_spread")
    ]
    members = [part for part in options.members.split(",") if options.members]
    return [
        *rates,
        *positive,
        ("backbone is empty", not options.backbone),
        ("device must be auto, cpu, cuda or cuda:N", not _DEVICE.fullmatch(options.device)),
        ("hidden must be widths such as 256,64", not _are_widths(options.hidden)),
        ("sizes must be sides such as 96,128,160", not _WHOLE_NUMBERS.fullmatch(options.sizes)),
        (
            "members must be written backbone@size#seed, with commas between",
            not all(part.strip() and _MEMBER.fullmatch(part) for part in members),
        ),
        (
            "only must be written target=value, such as sex=female",
            bool(options.only) and not re.fullmatch(r"[^=]+=[^=]+", options.only),
        ),
    ]


def _together(options: TrainOptions) -> list[tuple[str, bool]]:
    sizes = [int(part) for part in re.findall(r"\d+", options.sizes)]
    holds_out = options.validation_share > 0 or options.folds > 0
    return [
        ("folds must be 0 or at least 2", options.folds == 1),
        ("fold must be below folds", options.folds > 1 and options.fold >= options.folds),
        (
            "folds and validation_share exclude each other",
            options.folds > 0 and options.validation_share > 0,
        ),
        (
            "patience needs a validation_share or folds",
            options.patience > 0 and not holds_out,
        ),
        (
            "schedule: plateau needs a validation_share or folds",
            options.schedule == "plateau" and not holds_out,
        ),
        (
            "weights and start: file belong together",
            bool(options.weights) != (options.start == "file"),
        ),
        (
            "frozen needs first weights: start must not be scratch",
            options.frozen > 0 and options.start == "scratch",
        ),
        (
            "sizes must lie in 32..image_size and end with image_size",
            bool(sizes)
            and not (min(sizes) >= 32 and max(sizes) == sizes[-1] == options.image_size),
        ),
        (
            "batch_size must be at least twice accumulate",
            options.batch_size < 2 * options.accumulate,
        ),
    ]


def _are_widths(text: str) -> bool:
    return bool(_WHOLE_NUMBERS.fullmatch(text)) and all(
        int(part) > 0 for part in re.findall(r"\d+", text)
    )
