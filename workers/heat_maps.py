"""Draws where a model looked, one picture per film."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data.atomic import write_file
from data.errors import ImageError
from data.images.decoding import DEFAULT_LIMITS, ImageLimits
from data.images.overlay import encode_colour_png, overlay
from data.sources.film_file import read_film
from trainer.answers.prediction_table import ERROR, Row
from workers.prediction_inputs import Wanted
from workers.prediction_model import table_of

if TYPE_CHECKING:
    from trainer.model.card import ModelCard
    from trainer.predictor import Predictor

NOT_IN_NAMES = re.compile(r"[^\w.-]+")

Progress = Callable[[int, int], None]

log = logging.getLogger(__name__)


def write_heat_maps(
    predictor: Predictor,
    wanted: Sequence[Wanted],
    rows: Sequence[Row],
    folder: Path,
    progress: Progress | None = None,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> int:
    """Draws, for each predicted film, where the model looked for the primary target.

    A picture is called as the film's id, with a hash of its file and of the input that the model
    was told, and the model's version; one that is there already is kept. A film that can no longer
    be read is left out and logged.

    Args:
        predictor: The model.
        wanted: The films.
        rows: What `predict_wanted` said of them.
        folder: For the pictures.
        progress: Told (done, all).
        limits: Largest image that is decoded.

    Returns:
        How many were drawn now.

    Raises:
        ModelError: The network has no feature map that could be drawn.
        StorageError: They cannot be written.
    """
    table, drawn = table_of(predictor.card), 0
    for done, (film, row) in enumerate(zip(wanted, rows, strict=True), 1):
        if not row[ERROR]:
            try:
                file = folder / _name(film, table.told(row), predictor.model_version)
                if not file.exists():
                    write_file(file, _picture(predictor, film, row, limits), sync=False)
                    drawn += 1
            except ImageError as error:  # It was predicted before, and has changed since.
                log.warning("%s gets no heat map: %s", film.shown, error)
        if progress is not None:
            progress(done, len(wanted))
    return drawn


def _picture(predictor: Predictor, film: Wanted, row: Row, limits: ImageLimits) -> bytes:
    """Returns the film with its heat map as PNG."""
    from trainer.explanations.heatmap import heat_map

    card, told = predictor.card, table_of(predictor.card).told(row)
    known = {card.input: told} if card.input and told else {}
    read = read_film(film.path, limits)
    heat = heat_map(predictor, read.pixels, read.id, _target(card, row), known)
    return encode_colour_png(overlay(read.pixels, heat))


def _target(card: ModelCard, row: Row) -> str:
    """Returns the primary target, or the first that applies to the film where it does not."""
    if row[card.primary]:
        return card.primary
    return next(target.name for target in card.targets if row[target.name])


def _name(film: Wanted, told: str | None, model_version: str) -> str:
    """Names the picture of a film by all that decides about it, so that no other is taken for it.

    Raises:
        ImageError: The file cannot be read.
    """
    try:
        with film.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    except OSError as error:
        raise ImageError(f"The file cannot be read: {error.strerror or error}.") from error
    digest.update((told or "").encode())
    return f"{NOT_IN_NAMES.sub('-', film.id) or '-'}.{digest.hexdigest()[:8]}.{model_version}.png"
