"""The films of the pool as pictures for a page, and where the serving model looked on them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from data.atomic import write_file
from data.domain import Radiograph
from data.errors import ImageError
from data.images.decoding import content_id, decode
from data.images.overlay import encode_colour_png, layer
from data.images.picture import film_png, levelled
from data.pool import Pool

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trainer.predictor import Predictor
    from workers.explaining_model import ExplainingModel

THUMBNAIL = 512
"""Pixels of the longer side of a small picture: sharp at 256 on a dense screen."""


class FilmPictures:
    """Pictures of the pool's films; small ones and heat maps are kept in the cache.

    Args:
        pool: The films, with the limits under which they are read.
        cache: Folder for what was made before; it may be lost at any time.
    """

    def __init__(self, pool: Pool, cache: Path) -> None:
        self._pool = pool
        self._cache = cache

    def film(self, radiograph: Radiograph) -> NDArray[np.uint8]:
        """Returns the grey pixels (height, width) of a film that is what was imported.

        Raises:
            ImageError: The file is missing, unreadable, too large, or its content has changed.
        """
        path = self._pool.path(radiograph)
        try:
            if path.stat().st_size > self._pool.limits.max_bytes:
                raise ImageError(f"The file is larger than {self._pool.limits.max_bytes} bytes.")
            payload = path.read_bytes()
        except OSError as error:
            raise ImageError(f"The file cannot be read: {error.strerror}.") from error
        if content_id(payload) != radiograph.id:
            raise ImageError("The file is not the one that was imported: its content has changed.")
        return decode(payload, self._pool.limits)

    def png(self, radiograph: Radiograph, *, as_stored: bool = False) -> bytes:
        """Returns a film as PNG, in all its pixels.

        Args:
            radiograph: The film.
            as_stored: With its own grey values instead of levelled ones.

        Raises:
            ImageError: See `film`.
        """
        film = self.film(radiograph)
        return film_png(film if as_stored else levelled(film))

    def thumbnail(self, radiograph: Radiograph) -> bytes:
        """Returns a film as PNG, levelled, with at most `THUMBNAIL` pixels a side.

        Raises:
            ImageError: See `film`.
            StorageError: The cache cannot be written.
        """
        name = f"{radiograph.id}.{THUMBNAIL}-levelled.png"
        kept = self._cache / "thumbnails" / radiograph.id[:2] / name
        return _kept(kept) or _keep(kept, film_png(levelled(self.film(radiograph)), THUMBNAIL))

    def heat_map(
        self,
        model: ExplainingModel,
        model_version: str,
        radiograph: Radiograph,
        target: str,
        known: Mapping[str, str],
    ) -> bytes:
        """Returns where a model looked on a film, as a PNG to be laid over it.

        Args:
            model: Whom to ask; one heat map is computed at a time.
            model_version: Which one.
            radiograph: The film.
            target: Name of the target whose value is explained.
            known: What the model is told of the film before.

        Raises:
            ImageError: See `film`; or the model needs a hand mask that the film does not have.
            InvalidInputError: The model does not tell the target of this film.
            ModelError: It is damaged, or its network has no feature map that could be drawn.
            NotFoundError: No such model is registered.
            ServiceUnavailableError: MLflow does not answer.
            StorageError: The cache cannot be written.
        """
        told = "".join(f".{known[name]}" for name in sorted(known))
        name = f"{radiograph.id}.{model_version}.{target}{told}.png"
        file = self._cache / "heat-maps" / radiograph.id[:2] / name
        kept = _kept(file)
        if kept is not None:
            return kept
        with model.use(model_version) as predictor:
            # Another request may have drawn it while this one waited.
            return _kept(file) or _keep(file, self._draw(predictor, radiograph, target, known))

    def _draw(
        self, predictor: Predictor, radiograph: Radiograph, target: str, known: Mapping[str, str]
    ) -> bytes:
        from trainer.explanations.heatmap import heat_map

        heat = heat_map(predictor, self.film(radiograph), radiograph.id, target, known)
        return encode_colour_png(layer(heat))


def _kept(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


def _keep(file: Path, picture: bytes) -> bytes:
    write_file(file, picture, sync=False)
    return picture
