"""Training and prediction on real films, where they are at hand (CARPAL_TEST_DATA)."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from data.domain import Example, Split
from data.sources.rsna import read_rsna
from tests.unit.trainer.cases import BONE_AGE, QUICK
from trainer.predictor import Predictor
from trainer.train import train


@pytest.mark.real_data
def test_real_films_train_a_model_that_answers_each_of_them(
    real_data: Path, tmp_path: Path
) -> None:
    items = list(itertools.islice(read_rsna(real_data / "rsna", limit=24, seed=1), 24))
    splits = [Split.TRAIN] * 14 + [Split.CALIBRATION] * 10
    examples = [
        Example(item.name, item.path, item.values, split)
        for item, split in zip(items, splits, strict=True)
        if item.path is not None
    ]

    model = train(BONE_AGE, examples, QUICK, tmp_path / "model", dataset_version="v0001")
    predictions, errors = Predictor.load(model.folder, "cpu").predict_files(
        [(e.radiograph_id, e.path) for e in examples]
    )

    assert errors == {}
    assert len(predictions) == 24
    for prediction in predictions:
        low, high = prediction.intervals["age_months"]
        assert 0 <= low <= float(prediction.values["age_months"]) <= high <= 240
