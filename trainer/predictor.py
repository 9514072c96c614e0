"""A loaded model: radiographs in, predictions out.

Importing this module brings torch and timm, but no training code.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from data.domain import Prediction, TaskSpec
from data.errors import CarpalError, ImageError
from data.images.decoding import DEFAULT_LIMITS, ImageLimits
from data.images.preparation import Place, Preparation, place_of, prepare, use_one_thread
from data.masks import read_mask
from trainer.answers.answering import Answers, answer, views_of_card
from trainer.answers.inference import choose_device, chunk_of, steady_step
from trainer.answers.raw_outputs import of_length_one
from trainer.answers.readout import Asked, predictions
from trainer.fitting.cpu_threads import reading_threads, use_cpu_threads
from trainer.inputs.pixels import Film, preparation_id, prepare_image
from trainer.model.card import ModelCard, require_task
from trainer.model.files import Part, load_model
from trainer.network.network import Network

log = logging.getLogger(__name__)

FindMask = Callable[[str], Path | None]
"""Returns the file of a radiograph's hand mask, or None (see `data.masks.MaskStore.find`)."""

Known = Mapping[str, str]
"""Choice target -> value that is known of a film before, such as the recorded sex."""

Squares = tuple[NDArray[np.uint8], ...]
"""A film as each member sees it: (S, S) grey each; members with one preparation share it."""


class Predictor:
    """Answers for one model version.

    The same image gets the same answer alone and among others, and again at any later time on the
    same hardware and library versions. A model that was trained with hand masks answers only for
    films that have one.

    Args:
        parts: The trained networks, one per member of the card.
        card: What belongs to their weights.
        device: Where they compute.
        find_mask: Where the radiographs' hand masks are; None: there are none.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        card: ModelCard,
        device: torch.device,
        find_mask: FindMask | None = None,
    ) -> None:
        self._parts = tuple(replace(part, network=part.network.to(device).eval()) for part in parts)
        self._device = device
        self._find_mask = find_mask
        self._preparations = tuple(dict.fromkeys(m.preparation for m in card.members))
        self._views = views_of_card(card)
        self._few: tuple[int, ...] = ()
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
            folder: As `trainer.model.files.save_model` wrote it.
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
            spec: The task that the model has to answer; None: whichever it was trained for.
            find_mask: Where the radiographs' hand masks are; None: there are none.

        Raises:
            ModelError: The folder is missing, altered, or belongs to another task, or the GPU
                that was asked for is not there.
        """
        use_cpu_threads()
        use_one_thread()
        parts, card = load_model(folder)
        if spec is not None:
            require_task(card, spec)
        if card.preparation_code != preparation_id():
            log.warning(
                "%s was trained with the preparation of another release: evaluate it again, or "
                "train again, before its answers are trusted.",
                card.model_version,
            )
        return cls(parts, card, choose_device(device), find_mask)

    @property
    def model_version(self) -> str:
        """Version of the model, such as `v0003-1a2b3c4d`."""
        return self.card.model_version

    @property
    def spec_name(self) -> str:
        """Name of the task that the model was trained for."""
        return self.card.task

    @property
    def needs_mask(self) -> bool:
        """A film is answered only with its hand mask."""
        return self.card.needs_mask

    @property
    def known_input(self) -> str | None:
        """Choice target that may be told of a film before, such as the sex; None: there is none."""
        return self.card.input

    @property
    def films_together(self) -> int:
        """Films that pass the networks together; fewer may take as long."""
        return chunk_of(self._device)

    @property
    def preparations(self) -> tuple[Preparation, ...]:
        """How each member sees a film; for whoever prepares films elsewhere."""
        return tuple(member.preparation for member in self.card.members)

    @property
    def networks(self) -> tuple[Network, ...]:
        """The networks of the members, on the model's device."""
        return tuple(part.network for part in self._parts)

    def predict_images(
        self,
        images: Sequence[NDArray[np.uint8]],
        ids: Sequence[str],
        known: Sequence[Known] | None = None,
    ) -> list[Prediction]:
        """Predicts decoded radiographs.

        Args:
            images: (height, width) grey each, of any size.
            ids: Their radiograph ids, in the same order; their masks are found by them.
            known: What is known of each before; None: nothing.

        Raises:
            ImageError: The model needs a hand mask that one of them does not have.
            InvalidInputError: What is known is not one of the target's choices.
            ModelError: The model's answer is not finite.
        """
        return self.predict_prepared(self._seen(images, ids), ids, known)

    def predict_files(
        self,
        items: Sequence[tuple[str, Path]],
        batch_size: int = 64,
        progress: Callable[[int, int], None] | None = None,
        limits: ImageLimits = DEFAULT_LIMITS,
        known: Mapping[str, Known] | None = None,
    ) -> tuple[list[Prediction], dict[str, CarpalError]]:
        """Predicts image files; those that cannot be read do not keep the others from an answer.

        Where the model needs hand masks, a film without one is among the errors.

        Args:
            items: (radiograph id, image file) pairs.
            batch_size: Images that are decoded and held in memory at a time.
            progress: Told (done, all) after each batch.
            limits: Largest image that is decoded.
            known: Radiograph id -> what is known of it before; None: nothing.

        Returns:
            The predictions of the readable ones, in the order of `items`, and why the others have
            none, by radiograph id.

        Raises:
            InvalidInputError: What is known is not one of the target's choices.
            ModelError: The model's answer is not finite.
        """
        answers: list[Prediction] = []
        errors: dict[str, CarpalError] = {}
        batches = [items[i : i + batch_size] for i in range(0, len(items), batch_size)]
        with ThreadPoolExecutor(reading_threads()) as pool:

            def decode(batch: Sequence[tuple[str, Path]]) -> list[Future[Squares | ImageError]]:
                return [pool.submit(self._prepared, key, path, limits) for key, path in batch]

            # While the network computes one batch, the threads decode the next.
            waiting = decode(batches[0]) if batches else []
            for number, batch in enumerate(batches):
                films = [future.result() for future in waiting]
                waiting = decode(batches[number + 1]) if number + 1 < len(batches) else []
                pairs = [(key, film) for (key, _), film in zip(batch, films, strict=True)]
                errors |= {key: film for key, film in pairs if isinstance(film, ImageError)}
                read = [(key, film) for key, film in pairs if not isinstance(film, ImageError)]
                ids = [key for key, _ in read]
                told = None if known is None else [known.get(key, {}) for key in ids]
                answers += self.predict_prepared([film for _, film in read], ids, told)
                if progress is not None:
                    progress(min((number + 1) * batch_size, len(items)), len(items))
        return answers, errors

    def be_quick_with_few(self) -> None:
        """Finds out whether a few films can be computed without filling a chunk up.

        Takes as long as some dozen films. No answer changes by it: a network whose answers would
        is left as it is.
        """
        self._few = tuple(
            steady_step(part.network, member.preparation.size, self._device)
            for part, member in zip(self._parts, self.card.members, strict=True)
        )

    def prepared(self, image: NDArray[np.uint8], radiograph_id: str) -> Squares:
        """Returns a decoded radiograph as each member sees it, for `predict_prepared`.

        Films take a hundred times less memory so. Several threads may prepare at once.

        Raises:
            ImageError: The model needs a hand mask, and there is none that fits.
        """
        mask = self._mask(radiograph_id)
        by = {p: prepare(image, p, mask) for p in self._preparations}
        return tuple(by[member.preparation] for member in self.card.members)

    def places(self, image: NDArray[np.uint8], radiograph_id: str) -> tuple[Place, ...]:
        """Returns which part of a radiograph each member sees; errors as of `prepared`."""
        mask = self._mask(radiograph_id)
        return tuple(place_of(image, m.preparation, mask) for m in self.card.members)

    def mask_file(self, radiograph_id: str) -> Path | None:
        """Returns the file of a film's hand mask; None: there is none, or it is not looked at."""
        if self._find_mask is None or not self.card.needs_mask:
            return None
        return self._find_mask(radiograph_id)

    def predict_prepared(
        self, films: Sequence[Squares], ids: Sequence[str], known: Sequence[Known] | None = None
    ) -> list[Prediction]:
        """Predicts what `prepared` returned; arguments and errors as of `predict_images`."""
        if len(films) != len(ids) or (known is not None and len(known) != len(ids)):
            raise ValueError(f"{len(films)} images, but {len(ids)} ids")
        if not films:
            return []
        card, answers = self.card, self._answer(films, known)
        asked = Asked(
            card.targets,
            card.primary,
            card.calibration,
            card.model_version,
            card.input,
            card.predicts_input,
        )
        return predictions(asked, answers.raw, ids, answers.grouping, known, answers.novelty)

    def embed_images(
        self, images: Sequence[NDArray[np.uint8]], ids: Sequence[str]
    ) -> NDArray[np.float32]:
        """Returns the (N, F) features of decoded radiographs, each of length 1.

        Films that look alike to the model have a large inner product.

        Raises:
            ImageError: The model needs a hand mask that one of them does not have.
        """
        return self.embed_prepared(self._seen(images, ids))

    def embed_prepared(self, films: Sequence[Squares]) -> NDArray[np.float32]:
        """Returns the same as `embed_images` of what `prepared` returned."""
        return of_length_one(self._answer(films, None).raw.features)

    def _seen(self, images: Sequence[NDArray[np.uint8]], ids: Sequence[str]) -> list[Squares]:
        if len(images) != len(ids):
            raise ValueError(f"{len(images)} images, but {len(ids)} ids")
        return [self.prepared(image, key) for image, key in zip(images, ids, strict=True)]

    def _mask(self, radiograph_id: str) -> NDArray[np.bool_] | None:
        file = self.mask_file(radiograph_id)
        return None if file is None else read_mask(file)

    def _prepared(
        self, radiograph_id: str, path: Path, limits: ImageLimits
    ) -> Squares | ImageError:
        film = Film(radiograph_id, path, self.mask_file(radiograph_id))
        by = prepare_image(film, self._preparations, limits)
        if isinstance(by, ImageError):
            return by
        return tuple(by[member.preparation] for member in self.card.members)

    def _answer(self, films: Sequence[Squares], known: Sequence[Known] | None) -> Answers:
        members = range(len(self.card.members))
        squares = [np.stack([film[i] for film in films]) for i in members]
        return answer(self._parts, self.card, squares, self._device, known, self._views, self._few)
