"""A loaded model: radiographs in, predictions out.

Importing this module brings torch and timm, but no training code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from data.domain import Prediction, TaskSpec
from data.errors import CarpalError
from data.image_preparation import prepare
from data.images import DEFAULT_LIMITS, ImageLimits
from trainer.cpu_threads import use_cpu_threads
from trainer.inference import choose_device, run
from trainer.model_files import ModelCard, load_model, require_task
from trainer.network import Network
from trainer.pixels import prepare_file
from trainer.readout import predictions

DECODING_THREADS = 4


class Predictor:
    """Answers for one model version.

    The same image gets the same answer alone and among others, and again at any later time on the
    same hardware and library versions.

    Args:
        network: The trained network.
        card: What belongs to its weights.
        device: Where it computes.
    """

    def __init__(self, network: Network, card: ModelCard, device: torch.device) -> None:
        self._network = network.to(device).eval()
        self._device = device
        self.card = card

    @classmethod
    def load(cls, folder: Path, device: str = "auto", spec: TaskSpec | None = None) -> Predictor:
        """Loads a model folder.

        Args:
            folder: As `model_files.save_model` wrote it.
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
            spec: The task that the model has to answer; None: whichever it was trained for.

        Raises:
            ModelError: The folder is missing, altered, or belongs to another task, or the GPU
                that was asked for is not there.
        """
        use_cpu_threads()
        network, card = load_model(folder)
        if spec is not None:
            require_task(card, spec)
        return cls(network, card, choose_device(device))

    @property
    def model_version(self) -> str:
        """Version of the model, such as `v0003-1a2b3c4d`."""
        return self.card.model_version

    @property
    def spec_name(self) -> str:
        """Name of the task that the model was trained for."""
        return self.card.task

    def predict_images(
        self, images: Sequence[NDArray[np.uint8]], ids: Sequence[str]
    ) -> list[Prediction]:
        """Predicts decoded radiographs.

        Args:
            images: (height, width) grey each, of any size.
            ids: Their radiograph ids, in the same order.

        Raises:
            ModelError: The model's answer is not finite.
        """
        return self._predict([prepare(image, self._size) for image in images], ids)

    def predict_files(
        self,
        items: Sequence[tuple[str, Path]],
        batch_size: int = 64,
        progress: Callable[[int, int], None] | None = None,
        limits: ImageLimits = DEFAULT_LIMITS,
    ) -> tuple[list[Prediction], dict[str, CarpalError]]:
        """Predicts image files; those that cannot be read do not keep the others from an answer.

        Args:
            items: (radiograph id, image file) pairs.
            batch_size: Images that are decoded and held in memory at a time.
            progress: Told (done, all) after each batch.
            limits: Largest image that is decoded.

        Returns:
            The predictions of the readable ones, in the order of `items`, and why the others have
            none, by radiograph id.

        Raises:
            ModelError: The model's answer is not finite.
        """
        answers: list[Prediction] = []
        errors: dict[str, CarpalError] = {}
        with ThreadPoolExecutor(DECODING_THREADS) as pool:
            for start in range(0, len(items), batch_size):
                batch = items[start : start + batch_size]
                squares = list(
                    pool.map(lambda item: prepare_file(item[1], self._size, limits), batch)
                )
                read = [
                    (key, square)
                    for (key, _), square in zip(batch, squares, strict=True)
                    if isinstance(square, np.ndarray)
                ]
                errors |= {
                    key: square
                    for (key, _), square in zip(batch, squares, strict=True)
                    if isinstance(square, CarpalError)
                }
                answers += self._predict([square for _, square in read], [key for key, _ in read])
                if progress is not None:
                    progress(start + len(batch), len(items))
        return answers, errors

    @property
    def _size(self) -> int:
        return self.card.options.image_size

    def _predict(
        self, squares: Sequence[NDArray[np.uint8]], ids: Sequence[str]
    ) -> list[Prediction]:
        if len(squares) != len(ids):
            raise ValueError(f"{len(squares)} images, but {len(ids)} ids")
        if not squares:
            return []
        card = self.card
        raw = run(self._network, card.targets, card.norms, np.stack(squares), self._device)
        return predictions(
            card.targets, card.primary, raw, card.calibration, ids, card.model_version
        )
