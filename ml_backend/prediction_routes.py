"""`POST /api/predict`: one film in, one prediction out, for people and scripts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import UnsupportedMediaType

from data.domain import TaskSpec
from data.errors import InvalidInputError
from ml_backend.choice_words import choice_named
from ml_backend.prediction_json import film_answer_json
from ml_backend.sent_films import SentFilm, predict_films
from ml_backend.services import Services

FILE_FIELD = "file"
MASK_FIELD = "use_mask"
FORM_OVERHEAD_BYTES = 64 * 1024
"""Room for the parts of a form around the film."""
MAX_QUOTED_CHARS = 40
"""Longest part of a field's name or value that an error quotes."""

TRUE = frozenset({"true", "1", "yes", "on"})
FALSE = frozenset({"false", "0", "no", "off"})


def prediction_routes(services: Services) -> Blueprint:
    """Returns the routes for people and scripts."""
    routes = Blueprint("prediction", __name__, url_prefix="/api")

    @routes.post("/predict")
    def predict_image() -> dict[str, Any]:
        request.max_content_length = services.limits.max_bytes + FORM_OVERHEAD_BYTES
        (answer,) = predict_films(services, [_sent_film(services.spec)])
        return film_answer_json(services, answer)

    return routes


def _sent_film(spec: TaskSpec) -> SentFilm:
    """Returns what the form of the request holds.

    Raises:
        UnsupportedMediaType: The body is no form.
        InvalidInputError: It has no film, several, or a field or value that is not known.
    """
    if request.mimetype != "multipart/form-data":
        raise UnsupportedMediaType(
            f"Send the film as {FILE_FIELD!r} in a multipart/form-data form."
        )
    fields = {MASK_FIELD, *([spec.input] if spec.input else [])}
    strange = sorted({*request.form, *request.files} - fields - {FILE_FIELD})
    if strange:
        known = ", ".join(sorted({FILE_FIELD, *fields}))
        raise InvalidInputError(
            f"The form field {strange[0][:MAX_QUOTED_CHARS]!r} is not known here: {known} are."
        )
    texts = {name: _only_text(name) for name in fields}
    given = choice_named(spec, spec.input, texts[spec.input]) if spec.input else None
    return SentFilm(
        _only_file().read(),
        {spec.input: given} if spec.input and given else {},
        _truth(texts),
    )


def _truth(texts: Mapping[str, str]) -> bool | None:
    said = texts[MASK_FIELD].strip().lower()
    if said and said not in TRUE | FALSE:
        raise InvalidInputError(
            f"{MASK_FIELD} must be true or false, not {said[:MAX_QUOTED_CHARS]!r}."
        )
    return said in TRUE if said else None


def _only_text(name: str) -> str:
    """Returns a field of the form; empty if it is absent."""
    texts = request.form.getlist(name)
    if len(texts) > 1 or name in request.files:
        raise InvalidInputError(f"{name!r} may be given once, as text.")
    return texts[0] if texts else ""


def _only_file() -> FileStorage:
    files = request.files.getlist(FILE_FIELD)
    if len(files) != 1 or FILE_FIELD in request.form:
        raise InvalidInputError(f"The form must hold exactly one file, as {FILE_FIELD!r}.")
    return files[0]
