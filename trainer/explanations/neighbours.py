"""The reference cases that look most like a film to a model."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from data.atomic import write_file
from data.errors import ImageError, ModelError
from data.images.decoding import DEFAULT_LIMITS, ImageLimits, read_grey
from trainer.predictor import Predictor

Embeddings = NDArray[np.float32]

BATCH = 64
"""Films that are decoded and held in memory at a time."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A case that is like a film.

    Attributes:
        radiograph_id: See `Radiograph.id`.
        similarity: Cosine of the angle between the features, -1..1; 1: alike.
    """

    radiograph_id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class NeighbourIndex:
    """The features of reference cases, as one model version sees them.

    Attributes:
        model_version: Features of another version mean nothing here.
        ids: (N,) radiograph ids.
        embeddings: (N, F) features, each of length 1.
    """

    model_version: str
    ids: tuple[str, ...]
    embeddings: Embeddings

    @classmethod
    def build(
        cls,
        predictor: Predictor,
        cases: Sequence[tuple[str, Path]],
        earlier: NeighbourIndex | None = None,
        limits: ImageLimits = DEFAULT_LIMITS,
    ) -> tuple[Self, dict[str, ImageError]]:
        """Computes the features of reference cases.

        Args:
            predictor: The model.
            cases: (radiograph id, image file) of each.
            earlier: An index whose cases need not be computed again; looked at only if it is of
                the same model version.
            limits: Largest image that is decoded.

        Returns:
            The index of the readable ones, in their order, and why the others are not in it.
        """
        known = {}
        if earlier is not None and earlier.model_version == predictor.model_version:
            known = dict(zip(earlier.ids, earlier.embeddings, strict=True))
        missing = [case for case in cases if case[0] not in known]
        errors: dict[str, ImageError] = {}
        for start in range(0, len(missing), BATCH):
            new, refused = _embedded(predictor, missing[start : start + BATCH], limits)
            known |= new
            errors |= refused
        ids = tuple(key for key, _ in cases if key in known)
        rows = [known[key] for key in ids]
        embeddings = np.stack(rows) if rows else np.zeros((0, 0), np.float32)
        return cls(predictor.model_version, ids, embeddings), errors

    def nearest(
        self, embedding: Embeddings, k: int, where: NDArray[np.bool_] | None = None
    ) -> list[Neighbour]:
        """Returns the k cases that are most like a film, the most similar one first.

        Cases that are equally similar come in the order of the index.

        Args:
            embedding: (F,) features of length 1, as `Predictor.embed_images` makes them.
            k: How many, at most.
            where: (N,) true for the cases that count, such as those of other patients, of one sex
                or of an age range; None: all of them.
        """
        rows = np.arange(len(self.ids)) if where is None else np.flatnonzero(where)
        if not len(rows) or k < 1:
            return []
        similarity = (self.embeddings @ embedding)[rows]  # Cheaper than a copy of these rows.
        first = np.argsort(-similarity, kind="stable")[:k]
        return [Neighbour(self.ids[rows[i]], float(similarity[i])) for i in first]

    def save(self, folder: Path) -> Path:
        """Writes `neighbours-<model version>.npz` into a folder, wholly or not at all.

        Raises:
            StorageError: The disk is full or the folder cannot be written.
        """
        buffer = io.BytesIO()
        np.savez(buffer, ids=np.asarray(self.ids, np.str_), embeddings=self.embeddings)
        path = index_file(folder, self.model_version)
        write_file(path, buffer.getvalue())
        return path

    @classmethod
    def load(cls, folder: Path, model_version: str) -> Self | None:
        """Reads what `save` wrote; None: there is none for this model version.

        Raises:
            ModelError: The file is damaged; it can be deleted and is then made anew.
        """
        path = index_file(folder, model_version)
        if not path.is_file():
            return None
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
                ids, embeddings = arrays["ids"], arrays["embeddings"]
            if embeddings.ndim != 2 or len(ids) != len(embeddings):
                raise ValueError("ids and features do not belong together")
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise ModelError(f"{path} is damaged ({error}): delete it.") from error
        return cls(model_version, tuple(str(key) for key in ids), embeddings)


def index_file(folder: Path, model_version: str) -> Path:
    """Returns where the index of a model version lies in a folder."""
    return folder / f"neighbours-{model_version}.npz"


def _embedded(
    predictor: Predictor, cases: Sequence[tuple[str, Path]], limits: ImageLimits
) -> tuple[dict[str, Embeddings], dict[str, ImageError]]:
    ready, errors = [], {}
    for key, path in cases:
        try:
            ready.append((key, predictor.prepared(read_grey(path, limits), key)))
        except ImageError as error:
            errors[key] = error
    if not ready:
        return {}, errors
    features = predictor.embed_prepared([film for _, film in ready])
    return dict(zip((key for key, _ in ready), features, strict=True)), errors
