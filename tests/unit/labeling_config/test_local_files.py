"""An address leads to a file of the pool, or nowhere."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import InvalidInputError
from labeling_config.codec import local_file_of

PREFIX = "/data/local-files/?d="


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    folder = tmp_path / "pool" / "images" / "ab"
    folder.mkdir(parents=True)
    (folder / "x y.png").write_bytes(b"film")
    (tmp_path / "secret.png").write_bytes(b"secret")
    return tmp_path / "pool"


@pytest.mark.parametrize(
    "address",
    [
        "/data/local-files/?d=images/ab/x y.png",
        "/data/local-files/?d=images%2Fab%2Fx%20y.png",
        "/data/local-files?d=images/ab/x+y.png",
        "http://localhost:8080/data/local-files/?d=images/ab/x%20y.png",
        "https://films.example.org/studio/data/local-files/?d=images/ab/x%20y.png",
    ],
)
def test_an_address_leads_to_the_file(pool: Path, address: str) -> None:
    assert local_file_of(address, pool).read_bytes() == b"film"


@pytest.mark.parametrize(
    "address",
    [
        f"{PREFIX}../secret.png",
        f"{PREFIX}images/../../secret.png",
        f"{PREFIX}images/../images/ab/x y.png",
        f"{PREFIX}images/%2e%2e/%2e%2e/secret.png",
        f"{PREFIX}images%2f..%2f..%2fsecret.png",
        f"{PREFIX}..%5csecret.png",
        f"{PREFIX}/etc/passwd",
        f"{PREFIX}%2Fetc%2Fpasswd",
        f"{PREFIX}images/ab/x%00.png",
        f"{PREFIX}C:%5Cfilm.png",
        PREFIX,
        f"{PREFIX}.",
        "/data/local-files/",
        "/data/local-files/?file=images/ab/x.png",
        f"{PREFIX}images/ab/a.png&d=images/ab/b.png",
        "/data/upload/1/x.png",
        "images/ab/x y.png",
        "file:///etc/passwd",
        "http://[::1/data/local-files/?d=x.png",
        "",
    ],
)
def test_an_address_that_leaves_the_pool_is_refused(pool: Path, address: str) -> None:
    with pytest.raises(InvalidInputError):
        local_file_of(address, pool)


def test_a_link_that_leaves_the_pool_is_refused(pool: Path) -> None:
    (pool / "images" / "link.png").symlink_to(pool.parent / "secret.png")
    (pool / "images" / "out").symlink_to(pool.parent)

    for name in ("images/link.png", "images/out/secret.png"):
        with pytest.raises(InvalidInputError):
            local_file_of(PREFIX + name, pool)


def test_a_link_to_itself_leads_nowhere_else(pool: Path) -> None:
    (pool / "images" / "loop").symlink_to(pool / "images" / "loop")

    with suppress(InvalidInputError):  # depends on the version of Python
        assert local_file_of(f"{PREFIX}images/loop/x.png", pool).is_relative_to(pool)


def test_a_pool_behind_a_link_is_the_same_pool(pool: Path) -> None:
    other_name = pool.parent / "link-to-pool"
    other_name.symlink_to(pool)

    assert local_file_of(f"{PREFIX}images/ab/x y.png", other_name).read_bytes() == b"film"


@given(st.text(), st.text())
def test_no_address_leads_out_of_the_pool(path: str, name: str) -> None:
    pool = Path("/nowhere/pool")
    for address in (path, PREFIX + name, f"{path}{PREFIX}{name}"):
        try:
            file = local_file_of(address, pool)
        except InvalidInputError:
            continue
        assert file.is_relative_to(pool.resolve())
