from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data.domain import Prediction
from data.errors import ImageError, ModelError
from data.images.decoding import ImageLimits, encode_png
from data.images.preparation import prepare
from data.masks import MaskStore, read_mask
from tests.unit.trainer.cases import BONE_AGE, FRACTURE, QUICK, easy_examples, easy_image
from tests.unit.trainer.test_model_files import BARE, bare_network
from trainer.inputs.pixels import preparation_id, preparation_of
from trainer.model.files import Part, save_model
from trainer.predictor import Predictor


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "model"
    network = bare_network()
    # Heads that answer differently for different images, as trained ones do.
    for head in network.heads:
        torch.nn.init.normal_(head[1].weight, std=0.5)  # type: ignore[index]
    save_model(folder, [Part(network)], BARE)
    return folder


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    return Predictor.load(folder, "cpu")


IMAGES = [easy_image(10.0 + 20 * i, ("female", "male")[i % 2], i) for i in range(11)]
IDS = [f"id{i}" for i in range(11)]


def test_a_prediction_names_the_radiograph_the_model_and_every_target(
    predictor: Predictor,
) -> None:
    (prediction,) = predictor.predict_images(IMAGES[:1], IDS[:1])

    assert (prediction.radiograph_id, prediction.model_version) == ("id0", predictor.model_version)
    assert set(prediction.values) == {"age_months", "sex"}
    assert predictor.spec_name == "bone_age"


def test_different_images_get_different_answers(predictor: Predictor) -> None:
    assert len({p.values["age_months"] for p in predictor.predict_images(IMAGES, IDS)}) > 5


def test_an_image_gets_the_same_answer_alone_and_among_others(predictor: Predictor) -> None:
    together = predictor.predict_images(IMAGES, IDS)

    alone = [predictor.predict_images([IMAGES[i]], [IDS[i]])[0] for i in range(11)]
    backwards = predictor.predict_images(IMAGES[::-1], IDS[::-1])[::-1]

    assert alone == together == backwards


def test_a_reloaded_model_gives_the_same_answers(predictor: Predictor, folder: Path) -> None:
    again = Predictor.load(folder, "cpu")

    assert again.predict_images(IMAGES, IDS) == predictor.predict_images(IMAGES, IDS)


def test_files_are_predicted_like_images(predictor: Predictor, tmp_path: Path) -> None:
    examples = easy_examples(tmp_path, 5)
    files = [(e.radiograph_id, e.path) for e in examples]

    predictions, errors = predictor.predict_files(files, batch_size=2)

    assert errors == {}
    assert [p.radiograph_id for p in predictions] == [key for key, _ in files]
    rng = np.random.default_rng(0)
    ages = [float(rng.uniform(0, 240)) for _ in range(5)]
    shown = [easy_image(age, ("female", "male")[i % 2], i) for i, age in enumerate(ages)]
    assert predictions == predictor.predict_images(shown, [key for key, _ in files])


def test_an_unreadable_file_is_an_error_of_its_own_and_the_others_are_answered(
    predictor: Predictor, tmp_path: Path
) -> None:
    examples = easy_examples(tmp_path, 3)
    examples[1].path.write_bytes(b"no image")
    files = [(e.radiograph_id, e.path) for e in examples]

    predictions, errors = predictor.predict_files([*files, ("gone", tmp_path / "absent.png")])

    assert [p.radiograph_id for p in predictions] == [files[0][0], files[2][0]]
    assert set(errors) == {files[1][0], "gone"}
    assert all(isinstance(error, ImageError) for error in errors.values())


def test_limits_hold_for_files(predictor: Predictor, tmp_path: Path) -> None:
    (example,) = easy_examples(tmp_path, 1)

    _, errors = predictor.predict_files([("large", example.path)], limits=ImageLimits(10**6, 100))

    assert list(errors) == ["large"]


def test_progress_is_told_after_each_batch(predictor: Predictor, tmp_path: Path) -> None:
    files = [(e.radiograph_id, e.path) for e in easy_examples(tmp_path, 5)]
    told: list[tuple[int, int]] = []

    predictor.predict_files(
        files, batch_size=2, progress=lambda done, all_: told.append((done, all_))
    )

    assert told == [(2, 5), (4, 5), (5, 5)]


def test_nothing_to_predict_is_no_error(predictor: Predictor) -> None:
    assert predictor.predict_images([], []) == []
    assert predictor.predict_files([]) == ([], {})


def test_images_without_an_id_each_are_refused(predictor: Predictor) -> None:
    with pytest.raises(ValueError, match="2 images, but 1 ids"):
        predictor.predict_images(IMAGES[:2], ["one"])


def test_predicting_leaves_no_gradients_and_no_training_mode(predictor: Predictor) -> None:
    predictor.predict_images(IMAGES[:1], IDS[:1])

    network = predictor.networks[0]
    assert not network.training
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_model_of_another_task_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="not of fracture"):
        Predictor.load(folder, "cpu", spec=FRACTURE)


def test_a_model_of_the_same_task_is_taken(folder: Path) -> None:
    assert Predictor.load(folder, "cpu", spec=BONE_AGE).spec_name == "bone_age"


@pytest.mark.parametrize("release", ["this", "another"])
def test_a_model_whose_films_were_prepared_by_another_release_is_warned_of(
    release: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = preparation_id() if release == "this" else "0" * 16
    card = replace(BARE, preparation_code=code)
    save_model(tmp_path / "model", [Part(bare_network())], card)

    Predictor.load(tmp_path / "model", "cpu")

    assert ("preparation of another release" in caplog.text) == (release == "another")


def test_a_missing_model_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no readable model"):
        Predictor.load(tmp_path)


def test_a_gpu_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(ModelError, match="no GPU cuda:63"):
        Predictor.load(folder, "cuda:63")


def test_weights_that_give_no_number_make_no_prediction(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = bare_network()
    with torch.no_grad():
        network.heads[0][1].weight.fill_(float("nan"))  # type: ignore[index]
    save_model(tmp_path / "model", [Part(network)], BARE)

    with pytest.raises(ModelError, match="not finite"):
        Predictor.load(tmp_path / "model", "cpu").predict_images(IMAGES[:1], IDS[:1])


def test_every_image_size_of_a_film_is_taken(predictor: Predictor) -> None:
    rng = np.random.default_rng(0)
    sizes = [(20, 90), (90, 20), (64, 64), (1, 1)]
    images = [rng.integers(0, 255, size).astype(np.uint8) for size in sizes]

    predictions: list[Prediction] = predictor.predict_images(images, IDS[:4])

    assert len(predictions) == 4
    assert replace(predictions[0], radiograph_id="") != replace(predictions[1], radiograph_id="")


@pytest.fixture(scope="module")
def mask_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was trained with hand masks."""
    torch.manual_seed(0)
    options = replace(QUICK, crop="mask", background="remove")
    member = replace(BARE.members[0], options=options, preparation=preparation_of(options))
    card = replace(BARE, options=options, members=(member,))
    folder = tmp_path_factory.mktemp("masked") / "model"
    save_model(folder, [Part(bare_network(card))], card)
    return folder


@pytest.fixture
def masks(tmp_path: Path) -> MaskStore:
    """Masks for the first two images, under ids like those of real radiographs."""
    store = MaskStore(tmp_path / "masks")
    for i in range(2):
        mask = np.zeros((48, 48), bool)
        mask[5 : 30 + i, 10:40] = True
        store.add(f"{i:064x}", mask)
    return store


def test_a_model_of_masks_sees_what_training_saw(mask_model: Path, masks: MaskStore) -> None:
    predictor = Predictor.load(mask_model, "cpu", find_mask=masks.find)
    hand = masks.find(f"{0:064x}")
    assert hand is not None

    (prediction,) = predictor.predict_images(IMAGES[:1], [f"{0:064x}"])

    square = prepare(IMAGES[0], predictor.card.members[0].preparation, read_mask(hand))
    (expected,) = predictor.predict_prepared([(square,)], [f"{0:064x}"])
    assert prediction == expected


def test_a_film_without_a_mask_gets_an_error_and_the_others_an_answer(
    mask_model: Path, masks: MaskStore, tmp_path: Path
) -> None:
    predictor = Predictor.load(mask_model, "cpu", find_mask=masks.find)
    files = []
    for i in range(3):
        path = tmp_path / f"{i}.png"
        path.write_bytes(encode_png(IMAGES[i]))
        files.append((f"{i:064x}", path))

    predictions, errors = predictor.predict_files(files)

    assert [p.radiograph_id for p in predictions] == [key for key, _ in files[:2]]
    assert list(errors) == [files[2][0]]
    assert "no hand mask" in str(errors[files[2][0]])
    assert predictions == predictor.predict_images(IMAGES[:2], [key for key, _ in files[:2]])


@pytest.mark.parametrize("ids", [["unknown"], [f"{2:064x}"]], ids=["upload", "no mask"])
def test_an_image_without_a_mask_is_refused_and_not_predicted_whole(
    mask_model: Path, masks: MaskStore, ids: list[str]
) -> None:
    with pytest.raises(ImageError, match="no hand mask"):
        Predictor.load(mask_model, "cpu", find_mask=masks.find).predict_images(IMAGES[:1], ids)
    with pytest.raises(ImageError, match="no hand mask"):
        Predictor.load(mask_model, "cpu").predict_images(IMAGES[:1], ids)


def test_a_mask_that_has_become_unreadable_is_an_error(mask_model: Path, masks: MaskStore) -> None:
    found = masks.find(f"{0:064x}")
    assert found is not None
    found.write_bytes(b"no mask")

    with pytest.raises(ImageError, match="not an image"):
        Predictor.load(mask_model, "cpu", find_mask=masks.find).predict_images(
            IMAGES[:1], [f"{0:064x}"]
        )
