"""Where first weights come from, and by what they are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data.domain import Example
from data.errors import TrainingError
from data.images.decoding import ImageLimits, encode_png
from tests.unit.trainer.cases import QUICK, easy_examples
from tests.unit.trainer.small_models import random_card
from trainer.inputs.pixels import Film
from trainer.inputs.training_data import TrainingData
from trainer.network.first_weights import Sources, first_weights

OPTIONS = replace(QUICK, start="self_supervised", ssl_batch_size=4)
NO_DATA = TrainingData(np.zeros((0, 32, 32), np.uint8), {}, (), (), (), {})


@pytest.fixture(autouse=True)
def nothing_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Self-supervised training ends at once."""
    monkeypatch.setattr("trainer.pretraining.pretrain.pretrain", lambda *_: {})


@pytest.fixture
def examples(tmp_path: Path) -> list[Example]:
    return easy_examples(tmp_path, train=6)


def mask(path: Path, side: int) -> Path:
    white = np.zeros((48, 48), np.uint8)
    white[4 : 4 + side, 8 : 8 + side] = 255
    path.write_bytes(encode_png(white))
    return path


def name_of(pool: list[Film], cache: Path, crop: str = "whole") -> str:
    """Returns what a model says of the weights that were learnt from a pool."""
    sources = Sources(None, pool, cache, torch.device("cpu"))
    return first_weights(random_card(replace(OPTIONS, crop=crop)), 0, NO_DATA, sources)[1]


def test_self_supervised_weights_are_named_by_their_films_in_any_order(
    examples: list[Example], tmp_path: Path
) -> None:
    films = [Film(e.radiograph_id, e.path) for e in examples]

    names = [name_of(pool, tmp_path / "cache") for pool in (films, films[::-1], films[1:])]

    assert names[0].startswith("self-supervised ")
    assert names[0] == names[1] != names[2]


def test_radiographs_over_the_limits_are_not_learnt_from(
    examples: list[Example], tmp_path: Path
) -> None:
    films = [Film(e.radiograph_id, e.path) for e in examples]
    limits = ImageLimits(max_bytes=10**6, max_pixels=100)
    sources = Sources(None, films, tmp_path, torch.device("cpu"), limits=limits)

    with pytest.raises(TrainingError, match="There are 0 radiographs"):
        first_weights(random_card(OPTIONS), 0, NO_DATA, sources)


def test_members_share_the_time_of_self_supervised_training(
    examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits_s: list[float] = []
    monkeypatch.setattr(
        "trainer.pretraining.pretrain.pretrain",
        lambda *given: limits_s.append(given[3].ssl_max_seconds),
    )
    films = [Film(e.radiograph_id, e.path) for e in examples]
    sources = Sources(None, films, tmp_path, torch.device("cpu"))
    card = random_card(replace(OPTIONS, ssl_max_seconds=60.0), members=3)

    first_weights(card, 1, NO_DATA, sources)

    assert limits_s == [20.0]


@pytest.mark.parametrize(("crop", "same"), [("mask", False), ("whole", True)])
def test_other_hand_masks_are_other_weights_where_masks_are_looked_at(
    examples: list[Example], tmp_path: Path, crop: str, same: bool
) -> None:
    films = [
        Film(e.radiograph_id, e.path, mask(tmp_path / f"mask{i}.png", 20))
        for i, e in enumerate(examples)
    ]
    other = [replace(films[0], mask=mask(tmp_path / "other.png", 30)), *films[1:]]

    names = {name_of(pool, tmp_path / "cache", crop) for pool in (films, other)}

    assert (len(names) == 1) == same
