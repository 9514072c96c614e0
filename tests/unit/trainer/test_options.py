from __future__ import annotations

import ast
from dataclasses import Field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import trainer
from data.errors import InvalidInputError
from tests.unit.trainer.cases import BONE_AGE, easy_examples
from trainer import torchvision_guard  # noqa: F401  (must come before timm)
from trainer.answers.ensemble import members_of
from trainer.options import PROFILES, TrainOptions
from trainer.train import train

import timm  # isort: skip

NAMES = [field.name for field in fields(TrainOptions)]


def test_the_defaults_are_valid() -> None:
    assert TrainOptions().to_json() == TrainOptions.from_mapping({}).to_json()


@pytest.mark.parametrize("option", fields(TrainOptions), ids=NAMES)
def test_every_option_says_what_it_does(option: Field[Any]) -> None:
    assert len(option.metadata["help"]) > 12


@cache
def options_read() -> set[str]:
    """Returns what the trainer's modules read of anything called `options`."""
    names = set()
    for path in Path(trainer.__file__).parent.rglob("*.py"):
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
        pytest.param({"number_head": "bins"}, "number_head", id="unknown head"),
        pytest.param({"input_mode": "both"}, "input_mode", id="unknown input mode"),
        pytest.param({"tta": "all"}, "tta", id="unknown views"),
        pytest.param({"hidden": "64,0"}, "hidden", id="a layer without width"),
        pytest.param({"sizes": "96;128"}, "sizes", id="sizes without commas"),
        pytest.param({"sizes": "64,160"}, "sizes", id="sizes that end elsewhere"),
        pytest.param({"sizes": "16,96"}, "sizes", id="a size below all"),
        pytest.param({"sizes": "64,128,96"}, "sizes", id="a size above image_size"),
        pytest.param({"members": "resnet18@160,"}, "members", id="a member without a word"),
        pytest.param({"members": "resnet18:160"}, "members", id="a member written otherwise"),
        pytest.param({"only": "female"}, "only", id="a condition without a target"),
        pytest.param({"bin_width": 0}, "bin_width", id="bins without width"),
        pytest.param({"withhold": 1.5}, "withhold", id="more than all withheld"),
        pytest.param({"folds": 1}, "folds", id="one fold"),
        pytest.param({"folds": 3, "fold": 3}, "fold", id="a fold that is not there"),
        pytest.param(
            {"folds": 3, "validation_share": 0.1}, "exclude", id="two ways of holding out"
        ),
        pytest.param({"patience": 3}, "patience", id="patience without a validation"),
        pytest.param({"schedule": "plateau"}, "plateau", id="plateau without a validation"),
        pytest.param({"start": "file"}, "weights", id="a file without a name"),
        pytest.param({"weights": "w.npz"}, "weights", id="a name without a file"),
        pytest.param({"batch_size": 6, "accumulate": 4}, "accumulate", id="parts of one image"),
        pytest.param({"devices": -1}, "devices", id="fewer than no devices"),
        pytest.param({"ema": 1.0}, "ema", id="an average that never moves"),
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


@pytest.mark.parametrize("name", sorted(file.stem for file in PROFILES.glob("*.yaml")))
def test_a_profile_is_read_by_its_name(name: str) -> None:
    options = TrainOptions.from_yaml(name)

    backbones = {member.backbone for member in members_of(options)}
    assert options != TrainOptions()
    assert backbones <= set(timm.list_models())
    if options.start == "pretrained":
        assert backbones <= {known.split(".")[0] for known in timm.list_pretrained()}


@pytest.mark.parametrize("name", sorted(file.stem for file in PROFILES.glob("*.yaml")))
def test_a_profile_begins_by_saying_what_it_is_for(name: str) -> None:
    first = (PROFILES / f"{name}.yaml").read_text().splitlines()[0]

    assert first.startswith("# ")
    assert first.endswith(".")


def test_there_are_the_profiles_that_the_training_page_names() -> None:
    page = (Path(trainer.__file__).parents[1] / "docs" / "training.md").read_text()

    assert {file.stem for file in PROFILES.glob("*.yaml")} == {
        "bone_age_best",
        "bone_age_reference",
        "cpu",
        "gpu",
        "smoke",
    }
    for file in PROFILES.glob("*.yaml"):
        assert f"| `{file.stem}` |" in page


def test_a_file_of_the_users_is_not_taken_for_a_profile(tmp_path: Path) -> None:
    file = tmp_path / "cpu"
    file.write_text("epochs: 3\n")

    assert TrainOptions.from_yaml(file).epochs == 3


@pytest.mark.long
def test_the_smoke_profile_trains_in_seconds(tmp_path: Path) -> None:
    data = easy_examples(tmp_path, train=16, calibration=4)
    options = replace(TrainOptions.from_yaml("smoke"), device="cpu", workers=1)

    model = train(BONE_AGE, data, options, tmp_path / "model", dataset_version="v0001")

    assert (model.folder / "model.json").exists()
    assert model.history[-1].seconds < options.max_seconds


def test_the_training_page_lists_every_option_with_its_default_and_no_other() -> None:
    page = (Path(trainer.__file__).parents[1] / "docs" / "training.md").read_text()

    listed = page.partition("<!-- options -->\n")[2].partition("<!-- end of options -->")[0]

    assert listed == option_table(), f"docs/training.md must say:\n{option_table()}"


def option_table() -> str:
    """Returns the table of all options as the training page must hold it."""
    rows = ["| option | default | what it does |", "| --- | --- | --- |"]
    for item in fields(TrainOptions):
        default = str(item.default).lower() if item.type == "bool" else str(item.default)
        told = f"`{default}`" if default else "–"
        rows.append(f"| `{item.name}` | {told} | {item.metadata['help']} |")
    return "\n".join(rows) + "\n"
