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
from data.errors import TrainingError
from trainer.options import TrainOptions
from trainer.pixels import PixelStore
from trainer.targets import counted

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
    """

    pixels: NDArray[np.uint8]
    rows: Mapping[str, int]
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    calibration: tuple[Example, ...]
    skipped: Mapping[str, str]

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


def gather(
    spec: TaskSpec, examples: Sequence[Example], options: TrainOptions, cache: Path
) -> TrainingData:
    """Prepares the pixels and deals the examples out by use.

    Examples without any label that counts are left out, and so are unreadable images.

    Raises:
        TrainingError: Too few training images are left.
        StorageError: The cache cannot be written.
    """
    wanted = [
        e
        for e in sorted(examples, key=lambda e: e.radiograph_id)
        if e.split in (Split.TRAIN, Split.CALIBRATION)
        and any(counted(target, e.values) is not None for target in spec.targets)
    ]
    store = PixelStore(cache, options.image_size, options.workers)
    pixels, rows, refused = store.load([(e.radiograph_id, e.path) for e in wanted])
    for key, error in refused.items():
        log.warning("Radiograph %s is left out of the training: %s", key[:12], error)
    usable = [e for e in wanted if e.radiograph_id not in refused]
    learnt = [e for e in usable if e.split is Split.TRAIN]
    data = TrainingData(
        pixels=pixels,
        rows={e.radiograph_id: int(row) for e, row in zip(wanted, rows, strict=True)},
        train=tuple(e for e in learnt if not is_held_out(e, options.validation_share)),
        validation=tuple(e for e in learnt if is_held_out(e, options.validation_share)),
        calibration=tuple(e for e in usable if e.split is Split.CALIBRATION),
        skipped={key: str(error) for key, error in refused.items()},
    )
    if len(data.train) < options.min_examples:
        raise TrainingError(
            f"There are {len(data.train)} labelled training images, but at least "
            f"{options.min_examples} are needed: label more."
        )
    return data


def is_held_out(example: Example, share: float) -> bool:
    """Chooses by hash: an image that is held out once is held out in every training."""
    digest = hashlib.sha256(f"validation:{example.radiograph_id}".encode()).digest()
    return int.from_bytes(digest[:8]) < share * 2**64
