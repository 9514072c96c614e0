"""Which examples train, which choose the epoch, which calibrate, and where their pixels are."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.domain import Example, Split, TaskSpec
from data.errors import ImageError, TrainingError
from data.images.decoding import DEFAULT_LIMITS, ImageLimits
from data.masks import mask_hash
from trainer.inputs.pixels import Film, PixelStore, preparation_of
from trainer.inputs.targets import condition_of, counted, trained_targets
from trainer.options import TrainOptions

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The usable examples of one dataset version; test examples are not among them.

    Attributes:
        pixels: (rows, S, S) mapped squares.
        rows: Radiograph id -> row.
        train: Examples that are trained on, sorted by id.
        validation: Training examples that are held out to choose the epoch.
        calibration: Examples of the calibration split.
        skipped: Radiograph id -> why its image cannot be used.
        masks: Hash of the hand masks that the pixels were prepared with; empty: without masks.
    """

    pixels: NDArray[np.uint8]
    rows: Mapping[str, int]
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    calibration: tuple[Example, ...]
    skipped: Mapping[str, str]
    masks: str = ""

    def row_numbers(self, examples: Sequence[Example]) -> NDArray[np.int64]:
        """Returns (N,) rows of `pixels`."""
        return np.asarray([self.rows[e.radiograph_id] for e in examples], np.int64)

    def squares(self, examples: Sequence[Example]) -> NDArray[np.uint8]:
        """Returns (N, S, S) pixels."""
        return np.asarray(self.pixels[self.row_numbers(examples)], np.uint8)

    def counts(self) -> dict[str, int]:
        """Returns how many examples have which use."""
        return {
            "train": len(self.train),
            "validation": len(self.validation),
            "calibration": len(self.calibration),
        }

    def provenance(self) -> dict[str, str]:
        """Returns what else has to be known of the pixels to make the same model again."""
        return {"masks": self.masks} if self.masks else {}


def gather(
    spec: TaskSpec,
    examples: Sequence[Example],
    options: TrainOptions,
    cache: Path,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> TrainingData:
    """Prepares the pixels and deals the examples out by use.

    Examples without any label that counts are left out, and so are those that the options do not
    train on (`only`), unreadable images and, where the options ask for hand masks, films without
    one.

    Raises:
        TrainingError: Too few training images are left.
        StorageError: The cache cannot be written.
    """
    condition, targets = condition_of(spec, options), trained_targets(spec, options)
    wanted = [
        e
        for e in sorted(examples, key=lambda e: e.radiograph_id)
        if e.split in (Split.TRAIN, Split.CALIBRATION)
        and (condition is None or e.values.get(condition[0]) == condition[1])
        and any(counted(target, e.values) is not None for target in targets)
    ]
    preparation = preparation_of(options)
    maskless = _maskless(wanted) if preparation.needs_mask else {}
    wanted = [e for e in wanted if e.radiograph_id not in maskless]
    store = PixelStore(cache, preparation, options.workers, limits)
    pixels, rows, refused = store.load([Film(e.radiograph_id, e.path, e.mask) for e in wanted])
    for key, error in refused.items():
        log.warning("Radiograph %s is left out of the training: %s", key[:12], error)
    refused |= maskless
    usable = [e for e in wanted if e.radiograph_id not in refused]
    learnt = [e for e in usable if e.split is Split.TRAIN]
    data = TrainingData(
        pixels=pixels,
        rows={e.radiograph_id: int(row) for e, row in zip(wanted, rows, strict=True)},
        train=tuple(e for e in learnt if not is_held_out(e, options)),
        validation=tuple(e for e in learnt if is_held_out(e, options)),
        calibration=tuple(e for e in usable if e.split is Split.CALIBRATION),
        skipped={key: str(error) for key, error in refused.items()},
        masks=_hash_of_masks(usable) if preparation.needs_mask else "",
    )
    if len(data.train) < options.min_examples:
        raise TrainingError(
            f"There are {len(data.train)} labelled training images, but at least "
            f"{options.min_examples} are needed: label more."
            + (f" {len(refused)} were left out: {next(iter(refused.values()))}" if refused else "")
        )
    return data


def _maskless(examples: Sequence[Example]) -> dict[str, ImageError]:
    """Returns the radiographs without a hand mask, and says in the log how many there are."""
    found = {e.radiograph_id: ImageError("It has no hand mask.") for e in examples if not e.mask}
    if found:
        log.warning(
            "%d of %d radiographs have no hand mask and are left out of the training: "
            "'carpal import masks' brings masks in.",
            len(found),
            len(examples),
        )
    return found


def _hash_of_masks(examples: Sequence[Example]) -> str:
    lines = [f"{e.radiograph_id} {mask_hash(e.mask)}\n" for e in examples if e.mask]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def is_held_out(example: Example, options: TrainOptions) -> bool:
    """Chooses by the patient's hash: who is held out once is held out in every training."""
    whose = example.patient or example.radiograph_id
    digest = hashlib.sha256(f"validation:{whose}".encode()).digest()
    place = int.from_bytes(digest[:8]) / 2**64
    if options.folds:
        return int(place * options.folds) == options.fold
    return place < options.validation_share
