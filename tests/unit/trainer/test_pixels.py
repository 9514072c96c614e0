from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.image_preparation import prepare
from data.images import read_grey
from tests.unit.trainer.cases import easy_examples
from trainer import pixels
from trainer.pixels import PixelStore

Files = list[tuple[str, Path]]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    folder = tmp_path / "images"
    folder.mkdir()
    return [(e.radiograph_id, e.path) for e in easy_examples(folder, 5)]


@pytest.fixture
def store(tmp_path: Path) -> PixelStore:
    return PixelStore(tmp_path / "cache", 32, workers=2)


def test_the_squares_are_what_serving_prepares(store: PixelStore, files: Files) -> None:
    squares, rows, refused = store.load(files)

    assert refused == {}
    for (_, path), row in zip(files, rows, strict=True):
        np.testing.assert_array_equal(squares[row], prepare(read_grey(path), 32))


def test_an_image_is_prepared_once(
    store: PixelStore, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.load(files[:3])
    prepared: list[Path] = []
    monkeypatch.setattr(
        pixels, "prepare_file", lambda path, size: prepared.append(path) or np.zeros((size, size))
    )

    store.load(files[:3])

    assert prepared == []


def test_new_images_are_added_to_those_that_are_there(store: PixelStore, files: Files) -> None:
    store.load(files[:2])

    squares, rows, _ = store.load(files)

    assert squares.shape == (5, 32, 32)
    for (_, path), row in zip(files, rows, strict=True):
        np.testing.assert_array_equal(squares[row], prepare(read_grey(path), 32))


def test_an_unreadable_image_is_named_and_the_others_are_prepared(
    store: PixelStore, files: Files
) -> None:
    files[1][1].write_bytes(b"no image")

    squares, rows, refused = store.load(files)

    assert list(refused) == [files[1][0]]
    assert len(squares) == 4
    assert rows[1] == -1 and (np.delete(rows, 1) >= 0).all()


def test_a_tail_that_a_killed_process_left_is_overwritten(store: PixelStore, files: Files) -> None:
    store.load(files[:2])
    with (store.folder / "pixels").open("ab") as file:
        file.write(b"half a square")
    with (store.folder / "ids").open("a") as file:
        file.write(files[2][0][:20])

    squares, rows, _ = store.load(files)

    for (_, path), row in zip(files, rows, strict=True):
        np.testing.assert_array_equal(squares[row], prepare(read_grey(path), 32))


def test_every_size_has_a_store_of_its_own(tmp_path: Path, files: Files) -> None:
    small, large = (PixelStore(tmp_path / "cache", size) for size in (16, 24))

    assert small.load(files)[0].shape == (5, 16, 16)
    assert large.load(files)[0].shape == (5, 24, 24)


def test_another_preprocessing_has_a_store_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = PixelStore(tmp_path, 32).folder
    monkeypatch.setattr(pixels, "preparation_id", lambda: "another")

    assert PixelStore(tmp_path, 32).folder != before


def test_no_images_are_no_error(store: PixelStore) -> None:
    squares, rows, refused = store.load([])

    assert (squares.shape, rows.shape, refused) == ((0, 32, 32), (0,), {})
