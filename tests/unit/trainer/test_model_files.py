from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from data.errors import ModelError, StorageError
from data.images.preparation import Preparation
from tests.unit.trainer.cases import BONE_AGE, FRACTURE, QUICK, SEX
from trainer.answers.calibration import Calibration
from trainer.evaluation.bands import bands_of
from trainer.inputs.pixels import preparation_of
from trainer.inputs.targets import Norm
from trainer.model.card import Member, ModelCard, require_task
from trainer.model.files import (
    CARD,
    WEIGHTS,
    Part,
    check_model,
    content_hash,
    load_model,
    save_model,
)
from trainer.network.network import Network

BARE = ModelCard(
    task="bone_age",
    targets=BONE_AGE.targets,
    primary="age_months",
    input=None,
    options=QUICK,
    members=(
        Member(
            QUICK,
            {"age_months": Norm(100.0, 40.0)},
            preparation_of(QUICK),
            history=({"epoch": 1, "loss": 0.5},),
        ),
    ),
    bands=tuple(bands_of(BONE_AGE)),
    calibration=Calibration(
        0.9,
        {"age_months": 2.5},
        temperatures={"sex": 1.25},
        cases={"age_months": 40, "sex": 40},
    ),
    preparation_code="0123456789abcdef",
    dataset_version="v0003",
    provenance={"dataset_commit": "abc"},
    libraries={"torch": "2"},
    counts={"train": 100, "validation": 0, "calibration": 40},
)


def bare_network(card: ModelCard = BARE) -> Network:
    return card.network(card.members[0])


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, ModelCard]:
    torch.manual_seed(0)
    folder = tmp_path / "model"
    return folder, save_model(folder, [Part(bare_network())], BARE)


def test_a_model_is_read_as_it_was_written(saved: tuple[Path, ModelCard]) -> None:
    folder, card = saved

    (part,), read = load_model(folder)

    assert read == card
    torch.manual_seed(0)
    for one, other in zip(part.network.parameters(), bare_network().parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_version_names_dataset_version_and_content(saved: tuple[Path, ModelCard]) -> None:
    _, card = saved

    assert card.model_version == f"v0003-{card.content_hash[:8]}"


def test_the_same_content_has_the_same_version(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = bare_network()

    one, other = (save_model(tmp_path / name, [Part(network)], BARE) for name in ("a", "b"))

    assert one == other


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            {"members": (replace(BARE.members[0], norms={"age_months": Norm(101.0, 40.0)}),)},
            id="normalisation",
        ),
        pytest.param({"calibration": Calibration(0.9, {"age_months": 2.6})}, id="calibration"),
        pytest.param({"provenance": {"dataset_commit": "abd"}}, id="provenance"),
    ],
)
def test_the_version_changes_with_anything_in_the_card(
    tmp_path: Path, change: dict[str, object]
) -> None:
    torch.manual_seed(0)
    network = bare_network()

    one = save_model(tmp_path / "a", [Part(network)], BARE)
    other = save_model(tmp_path / "b", [Part(network)], replace(BARE, **change))  # type: ignore[arg-type]

    assert one.content_hash != other.content_hash


def test_a_folder_holds_weights_and_json_and_nothing_to_unpickle(
    saved: tuple[Path, ModelCard],
) -> None:
    folder, _ = saved

    assert sorted(path.name for path in folder.iterdir()) == [CARD, WEIGHTS]
    assert json.loads((folder / CARD).read_text())["task"] == "bone_age"


def _flip_a_bit_of_the_weights(folder: Path) -> None:
    payload = bytearray((folder / WEIGHTS).read_bytes())
    payload[-1] ^= 1
    (folder / WEIGHTS).write_bytes(payload)


def _change_the_card(key: str, value: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = json.loads((folder / CARD).read_text())
        (folder / CARD).write_text(json.dumps({**content, key: value}))

    return change


@pytest.mark.parametrize(
    "alter",
    [
        pytest.param(_flip_a_bit_of_the_weights, id="one bit of the weights"),
        pytest.param(_change_the_card("bands", []), id="bands"),
        pytest.param(_change_the_card("model_version", "v0009-00000000"), id="version"),
        pytest.param(_change_the_card("content_hash", "0" * 64), id="hash"),
        pytest.param(_change_the_card("format", "carpal-model-0"), id="another format"),
        pytest.param(lambda folder: (folder / WEIGHTS).unlink(), id="no weights"),
        pytest.param(lambda folder: (folder / CARD).unlink(), id="no card"),
        pytest.param(lambda folder: (folder / CARD).write_text("{"), id="half a card"),
        pytest.param(lambda folder: (folder / CARD).write_text("[]"), id="no card but a list"),
        pytest.param(_change_the_card("counts", {"train": float("nan")}), id="not a number"),
        pytest.param(_change_the_card("task", "\ud800"), id="half a character"),
        pytest.param(
            lambda folder: (folder / CARD).write_text("[" * 100_000), id="a card without end"
        ),
    ],
)
def test_an_altered_model_is_refused(
    saved: tuple[Path, ModelCard], alter: Callable[[Path], None]
) -> None:
    folder, _ = saved
    alter(folder)

    with pytest.raises(ModelError):
        load_model(folder)


def test_a_model_with_an_option_of_a_later_release_is_refused_as_a_model(
    saved: tuple[Path, ModelCard],
) -> None:
    folder, _ = saved
    content = json.loads((folder / CARD).read_text())
    content["options"]["dream"] = 0.5
    digest = content_hash((folder / WEIGHTS).read_bytes(), content)
    content |= {"content_hash": digest, "model_version": f"v0003-{digest[:8]}"}
    (folder / CARD).write_text(json.dumps(content))

    with pytest.raises(ModelError, match="no training option dream"):
        load_model(folder)


def test_saving_replaces_the_model_that_was_there(saved: tuple[Path, ModelCard]) -> None:
    folder, before = saved

    after = save_model(folder, [Part(bare_network())], replace(BARE, dataset_version="v0004"))

    assert check_model(folder)[0] == after != before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_folder_that_cannot_be_written_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageError):
        save_model(tmp_path / "file" / "model", [Part(bare_network())], BARE)


def test_a_model_of_another_task_is_refused() -> None:
    with pytest.raises(ModelError, match="bone_age, not of fracture"):
        require_task(BARE, FRACTURE)


def test_a_model_of_a_task_that_has_changed_is_refused() -> None:
    changed = replace(SEX, choices=("female", "male", "unknown"))

    with pytest.raises(ModelError, match="have changed"):
        require_task(BARE, replace(BONE_AGE, targets=(BONE_AGE.targets[0], changed)))


def test_another_loss_weight_is_no_other_task() -> None:
    lighter = replace(SEX, loss_weight=0.1)

    require_task(BARE, replace(BONE_AGE, targets=(BONE_AGE.targets[0], lighter)))


def test_the_card_says_how_films_are_prepared(saved: tuple[Path, ModelCard]) -> None:
    folder, _ = saved

    content = json.loads((folder / CARD).read_text())

    assert content["members"][0]["preparation"] == Preparation(QUICK.image_size, "whole").to_json()


def write_as_of_the_first_form(folder: Path, with_preparation: bool) -> torch.Tensor:
    """Rewrites a model folder as earlier releases did, and returns the age head's weights."""
    content = json.loads((folder / CARD).read_text())
    content |= content.pop("members")[0] | {"format": "carpal-model-1"}
    del content["input"], content["bands"]
    for name in ("band_quantiles", "lines", "usual_distance"):
        del content["calibration"][name]
    if not with_preparation:
        content["preparation"] = content.pop("preparation_code")
        for name in ("crop", "mask_crop", "background", "mask_edge"):
            del content["options"][name]
    tensors = {
        k.removeprefix("0.").replace(".1.weight", ".weight").replace(".1.bias", ".bias")
        if k.startswith("0.heads.")
        else k.removeprefix("0."): v
        for k, v in load_file(folder / WEIGHTS).items()
    }
    save_file(tensors, folder / WEIGHTS)
    digest = content_hash((folder / WEIGHTS).read_bytes(), content)
    content |= {"content_hash": digest, "model_version": f"v0003-{digest[:8]}"}
    (folder / CARD).write_text(json.dumps(content))
    return tensors["heads.0.weight"]


def test_a_model_of_the_first_form_is_read_as_one_of_today(
    saved: tuple[Path, ModelCard],
) -> None:
    folder, card = saved
    head = write_as_of_the_first_form(folder, with_preparation=True)

    (part,), read = load_model(folder)

    assert read.members == card.members
    assert (read.input, read.bands) == (None, ())
    assert torch.equal(part.network.state_dict()["heads.0.1.weight"], head)


def test_a_model_of_before_preparations_sees_films_without_their_plain_borders(
    saved: tuple[Path, ModelCard],
) -> None:
    folder, _ = saved
    write_as_of_the_first_form(folder, with_preparation=False)

    _, card = load_model(folder)

    assert card.members[0].preparation == Preparation(QUICK.image_size, "plain", exposure="as_is")
    assert card.options == replace(QUICK, crop="plain")
    assert card.preparation_code == "0123456789abcdef"
