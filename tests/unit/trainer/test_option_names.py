"""An option that there is not is answered with those that may be meant."""

from __future__ import annotations

from dataclasses import fields

import pytest

from data.errors import UnknownOptionError
from trainer.option_names import nearest
from trainer.options import TrainOptions

OPTIONS = [item.name for item in fields(TrainOptions)]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("lr", ["learning_rate"]),
        ("wd", ["weight_decay"]),
        ("batchsize", ["batch_size"]),
        ("image-size", ["image_size"]),
        ("Epochs", ["epochs"]),
        ("zzz", []),
    ],
    ids=["initials", "other initials", "misspelt", "with a hyphen", "in capitals", "like nothing"],
)
def test_the_option_that_may_be_meant_comes_first(said: str, meant: list[str]) -> None:
    assert nearest(said, OPTIONS)[:1] == meant


def test_a_part_of_a_name_finds_it() -> None:
    assert "tta_degrees" in nearest("degrees", OPTIONS)


def test_the_sentence_names_each_unknown_option_and_what_is_near() -> None:
    with pytest.raises(UnknownOptionError) as refused:
        TrainOptions.from_mapping({"zzz": 1, "lr": 3, "epochs": 2})

    assert str(refused.value) == ("There is no training option lr (perhaps learning_rate), zzz.")
