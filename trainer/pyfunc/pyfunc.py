"""A model as MLflow's servers run it: a table with films in, a table with answers out.

A film is one row: column `image` holds the bytes of the image file as base64, and a column named
like the model's input (`sex`) what is known beforehand, or nothing. A row that cannot be answered
says why in `error` and has no other answer; the others are answered all the same.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel
from numpy.typing import NDArray

from data.domain import Prediction, Target
from data.errors import CarpalError, ImageError, InvalidInputError
from data.images.decoding import content_id, decode

if TYPE_CHECKING:
    from trainer.model.card import ModelCard
    from trainer.predictor import Predictor

IMAGE = "image"
FOLDER = "model"
"""Name of the artefact that is the model folder."""

DEVICE = "device"
"""Entry of MLflow's `model_config` that says where to compute; `auto` if it is not there."""

Row = dict[str, Any]


class RadiographModel(PythonModel):
    """A Carpal model behind MLflow's interface; MLflow makes it, then calls `load_context`."""

    def load_context(self, context: Any) -> None:
        """Loads the model folder, whose hash is checked.

        Raises:
            ModelError: It is missing or was altered.
        """
        from trainer.predictor import Predictor

        device = (context.model_config or {}).get(DEVICE, "auto")
        self._predictor = Predictor.load(Path(context.artifacts[FOLDER]), device)

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Answers a table of films.

        Args:
            context: Not used; the model was loaded before.
            model_input: Column `image` and perhaps the model's input, see the module.
            params: Not used.

        Returns:
            One row per film, see `output_columns`; what is not known is None.
        """
        return answer(self._predictor, model_input)


def answer(predictor: Predictor, table: pd.DataFrame) -> pd.DataFrame:
    """Answers a table of films; see `RadiographModel.predict`."""
    target = predictor.card.input_target
    images, ids, known, places = [], [], [], []
    rows: list[Row] = []
    for number, film in enumerate(table.to_dict(orient="records")):
        rows.append(dict.fromkeys(output_columns(predictor.card)))
        rows[number]["model"] = predictor.model_version
        try:
            payload = _payload(film.get(IMAGE))
            told = _told(target, film)
            images.append(decode(payload))
        except CarpalError as error:
            rows[number]["error"] = str(error)
            continue
        ids.append(content_id(payload))
        known.append(told)
        places.append(number)
    for number, said in zip(places, _predicted(predictor, images, ids, known), strict=True):
        if isinstance(said, CarpalError):
            rows[number]["error"] = str(said)
        else:
            rows[number] |= _row(predictor.card, said)
    return pd.DataFrame(rows, columns=list(output_columns(predictor.card)), dtype=object)


def output_columns(card: ModelCard) -> dict[str, str]:
    """Returns column -> MLflow's type of what a model answers.

    `age_months`, `age_low` and `age_high` of a number, `sex` and `sex_probability` of a choice;
    `used_sex`, what was fed to the numbers, and `sex_predicted`, whether the model predicted that
    itself; `novelty` and `ood`, see `Prediction.novelty`; `model`; `error`.
    """
    columns: dict[str, str] = {}
    for target in card.targets:
        if target.kind == "number":
            names = (target.name, f"{_stem(target)}_low", f"{_stem(target)}_high")
            columns |= dict.fromkeys(names, "double")
        else:
            columns |= {target.name: "string", f"{target.name}_probability": "double"}
    if card.input:
        columns |= {f"used_{card.input}": "string", f"{card.input}_predicted": "boolean"}
    return columns | {"novelty": "double", "ood": "boolean", "model": "string", "error": "string"}


def _predicted(
    predictor: Predictor,
    images: Sequence[NDArray[np.uint8]],
    ids: Sequence[str],
    known: Sequence[Mapping[str, str]],
) -> Sequence[Prediction | CarpalError]:
    try:
        return predictor.predict_images(images, ids, known)
    except ImageError as error:  # the model needs hand masks, which nobody sends here
        return [error] * len(images)


def _row(card: ModelCard, said: Prediction) -> Row:
    """Returns the columns that are known."""
    row: Row = dict(said.values)
    for name, (low, high) in said.intervals.items():
        stem = _stem(next(t for t in card.targets if t.name == name))
        row |= {f"{stem}_low": low, f"{stem}_high": high}
    for name, chances in said.probabilities.items():
        if name in said.values:
            row[f"{name}_probability"] = chances[str(said.values[name])]
    if card.input and card.input in said.used:
        row[f"used_{card.input}"] = said.used[card.input]
        row[f"{card.input}_predicted"] = card.input in said.predicted_inputs
    if said.novelty is not None:
        row |= {"novelty": said.novelty, "ood": said.novelty > 1}
    return row


def _stem(target: Target) -> str:
    return target.name.removesuffix(f"_{target.unit}")


def _payload(text: Any) -> bytes:
    if not isinstance(text, str) or not text:
        raise InvalidInputError(f"{IMAGE} must hold the bytes of an image file as base64 text.")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise InvalidInputError(f"{IMAGE} is not base64: {error}.") from error


def _told(target: Target | None, film: Mapping[str, Any]) -> dict[str, str]:
    """Returns what is known beforehand; nothing, None and not-a-number are not known."""
    value = film.get(target.name) if target else None
    if target is None or pd.isna(value) or value == "":
        return {}
    if value not in target.choices:
        raise InvalidInputError(
            f"{target.name} must be {' or '.join(target.choices)} or empty, not {value!r}."
        )
    return {target.name: str(value)}
