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
from data.errors import CarpalError, ImageError
from data.images.decoding import DEFAULT_LIMITS, ImageLimits
from data.images.preparation import prepare, use_one_thread
from data.masks import read_mask
from trainer.cpu_threads import use_cpu_threads
from trainer.inference import choose_device, run
from trainer.model_files import ModelCard, load_model, require_task
from trainer.network import Network
from trainer.pixels import Film, prepare_file
from trainer.readout import predictions

DECODING_THREADS = 4

FindMask = Callable[[str], Path | None]
"""Returns the file of a radiograph's hand mask, or None (see `data.masks.MaskStore.find`)."""


class Predictor:
    """Answers for one model version.

    The same image gets the same answer alone and among others, and again at any later time on the
    same hardware and library versions. A model that was trained with hand masks answers only for
    films that have one.

    Args:
        network: The trained network.
        card: What belongs to its weights.
        device: Where it computes.
        find_mask: Where the radiographs' hand masks are; None: there are none.
    """

    def __init__(
        self,
        network: Network,
        card: ModelCard,
        device: torch.device,
        find_mask: FindMask | None = None,
    ) -> None:
        self._network = network.to(device).eval()
        self._device = device
        self._find_mask = find_mask
        self.card = card

    @classmethod
    def load(
        cls,
        folder: Path,
        device: str = "auto",
        spec: TaskSpec | None = None,
        find_mask: FindMask | None = None,
    ) -> Predictor:
        """Loads a model folder.

        Args:
            folder: As `model_files.save_model` wrote it.
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
            spec: The task that the model has to answer; None: whichever it was trained for.
            find_mask: Where the radiographs' hand masks are; None: there are none.

        Raises:
            ModelError: The folder is missing, altered, or belongs to another task, or the GPU
                that was asked for is not there.
        """
        use_cpu_threads()
        use_one_thread()
        network, card = load_model(folder)
        if spec is not None:
            require_task(card, spec)
        return cls(network, card, choose_device(device), find_mask)

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
            ids: Their radiograph ids, in the same order; their masks are found by them.

        Raises:
            ImageError: The model needs a hand mask that one of them does not have.
            ModelError: The model's answer is not finite.
        """
        if len(images) != len(ids):
            raise ValueError(f"{len(images)} images, but {len(ids)} ids")
        squares = [self._square(image, key) for image, key in zip(images, ids, strict=True)]
        return self._predict(squares, ids)

    def predict_files(
        self,
        items: Sequence[tuple[str, Path]],
        batch_size: int = 64,
        progress: Callable[[int, int], None] | None = None,
        limits: ImageLimits = DEFAULT_LIMITS,
    ) -> tuple[list[Prediction], dict[str, CarpalError]]:
        """Predicts image files; those that cannot be read do not keep the others from an answer.

        Where the model needs hand masks, a film without one is among the errors.

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
                    pool.map(lambda item: self._prepared(item[0], item[1], limits), batch)
                )
                pairs = [(key, square) for (key, _), square in zip(batch, squares, strict=True)]
                errors |= {key: item for key, item in pairs if isinstance(item, CarpalError)}
                read = [(key, item) for key, item in pairs if isinstance(item, np.ndarray)]
                answers += self._predict([item for _, item in read], [key for key, _ in read])
                if progress is not None:
                    progress(start + len(batch), len(items))
        return answers, errors

    def _mask_file(self, radiograph_id: str) -> Path | None:
        if self._find_mask is None or not self.card.preparation.needs_mask:
            return None
        return self._find_mask(radiograph_id)

    def _square(self, image: NDArray[np.uint8], radiograph_id: str) -> NDArray[np.uint8]:
        mask = self._mask_file(radiograph_id)
        return prepare(image, self.card.preparation, None if mask is None else read_mask(mask))

    def _prepared(
        self, radiograph_id: str, path: Path, limits: ImageLimits
    ) -> NDArray[np.uint8] | ImageError:
        film = Film(radiograph_id, path, self._mask_file(radiograph_id))
        return prepare_file(film, self.card.preparation, limits)

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
