from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.domain import Radiograph, Split
from data.errors import ImageError, ModelError
from data.images.decoding import ImageLimits, encode_png
from data.phantoms.drawing import draw_hand
from data.pool import Pool
from tests.unit.data.dataset_cases import NOON
from tests.unit.trainer.small_models import save_random_model
from trainer.predictor import Predictor
from workers.explaining_model import ExplainingModel
from workers.film_pictures import THUMBNAIL, FilmPictures


def add(pool: Pool, size: int = 96, age_months: float = 100.0) -> Radiograph:
    image = pool.add(encode_png(draw_hand(age_months, "female", seed=1, size=size)))
    return Radiograph(
        image.id, "0" * 16, Split.TRAIN, "folder", image.path, image.width, image.height, NOON
    )


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return Pool(tmp_path / "pool")


@pytest.fixture
def pictures(pool: Pool, tmp_path: Path) -> FilmPictures:
    return FilmPictures(pool, tmp_path / "cache")


def no_model(model_version: str) -> Predictor:
    raise ModelError("The model is damaged.")


def test_a_thumbnail_is_made_once(pool: Pool, pictures: FilmPictures) -> None:
    film = add(pool, size=THUMBNAIL + 40)
    first = pictures.thumbnail(film)
    pool.path(film).unlink()

    assert pictures.thumbnail(film) == first
    assert max(Image.open(io.BytesIO(first)).size) == THUMBNAIL


def test_a_thumbnail_survives_the_loss_of_the_cache(
    pool: Pool, pictures: FilmPictures, tmp_path: Path
) -> None:
    film = add(pool)
    first = pictures.thumbnail(film)
    for kept in (tmp_path / "cache").rglob("*.png"):
        kept.unlink()

    assert pictures.thumbnail(film) == first


def test_a_missing_film_is_an_error(pool: Pool, pictures: FilmPictures) -> None:
    film = add(pool)
    pool.path(film).unlink()

    with pytest.raises(ImageError, match=r"The file cannot be read: No such file"):
        pictures.png(film)


def test_a_film_with_other_content_is_an_error(pool: Pool, pictures: FilmPictures) -> None:
    film, other = add(pool), add(pool, age_months=180.0)
    pool.path(other).replace(pool.path(film))

    with pytest.raises(ImageError, match="its content has changed"):
        pictures.thumbnail(film)


def test_a_film_beyond_the_limits_is_an_error(tmp_path: Path, pool: Pool) -> None:
    film = add(pool)
    small = FilmPictures(Pool(pool.root, ImageLimits(100, 100)), tmp_path / "cache")

    with pytest.raises(ImageError, match="larger than 100 bytes"):
        small.png(film)


@pytest.mark.long
def test_a_heat_map_lies_over_its_film_and_is_drawn_once_by_each_model(
    tmp_path: Path, pool: Pool, pictures: FilmPictures
) -> None:
    film = add(pool)
    save_random_model(tmp_path / "model")
    predictor = Predictor.load(tmp_path / "model", "cpu")
    version = predictor.model_version

    model = ExplainingModel(lambda model_version: predictor)
    first = pictures.heat_map(model, version, film, "age_months", {"sex": "female"})
    again = pictures.heat_map(
        ExplainingModel(no_model), version, film, "age_months", {"sex": "female"}
    )

    assert again == first
    drawn = np.asarray(Image.open(io.BytesIO(first)))
    assert drawn.shape == (film.height, film.width, 4)
    assert drawn[..., 3].max() > 100
    with pytest.raises(ModelError, match="damaged"):
        pictures.heat_map(ExplainingModel(no_model), version, film, "age_months", {"sex": "male"})
