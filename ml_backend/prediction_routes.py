"""`POST /api/predict`: one image in, one prediction out, for people and scripts.

The image is not kept, and neither is the prediction.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request
from werkzeug.datastructures import FileStorage

from data.domain import Prediction
from data.errors import InvalidInputError, ServiceUnavailableError
from data.images.decoding import content_id, decode
from ml_backend.services import Services

IMAGE_FIELD = "image"
FORM_OVERHEAD_BYTES = 64 * 1024
"""Room for the parts of a form around the image."""

AGE_TARGET = "age_months"
SEX_TARGET = "sex"
SEX_LETTERS = {"female": "f", "male": "m"}


def prediction_routes(services: Services) -> Blueprint:
    """Returns the routes for people and scripts."""
    routes = Blueprint("prediction", __name__, url_prefix="/api")

    @routes.post("/predict")
    def predict_image() -> dict[str, Any]:
        request.max_content_length = services.limits.max_bytes + FORM_OVERHEAD_BYTES
        payload = _only_image().read()
        predictor = services.models.served.predictor
        if predictor is None:
            raise ServiceUnavailableError("There is no model yet; label radiographs to train one.")
        with services.models.reserve():
            image = decode(payload, services.limits)
            (prediction,) = services.models.predict(predictor, [image], [content_id(payload)])
        return answer_of(prediction)

    return routes


def answer_of(prediction: Prediction) -> dict[str, Any]:
    """Returns a prediction in the words of its field.

    For bone age that is `bone_age` and `interval` in months and `used_sex`, which is `f` or `m`
    and always predicted here. Other tasks, and models that tell a part alone, answer by
    the names of their targets.
    """
    general: dict[str, Any] = {
        "model_version": prediction.model_version,
        "coverage": prediction.coverage,
        "confidence": prediction.confidence,
    }
    if not {AGE_TARGET, SEX_TARGET} <= prediction.values.keys():
        return {
            "values": dict(prediction.values),
            "intervals": {name: list(pair) for name, pair in prediction.intervals.items()},
            "probabilities": {n: dict(shares) for n, shares in prediction.probabilities.items()},
            **general,
        }
    sex = str(prediction.values[SEX_TARGET])
    return {
        "bone_age": prediction.values[AGE_TARGET],
        "interval": list(prediction.intervals[AGE_TARGET]),
        "used_sex": SEX_LETTERS[sex],
        "sex_predicted": True,
        "sex_probability": prediction.probabilities[SEX_TARGET][sex],
        **general,
    }


def _only_image() -> FileStorage:
    """Returns the image of the form.

    Raises:
        InvalidInputError: The form has no image, several, or anything else.
    """
    if request.mimetype != "multipart/form-data":
        raise InvalidInputError(f"Send the file as {IMAGE_FIELD!r} in a multipart/form-data form.")
    strange = sorted({*request.form, *request.files} - {IMAGE_FIELD})
    if strange:
        raise InvalidInputError(f"The form field {strange[0][:80]!r} is not known here.")
    files = request.files.getlist(IMAGE_FIELD)
    if len(files) != 1 or IMAGE_FIELD in request.form:
        raise InvalidInputError(f"The form must hold exactly one file, as {IMAGE_FIELD!r}.")
    return files[0]
