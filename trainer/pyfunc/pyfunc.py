"""A model as MLflow's servers run it: a table with films in, a table with answers out.

A film is one row: column `image` holds the bytes of the image file as base64, and a column named
like the model's input (`sex`) what is known beforehand, or nothing. A model that was trained with
hand masks gets the film's as a second image file, `mask`. A row that cannot be answered says why
in `error` and has no other answer; the others are answered all the same.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from mlflow.pyfunc.model import PythonModel

from data.domain import Prediction, Target
from data.errors import CarpalError, ImageError, InvalidInputError
from data.images.decoding import content_id, decode
from data.images.mask import Mask, hand_of
from data.images.preparation import prepare
from trainer.pyfunc.answers import AnswerTable, answer_table

if TYPE_CHECKING:
    from trainer.model.card import ModelCard
    from trainer.predictor import Predictor, Squares

IMAGE = "image"
MASK = "mask"
"""Column of the hand mask, as the film's bytes: white is hand; only of models that need one."""

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
            model_input: Column `image` and perhaps the model's input and `mask`, see the module.
            params: Not used.

        Returns:
            One row per film, see `output_columns` and, for what is not known, `AnswerTable`.
        """
        return answer(self._predictor, model_input)


def answer(predictor: Predictor, table: pd.DataFrame) -> AnswerTable:
    """Answers a table of films; see `RadiographModel.predict`."""
    card = predictor.card
    columns = output_columns(card)
    films, ids, known, places = [], [], [], []
    rows: list[Row] = []
    for number, film in enumerate(table.to_dict(orient="records")):
        rows.append({**dict.fromkeys(columns), "model": predictor.model_version})
        try:
            payload = _payload(film, IMAGE)
            told = _told(card.input_target, film)
            films.append(_seen(card, payload, film))
        except CarpalError as error:
            rows[number]["error"] = str(error)
            continue
        ids.append(content_id(payload))
        known.append(told)
        places.append(number)
    for number, said in zip(places, predictor.predict_prepared(films, ids, known), strict=True):
        rows[number] |= _row(card, said)
    return answer_table(rows, columns)


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


def _seen(card: ModelCard, payload: bytes, film: Mapping[str, Any]) -> Squares:
    """Returns a film as each member of the model sees it."""
    image = decode(payload)
    mask = _mask(_payload(film, MASK), *image.shape) if card.needs_mask else None
    wanted = dict.fromkeys(member.preparation for member in card.members)
    by = {preparation: prepare(image, preparation, mask) for preparation in wanted}
    return tuple(by[member.preparation] for member in card.members)


def _mask(payload: bytes, height: int, width: int) -> Mask:
    """Returns the hand that a mask marks; it is checked and put in order as an imported one is."""
    try:
        return hand_of(decode(payload), height, width)
    except ImageError as error:
        raise ImageError(f"{MASK}: {error}") from error


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


def _payload(film: Mapping[str, Any], column: str) -> bytes:
    text = film.get(column)
    if not isinstance(text, str) or not text:
        raise InvalidInputError(f"{column} must hold the bytes of an image file as base64 text.")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:  # binascii.Error, and what is not ASCII
        raise InvalidInputError(f"{column} is not base64: {error}.") from error


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
