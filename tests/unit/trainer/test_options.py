from __future__ import annotations

import ast
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import trainer
from data.errors import InvalidInputError
from trainer.options import TrainOptions

NAMES = [field.name for field in fields(TrainOptions)]


def test_the_defaults_are_valid() -> None:
    assert TrainOptions().to_json() == TrainOptions.from_mapping({}).to_json()


@pytest.mark.parametrize("name", NAMES)
def test_every_option_says_what_it_does(name: str) -> None:
    text = TrainOptions.help_texts()[name]

    assert len(text) > 30
    assert f"(default: {getattr(TrainOptions(), name)})" in text


@cache
def options_read() -> set[str]:
    """Returns what the trainer's modules read of anything called `options`."""
    names = set()
    for path in Path(trainer.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                owner = ast.unparse(node.value).split(".")[-1].strip("_")
                names |= {node.attr} if owner == "options" else set()
    return names


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_read_by_the_trainer(name: str) -> None:
    assert name in options_read()


@pytest.mark.parametrize(
    ("values", "named"),
    [
        pytest.param({"epochs": 0}, "epochs", id="no epoch"),
        pytest.param({"crop": "tight"}, "crop", id="unknown crop"),
        pytest.param({"mask_crop": 0.5}, "mask_crop", id="a square smaller than the hand"),
        pytest.param({"background": "blur"}, "background", id="unknown background"),
        pytest.param({"mask_edge": 0.3}, "mask_edge", id="a seam as wide as the hand"),
        pytest.param({"learning_rate": -1e-3}, "learning_rate", id="negative rate"),
        pytest.param({"learning_rate": float("nan")}, "learning_rate", id="rate is no number"),
        pytest.param({"batch_size": 1}, "batch_size", id="a batch of one"),
        pytest.param({"coverage": 1.0}, "coverage", id="certainty"),
        pytest.param({"start": "anywhere"}, "start", id="unknown start"),
        pytest.param({"device": "tpu"}, "device", id="unknown device"),
        pytest.param({"precision": "64"}, "precision", id="unknown precision"),
        pytest.param({"backbone": ""}, "backbone", id="no backbone"),
        pytest.param({"epochs": 2.5}, "epochs", id="half an epoch"),
        pytest.param({"epochs": "many"}, "epochs", id="text for a number"),
        pytest.param({"epochs": True}, "epochs", id="truth for a number"),
        pytest.param({"flip": 1}, "flip", id="number for a truth"),
        pytest.param({"backbone": None}, "backbone", id="nothing for text"),
        pytest.param({"momentum": 0.9}, "momentum", id="unknown option"),
    ],
)
def test_a_wrong_option_is_refused_by_name(values: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInputError, match=named):
        TrainOptions.from_mapping(values)


def test_all_wrong_options_are_named_at_once() -> None:
    with pytest.raises(InvalidInputError, match=r"epochs.*batch_size"):
        TrainOptions(epochs=0, batch_size=0)


def test_yaml_is_read_with_numbers_that_yaml_takes_for_text(tmp_path: Path) -> None:
    file = tmp_path / "train.yaml"
    file.write_text("epochs: 3\nlearning_rate: 1e-3\nflip: false\nprecision: 32\n")

    options = TrainOptions.from_yaml(file)

    assert (options.epochs, options.learning_rate) == (3, 0.001)
    assert (options.flip, options.precision) == (False, "32")


def test_an_empty_yaml_file_means_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "train.yaml"
    file.write_text("# nothing is set\n")

    assert TrainOptions.from_yaml(str(file)) == TrainOptions()


@pytest.mark.parametrize("text", ["- epochs\n- 3\n", "epochs: [", "3\n", "1: 2\n"])
def test_yaml_that_is_no_list_of_options_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "train.yaml"
    file.write_text(text)

    with pytest.raises(InvalidInputError, match=r"train\.yaml"):
        TrainOptions.from_yaml(file)


def test_a_missing_yaml_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"absent\.yaml"):
        TrainOptions.from_yaml(tmp_path / "absent.yaml")


def test_the_training_page_lists_every_option_with_its_default() -> None:
    page = (Path(trainer.__file__).parents[1] / "docs" / "training.md").read_text()
    for field in fields(TrainOptions):
        default = str(field.default).lower() if field.type == "bool" else field.default
        assert f"| `{field.name}` | `{default}` | {field.metadata['help']} |" in page
