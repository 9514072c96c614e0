from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

import pytest

from data import pool as pool_module
from data.errors import ImageError, InvalidInputError, StorageError
from data.images.decoding import ImageLimits, content_id
from data.pool import STALE_DRAFT_S, Pool
from tests.unit.data.dataset_cases import a_film, a_radiograph, encoded

FILM = encoded(a_film(40, 30))


def files_of(pool: Pool) -> list[Path]:
    return [path for path in pool.root.rglob("*") if path.is_file()]


def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(descriptor: int, payload: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pool_module.os, "write", no_space)


def test_an_image_lies_under_the_hash_of_its_content(tmp_path: Path) -> None:
    pool = Pool(tmp_path)

    image = pool.add(FILM)

    key = content_id(FILM)
    assert image.id == key
    assert image.path == f"images/{key[:2]}/{key}.png"
    assert (image.width, image.height) == (30, 40)
    assert image.new
    assert (tmp_path / image.path).read_bytes() == FILM


def test_adding_the_same_image_again_changes_nothing(tmp_path: Path) -> None:
    pool = Pool(tmp_path)
    first = pool.add(FILM)
    before = (tmp_path / first.path).stat()

    again = pool.add(FILM)

    assert not again.new
    assert again.path == first.path
    assert (tmp_path / first.path).stat().st_ino == before.st_ino
    assert len(files_of(pool)) == 1


def test_the_extension_follows_the_content(tmp_path: Path) -> None:
    assert Pool(tmp_path).add(encoded(a_film(), "JPEG")).path.endswith(".jpg")


def test_an_image_is_readable_by_all_and_writable_by_nobody(tmp_path: Path) -> None:
    path = tmp_path / Pool(tmp_path).add(FILM).path

    assert stat.S_IMODE(path.stat().st_mode) == 0o444


def test_an_image_that_a_power_cut_left_short_is_written_again(tmp_path: Path) -> None:
    pool = Pool(tmp_path)
    path = tmp_path / pool.add(FILM).path
    path.chmod(0o644)
    path.write_bytes(FILM[:100])

    pool.add(FILM)

    assert path.read_bytes() == FILM


def test_an_image_of_the_right_length_that_a_power_cut_left_wrong_is_written_again(
    tmp_path: Path,
) -> None:
    pool = Pool(tmp_path)
    path = tmp_path / pool.add(FILM).path
    path.chmod(0o644)
    path.write_bytes(bytes(len(FILM)))

    pool.add(FILM)

    assert path.read_bytes() == FILM


def test_a_staged_image_is_not_in_the_pool_until_it_is_kept(tmp_path: Path) -> None:
    pool = Pool(tmp_path)

    staged = pool.stage(FILM, "png")

    assert not pool.contains(staged.id)
    assert pool.staged_path(staged).read_bytes() == FILM
    pool.keep(staged)
    pool.keep(staged)
    assert pool.find(staged.id) == pool.staged_path(staged) == tmp_path / staged.path


def test_the_same_image_can_be_staged_twice(tmp_path: Path) -> None:
    pool = Pool(tmp_path)
    one, two = pool.stage(FILM, "png"), pool.stage(FILM, "png")

    pool.drop(one)
    pool.keep(two)

    assert files_of(pool) == [tmp_path / two.path]


def test_what_the_pool_holds_is_not_staged(tmp_path: Path) -> None:
    pool = Pool(tmp_path)
    pool.add(FILM)

    assert pool.stage(FILM, "png").draft == ""


def test_drafts_of_killed_processes_are_removed_after_a_day(tmp_path: Path) -> None:
    pool = Pool(tmp_path)
    old, fresh = pool.stage(FILM, "png"), pool.stage(FILM, "png")
    yesterday = time.time() - STALE_DRAFT_S - 1
    os.utime(pool.staged_path(old), (yesterday, yesterday))

    pool.remove_stale_drafts()

    assert files_of(pool) == [pool.staged_path(fresh)]


@pytest.mark.parametrize(
    "payload",
    [b"not an image", FILM[:-200], encoded(a_film(200, 200))],
    ids=["text", "cut off", "too large"],
)
def test_what_cannot_be_decoded_is_refused_and_leaves_nothing(
    tmp_path: Path, payload: bytes
) -> None:
    pool = Pool(tmp_path, ImageLimits(max_bytes=1_000_000, max_pixels=10_000))

    with pytest.raises(ImageError):
        pool.add(payload)

    assert files_of(pool) == []


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool(tmp_path)
    full_disk(monkeypatch)

    with pytest.raises(StorageError, match=r"^The disk that holds .* is full: .*\.$"):
        pool.add(FILM)

    assert files_of(pool) == []


def test_a_pool_that_is_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("not a folder")

    with pytest.raises(StorageError, match="cannot be written"):
        Pool(tmp_path).add(FILM)


def test_an_image_is_found_by_its_hash(tmp_path: Path) -> None:
    pool = Pool(tmp_path)
    image = pool.add(FILM)

    assert pool.contains(image.id)
    assert pool.find(image.id) == tmp_path / image.path
    assert not pool.contains("0" * 64)


@pytest.mark.parametrize("key", ["", "../../etc/passwd", "*" * 64, "A" * 64])
def test_what_is_no_hash_is_not_looked_for(tmp_path: Path, key: str) -> None:
    with pytest.raises(InvalidInputError):
        Pool(tmp_path).find(key)


def test_the_path_of_a_radiograph_is_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    path = Pool(Path("pool")).path(a_radiograph())

    assert path == tmp_path / "pool" / a_radiograph().path
