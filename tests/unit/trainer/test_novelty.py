from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data.domain import Example, Split
from data.images.decoding import read_grey
from data.sources.rsna import read_rsna
from tests.unit.trainer.cases import BONE_AGE, QUICK, easy_image
from trainer.answers.novelty import Cloud, Familiar, fit_familiar, looks, usual_distance
from trainer.predictor import Predictor
from trainer.train import train

pytestmark = pytest.mark.long

Films = NDArray[np.uint8]


def features_of(films: Films) -> NDArray[np.float32]:
    """What stands in for a network that tells how bright the halves of a film are."""
    halves = films.reshape(len(films), 2, 24, 48).mean((2, 3)) / 255
    return np.concatenate([halves, halves**2], 1).astype(np.float32)


def films(count: int, first_seed: int) -> Films:
    rng = np.random.default_rng(first_seed)
    ages = rng.uniform(60, 180, count)
    return np.stack([easy_image(age, "female", first_seed + i) for i, age in enumerate(ages)])


LEARNT = films(200, 0)
CALIBRATION = films(100, 1000)
HELD_OUT = films(200, 2000)


@pytest.fixture(scope="module")
def familiar() -> Familiar:
    fitted = fit_familiar(features_of(LEARNT), LEARNT)
    assert fitted is not None
    return fitted


def novelty(familiar: Familiar, shown: Films) -> NDArray[np.float64]:
    usual = usual_distance(familiar.distances(features_of(CALIBRATION), CALIBRATION))
    assert usual is not None
    return familiar.distances(features_of(shown), shown) / usual


def test_a_distance_is_that_of_mahalanobis_per_root_of_a_dimension() -> None:
    # One axis with standard deviation 2, every other direction with 0.5.
    cloud = Cloud(
        np.asarray([1, 1], np.float32),
        np.asarray([[1, 0]], np.float32),
        np.asarray([2], np.float32),
        np.asarray([0.5], np.float32),
    )

    distances = cloud.distances(np.asarray([[1, 1], [5, 1], [1, 2], [5, 2]], np.float32))

    # Squares: 0; (4 / 2)^2; (1 / 0.5)^2; both; each divided by 2 dimensions.
    np.testing.assert_allclose(distances, [0, 2**0.5, 2**0.5, 2])


def test_films_like_those_learnt_are_familiar(familiar: Familiar) -> None:
    assert (novelty(familiar, HELD_OUT) > 1).mean() <= 0.05


@pytest.mark.parametrize(
    "strange",
    [
        np.maximum(HELD_OUT[:20], np.roll(HELD_OUT[:20], 14, axis=2)),
        HELD_OUT[:20, ::-1],
        255 - HELD_OUT[:20],
        np.zeros((1, 48, 48), np.uint8),
        np.full((1, 48, 48), 255, np.uint8),
        np.random.default_rng(0).integers(0, 256, (20, 48, 48), np.uint8),
    ],
    ids=["two discs", "upside down", "inverted", "black", "white", "noise"],
)
def test_other_films_are_not(familiar: Familiar, strange: Films) -> None:
    assert (novelty(familiar, strange) > 1).all()


def test_a_mirrored_film_is_familiar_where_either_hand_was_learnt() -> None:
    leaning = np.stack([np.roll(film, -12, axis=1) for film in LEARNT])
    mirrored = leaning[:, :, ::-1]

    one = fit_familiar(features_of(leaning), leaning)
    either = fit_familiar(features_of(leaning), leaning, either_hand=True)

    assert one is not None and either is not None
    features = features_of(mirrored)
    assert one.distances(features, mirrored).min() > 1
    assert np.median(either.distances(features, mirrored)) < 1


def test_a_film_is_as_far_alone_as_among_others(familiar: Familiar) -> None:
    together = novelty(familiar, HELD_OUT)

    alone = [novelty(familiar, HELD_OUT[i : i + 1])[0] for i in range(5)]

    np.testing.assert_allclose(alone, together[:5], rtol=1e-5)


def test_what_is_kept_beside_the_weights_gives_the_same_distances(familiar: Familiar) -> None:
    again = Familiar.from_arrays(familiar.to_arrays())

    np.testing.assert_array_equal(novelty(again, HELD_OUT), novelty(familiar, HELD_OUT))


def test_a_coarse_picture_is_the_mean_of_its_cells_and_texture_their_spread() -> None:
    film = np.zeros((1, 24, 24), np.uint8)
    film[0, 0, 0] = 255  # One pixel of 4 in the first small cell, of 16 in the first large one.

    picture, texture = looks(film)

    assert picture.shape == (1, 144) and texture.shape == (1, 36)
    assert picture[0, 0] == pytest.approx(1 / 4) and not picture[0, 1:].any()
    spread = (1 / 16 - 1 / 256) ** 0.5
    assert texture[0, 0] == pytest.approx(np.log(spread + 0.005))
    assert texture[0, 1:] == pytest.approx(np.log(0.005))


def test_too_few_films_or_films_all_alike_make_nothing_familiar() -> None:
    assert fit_familiar(features_of(LEARNT[:19]), LEARNT[:19]) is None
    same = np.repeat(LEARNT[:1], 30, axis=0)
    assert fit_familiar(features_of(same), same) is None


def test_the_usual_distance_is_that_which_99_of_100_films_keep() -> None:
    assert usual_distance(np.arange(101.0)) == 99.0
    assert usual_distance(np.arange(19.0)) is None
    assert usual_distance(np.zeros(50)) is None


@pytest.mark.real_data
def test_a_model_of_hands_tells_what_is_no_hand(real_data: Path, tmp_path: Path) -> None:
    """A few seconds of training; docs/predict.md has the figures of a whole one."""
    count = 360
    items = list(itertools.islice(read_rsna(real_data / "rsna", limit=count, seed=1), count))
    splits = [Split.TRAIN] * 200 + [Split.CALIBRATION] * 80 + [Split.TEST] * 80
    examples = [
        Example(item.name, item.path, item.values, split)
        for item, split in zip(items, splits, strict=True)
        if item.path is not None
    ]
    options = replace(QUICK, backbone="test_resnet", image_size=96, crop="field", epochs=2)
    model = train(BONE_AGE, examples, options, tmp_path / "model", dataset_version="v0001")
    predictor = Predictor.load(model.folder, "cpu")

    def novelties(shown: list[Films]) -> NDArray[np.float64]:
        answers = predictor.predict_images(shown, [""] * len(shown))
        return np.asarray([answer.novelty for answer in answers], np.float64)

    hands = [read_grey(e.path) for e in examples if e.split is Split.TEST]
    chests = sorted((real_data / "chest_xray").rglob("*.jpeg"))[:40]
    chests = chests or sorted((real_data / "chest_xray").rglob("*.jpg"))[:40]
    both = [
        np.concatenate([a[: min(len(a), len(b))], b[: min(len(a), len(b))]], axis=1)
        for a, b in itertools.pairwise(hands[:21])
    ]
    rng = np.random.default_rng(0)
    assert (novelties(hands) > 1).mean() <= 0.1
    assert (novelties([read_grey(path) for path in chests]) > 1).mean() >= 0.8
    assert np.median(novelties(both)) > np.quantile(novelties(hands), 0.95)
    assert novelties([np.zeros((300, 240), np.uint8)]) > 1
    assert novelties([rng.integers(0, 256, (300, 240), np.uint8)]) > 1
