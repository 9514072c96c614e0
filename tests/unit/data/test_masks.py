from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.errors import ImageError, InvalidInputError, StorageError
from data.masks import Kept, MaskStore, mask_hash, read_mask

ONE, OTHER = "1" * 64, "2" * 64


@pytest.fixture
def store(tmp_path: Path) -> MaskStore:
    return MaskStore(tmp_path / "masks")


def a_mask(side: int = 20) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    mask = np.zeros((50, 40), bool)
    mask[10 : 10 + side, 5 : 5 + side] = True
    return mask


def test_a_mask_is_read_as_it_was_kept(store: MaskStore) -> None:
    assert store.add(ONE, a_mask()) is Kept.NEW

    path = store.find(ONE)
    assert path is not None
    assert np.array_equal(read_mask(path), a_mask())


def test_a_radiograph_without_a_mask_has_none(store: MaskStore) -> None:
    store.add(ONE, a_mask())

    assert store.find(OTHER) is None
    assert store.find("../../etc/passwd") is None


def test_the_same_mask_again_changes_nothing(store: MaskStore) -> None:
    store.add(ONE, a_mask())
    path = store.find(ONE)
    assert path is not None
    before = path.stat().st_mtime_ns

    assert store.add(ONE, a_mask()) is Kept.SAME
    assert path.stat().st_mtime_ns == before


def test_another_mask_replaces_it_and_has_another_hash(store: MaskStore) -> None:
    store.add(ONE, a_mask())
    path = store.find(ONE)
    assert path is not None
    before = mask_hash(path)

    assert store.add(ONE, a_mask(30)) is Kept.REPLACED
    assert mask_hash(path) != before


def test_masks_are_kept_for_radiographs_alone(store: MaskStore) -> None:
    with pytest.raises(InvalidInputError, match="not the hash of an image"):
        store.add("../../elsewhere", a_mask())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "masks").write_text("a file")

    with pytest.raises(StorageError, match="masks"):
        MaskStore(tmp_path / "masks").add(ONE, a_mask())


def test_a_mask_that_is_gone_or_damaged_is_an_error(store: MaskStore, tmp_path: Path) -> None:
    store.add(ONE, a_mask())
    path = store.find(ONE)
    assert path is not None
    path.write_bytes(b"no mask")

    with pytest.raises(ImageError, match="not an image"):
        read_mask(path)
    with pytest.raises(ImageError, match="cannot be read"):
        mask_hash(tmp_path / "gone.png")
