from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from data import atomic
from data.atomic import storage_error, write_file
from data.errors import StorageError


def test_a_file_is_replaced_by_the_new_content(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "table.csv"

    write_file(path, b"old")
    write_file(path, b"new")

    assert path.read_bytes() == b"new"
    assert [file.name for file in path.parent.iterdir()] == ["table.csv"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "table.csv"
    write_file(path, b"old")

    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(atomic.os, "fsync", fail)
    with pytest.raises(StorageError):
        write_file(path, b"new")

    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]


def test_a_file_has_the_wanted_permissions(tmp_path: Path) -> None:
    write_file(tmp_path / "a", b"", mode=0o444)

    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ENOSPC, "is full"), (errno.EDQUOT, "is full"), (errno.EACCES, "cannot be written")],
)
def test_the_sentence_says_what_is_wrong(number: int, said: str) -> None:
    error = storage_error(OSError(number, os.strerror(number)), Path("/pool/images/a.png"))

    assert said in str(error)
    assert str(error).endswith(".")
