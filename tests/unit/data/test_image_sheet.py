from __future__ import annotations

from pathlib import Path

import numpy as np

from data.images.sheet import UNREADABLE, thumbnail
from tests.unit.data.dataset_cases import encoded


def saved(folder: Path, height: int, width: int) -> Path:
    path = folder / "film.png"
    path.write_bytes(encoded(np.full((height, width), 200, np.uint8)))
    return path


def test_a_film_keeps_its_shape_in_a_black_square(tmp_path: Path) -> None:
    tile = thumbnail(saved(tmp_path, 200, 100), 40)

    assert tile.shape == (40, 40)
    assert np.all(tile[:, 10:30] == 200)
    assert not tile[:, :10].any()
    assert not tile[:, 30:].any()


def test_a_small_film_is_enlarged(tmp_path: Path) -> None:
    assert np.all(thumbnail(saved(tmp_path, 4, 4), 40) == 200)


def test_a_film_that_is_missing_or_unreadable_is_a_grey_tile(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")

    for path in (None, tmp_path / "gone.png", broken):
        assert np.all(thumbnail(path, 40) == UNREADABLE)
