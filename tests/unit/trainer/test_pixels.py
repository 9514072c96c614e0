from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data.images.decoding import ImageLimits, encode_png, read_grey
from data.images.preparation import Preparation, prepare
from data.masks import read_mask
from tests.unit.trainer.cases import easy_examples
from trainer.inputs import pixels
from trainer.inputs.pixels import KEPT_STORES, Film, PixelStore

PLAIN = Preparation(32)
MASKED = Preparation(32, "mask")


@pytest.fixture
def films(tmp_path: Path) -> list[Film]:
    folder = tmp_path / "images"
    folder.mkdir()
    return [Film(e.radiograph_id, e.path) for e in easy_examples(folder, 5)]


@pytest.fixture
def masked(films: list[Film], tmp_path: Path) -> list[Film]:
    """The same films with a mask each."""
    return [
        Film(f.id, f.path, write_mask(tmp_path / f"{f.id}.png", 10 + 2 * i))
        for i, f in enumerate(films)
    ]


@pytest.fixture
def store(tmp_path: Path) -> PixelStore:
    return PixelStore(tmp_path / "cache", PLAIN, workers=2)


def write_mask(path: Path, side: int) -> Path:
    mask = np.zeros((48, 48), np.uint8)
    mask[8 : 8 + side, 12 : 12 + side] = 255
    path.write_bytes(encode_png(mask))
    return path


def prepared(film: Film, preparation: Preparation = PLAIN) -> NDArray[np.uint8]:
    mask = None if film.mask is None else read_mask(film.mask)
    return prepare(read_grey(film.path), preparation, mask)


def holds(store: PixelStore, films: list[Film]) -> bool:
    """Says whether a store gives the square of every film."""
    squares, rows, refused = store.load(films)
    assert refused == {}
    return all(
        np.array_equal(squares[row], prepared(film, store.preparation))
        for film, row in zip(films, rows, strict=True)
    )


@pytest.mark.parametrize(
    "preparation",
    [PLAIN, Preparation(48, "plain"), MASKED, Preparation(32, "hand", background="remove")],
    ids=["field", "plain", "mask", "no background"],
)
def test_the_squares_are_what_serving_prepares(
    tmp_path: Path, masked: list[Film], preparation: Preparation
) -> None:
    assert holds(PixelStore(tmp_path / "cache", preparation), masked)


def test_an_image_is_prepared_once(
    store: PixelStore, films: list[Film], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.load(films[:3])
    again: list[Film] = []
    monkeypatch.setattr(pixels, "prepare_file", lambda film, *_: again.append(film))

    store.load(films[:3])

    assert again == []


def test_new_images_are_added_to_those_that_are_there(store: PixelStore, films: list[Film]) -> None:
    store.load(films[:2])

    assert holds(store, films)
    assert store.load(films)[0].shape == (5, 32, 32)


def test_an_unreadable_image_is_named_and_the_others_are_prepared(
    store: PixelStore, films: list[Film]
) -> None:
    films[1].path.write_bytes(b"no image")

    squares, rows, refused = store.load(films)

    assert list(refused) == [films[1].id]
    assert len(squares) == 4
    assert rows[1] == -1 and (np.delete(rows, 1) >= 0).all()


def test_an_image_over_the_limits_is_named(tmp_path: Path, films: list[Film]) -> None:
    limits = ImageLimits(max_bytes=10**6, max_pixels=100)

    _, rows, refused = PixelStore(tmp_path / "cache", PLAIN, limits=limits).load(films[:1])

    assert list(rows) == [-1]
    assert "pixels" in str(refused[films[0].id])


def test_a_film_without_its_mask_is_named_and_the_others_are_prepared(
    tmp_path: Path, masked: list[Film]
) -> None:
    masked[1] = Film(masked[1].id, masked[1].path)
    masked[2] = Film(masked[2].id, masked[2].path, tmp_path / "gone.png")

    _, rows, refused = PixelStore(tmp_path / "cache", MASKED).load(masked)

    assert set(refused) == {masked[1].id, masked[2].id}
    assert [int(row) for row in rows] == [0, -1, -1, 1, 2]


def test_another_mask_makes_another_square(tmp_path: Path, masked: list[Film]) -> None:
    store = PixelStore(tmp_path / "cache", MASKED)
    store.load(masked)
    write_mask(tmp_path / f"{masked[0].id}.png", 30)

    assert holds(store, masked)


def test_without_need_of_masks_they_are_not_looked_at(
    store: PixelStore, masked: list[Film], tmp_path: Path
) -> None:
    store.load(masked)
    write_mask(tmp_path / f"{masked[0].id}.png", 30)

    assert len(store.load(masked)[0]) == 5


def test_a_tail_that_a_killed_process_left_is_overwritten(
    store: PixelStore, films: list[Film]
) -> None:
    store.load(films[:2])
    with (store.folder / "pixels").open("ab") as file:
        file.write(b"half a square")
    with (store.folder / "ids").open("a") as file:
        file.write(films[2].id[:20])

    assert holds(store, films)


@pytest.mark.parametrize("damage", ["flipped", "cut off", "ids garbled", "pixels gone"])
def test_a_damaged_square_is_prepared_again(
    store: PixelStore, films: list[Film], damage: str
) -> None:
    store.load(films)
    file, ids = store.folder / "pixels", store.folder / "ids"
    content = bytearray(file.read_bytes())
    if damage == "flipped":
        content[2 * 32 * 32 + 7] ^= 1
        file.write_bytes(content)
    elif damage == "cut off":
        file.write_bytes(content[: 3 * 32 * 32 + 5])
    elif damage == "ids garbled":
        ids.write_bytes(b"\xff\x00\n" + ids.read_bytes().split(b"\n", 1)[1])
    else:
        file.unlink()

    assert holds(store, films)
    assert holds(store, films)


def test_every_preparation_has_a_store_of_its_own(tmp_path: Path) -> None:
    preparations = [PLAIN, Preparation(24), MASKED, Preparation(32, "mask", mask_crop=1.2)]

    assert len({PixelStore(tmp_path, p).folder for p in preparations}) == 4


def test_other_code_has_a_store_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = PixelStore(tmp_path, PLAIN).folder
    monkeypatch.setattr(pixels, "preparation_id", lambda: "another")

    assert PixelStore(tmp_path, PLAIN).folder != before


def test_stores_of_other_code_are_removed(
    tmp_path: Path, films: list[Film], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = PixelStore(tmp_path, PLAIN)
    mapped, _, _ = old.load(films)
    before = mapped.copy()
    monkeypatch.setattr(pixels, "preparation_id", lambda: "another")

    new = PixelStore(tmp_path, PLAIN)
    new.load(films)

    assert [path.name for path in tmp_path.glob("pixels-*")] == [new.folder.name]
    # And who still trains on the removed one reads it to the end.
    assert np.array_equal(mapped, before)


def test_a_store_that_a_process_writes_is_not_removed(
    tmp_path: Path, films: list[Film], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = PixelStore(tmp_path, PLAIN)
    old.load(films)
    monkeypatch.setattr(pixels, "preparation_id", lambda: "another")

    with (old.folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        PixelStore(tmp_path, PLAIN).load(films)

        assert (old.folder / "pixels").exists()


def test_only_the_stores_used_last_are_kept(tmp_path: Path, films: list[Film]) -> None:
    stores = [PixelStore(tmp_path, Preparation(size)) for size in range(16, 16 + KEPT_STORES + 2)]

    for number, store in enumerate(stores):
        store.load(films)
        os.utime(store.folder / "lock", (number, number))

    stores[0].load(films)
    assert {path.name for path in tmp_path.glob("pixels-*")} == {
        store.folder.name for store in (stores[0], *stores[-(KEPT_STORES - 1) :])
    }


def test_a_store_that_was_removed_while_it_was_waited_for_is_made_anew(
    store: PixelStore, films: list[Film], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.load(films)
    flock = fcntl.flock
    removed: list[Path] = []

    def removed_meanwhile(file: object, how: int) -> None:
        if not removed:
            shutil.rmtree(store.folder)
            removed.append(store.folder)
        flock(file, how)  # type: ignore[arg-type]

    monkeypatch.setattr(fcntl, "flock", removed_meanwhile)

    assert holds(store, films)
    assert removed


def test_no_images_are_no_error(store: PixelStore) -> None:
    squares, rows, refused = store.load([])

    assert (squares.shape, rows.shape, refused) == ((0, 32, 32), (0,), {})
