"""Models that need hand masks, behind MLflow's servers."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.images.decoding import content_id, encode_png
from data.masks import MaskStore
from data.phantoms.drawing import draw_hand
from tests.unit.trainer.cases import QUICK
from tests.unit.trainer.small_models import save_random_model
from trainer.predictor import Predictor
from trainer.pyfunc.export import export

# MLflow warns of its own type hints when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")

FILM = draw_hand(100.0, "female", seed=3, size=128)
HAND = np.zeros(FILM.shape, bool)
HAND[20:110, 30:100] = True


def text(grey: np.ndarray) -> str:
    return base64.b64encode(encode_png(grey)).decode()


def mask_of(hand: np.ndarray) -> str:
    return text(hand.astype(np.uint8) * np.uint8(255))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "model"
    save_random_model(folder, options=replace(QUICK, crop="mask", background="remove"))
    return folder


def ask(model: Path, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    from trainer.pyfunc.pyfunc import answer

    table = answer(Predictor.load(model, "cpu"), pd.DataFrame(rows))
    answers: list[dict[str, Any]] = table.to_dict(orient="records")
    return answers


def test_a_film_sent_with_its_mask_gets_the_answer_that_the_kept_mask_gives(
    model: Path, tmp_path: Path
) -> None:
    key, masks = content_id(encode_png(FILM)), MaskStore(tmp_path)
    masks.add(key, HAND)
    here = Predictor.load(model, "cpu", find_mask=masks.find)
    said = here.predict_images([FILM], [key], [{"sex": "male"}])[0]

    told = ask(model, {"image": text(FILM), "mask": mask_of(HAND), "sex": "male"})[0]

    assert (told["age_months"], told["error"]) == (said.values["age_months"], None)
    assert told["sex_probability"] == said.probabilities["sex"][str(said.values["sex"])]


def test_a_film_whose_mask_is_no_mask_says_why_and_the_others_are_answered(model: Path) -> None:
    wrong = {
        "nothing": None,
        "no image": base64.b64encode(b"a letter").decode(),
        "other proportions": mask_of(HAND[:64]),
        "no hand": mask_of(np.zeros_like(HAND)),
    }

    rows = [{"image": text(FILM), "mask": mask} for mask in (*wrong.values(), mask_of(HAND))]
    answers = ask(model, *rows)

    why = [told["error"] for told in answers]
    assert "mask must hold the bytes" in why[0]
    assert "mask: This is not an image" in why[1]
    assert "other proportions" in why[2]
    assert "mask: The mask marks nothing" in why[3]
    assert why[4] is None
    assert [told["age_months"] is None for told in answers] == [True] * 4 + [False]


@pytest.mark.long
def test_an_export_asks_for_the_mask_that_its_model_needs(model: Path, tmp_path: Path) -> None:
    from mlflow.models import Model

    export(model, tmp_path / "served")

    told = Model.load(str(tmp_path / "served")).signature.inputs
    assert {column.name: column.required for column in told} == {
        "image": True,
        "mask": True,
        "sex": False,
    }
