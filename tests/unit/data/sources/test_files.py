from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from data.errors import InvalidInputError, NotFoundError
from data.sources.files import FoundFile, files_below, printable
from tests.unit.data.sources.layouts import write_image, write_images


def found(folder: Path, **options: object) -> list[str]:
    return [file.name for file in files_below(folder, **options) if not file.problem]  # type: ignore[arg-type]


def problems(folder: Path) -> dict[str, str]:
    return {file.name: file.problem for file in files_below(folder) if file.problem}


def only(folder: Path) -> FoundFile:
    (file,) = files_below(folder)
    return file


def test_images_are_found_at_any_depth_in_order_and_hidden_ones_are_left_out(
    tmp_path: Path,
) -> None:
    write_images(tmp_path, "b.png", "deep/er/a.PNG", "c.jpeg", ".hidden.png", ".x/d.png", "a/z.tif")
    (tmp_path / "notes.txt").write_text("no image")

    assert found(tmp_path) == ["b.png", "c.jpeg", "a/z.tif", "deep/er/a.PNG"]


def test_other_suffixes_and_all_files_can_be_asked_for(tmp_path: Path) -> None:
    write_images(tmp_path, "b.png", "noname")

    assert found(tmp_path, suffixes={".csv"}) == []
    assert found(tmp_path, suffixes=None) == ["b.png", "noname"]


def test_the_stamp_tells_a_file_that_was_written_again_and_another_of_the_same_name(
    tmp_path: Path,
) -> None:
    path = write_image(tmp_path / "a" / "1.png")
    other = write_image(tmp_path / "b" / "1.png")
    os.utime(path, ns=(1, 1))
    os.utime(other, ns=(1, 1))
    before = only(path.parent).stamp

    assert only(path.parent).stamp == before
    assert only(other.parent).stamp != before
    os.utime(path, ns=(2, 2))
    assert only(path.parent).stamp != before


def test_a_link_inside_the_folder_is_the_file_that_it_points_to(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("a.png")

    by_name = {file.name: file for file in files_below(tmp_path)}

    assert by_name["b.png"].path == path.resolve()
    assert by_name["b.png"].stamp == by_name["a.png"].stamp


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    write_image(tmp_path / "real" / "a.png")
    (tmp_path / "link").symlink_to("real")

    assert found(tmp_path / "link") == ["a.png"]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("../outside.png", "leaves the folder"),
        ("/etc/hostname", "leaves the folder"),
        ("none.png", "leads nowhere"),
        ("link.png", "leads nowhere"),
        ("..", "leaves the folder"),
        (".", "link to a folder"),
    ],
    ids=["up", "absolute", "broken", "to itself", "folder above", "folder inside"],
)
def test_a_link_that_is_no_file_inside_is_refused_by_name(
    tmp_path: Path, target: str, reason: str
) -> None:
    write_image(tmp_path / "outside.png")
    write_images(tmp_path / "in", "a.png")
    (tmp_path / "in" / "link.png").symlink_to(target)

    assert found(tmp_path / "in") == ["a.png"]
    assert reason in problems(tmp_path / "in")["link.png"]


def test_a_link_to_a_folder_is_named_and_not_followed(tmp_path: Path) -> None:
    write_images(tmp_path / "in", "a.png", "sub/b.png")
    (tmp_path / "in" / "sub" / "up").symlink_to("..")

    assert found(tmp_path / "in") == ["a.png", "sub/b.png"]
    assert list(problems(tmp_path / "in")) == ["sub/up"]


def test_pipes_and_sockets_are_refused_and_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    monkeypatch.chdir(tmp_path)  # Addresses of sockets are short.
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.png")

    assert found(tmp_path) == ["a.png"]
    assert set(problems(tmp_path)) == {"pipe.png", "socket.png"}
    assert "no file" in problems(tmp_path)["pipe.png"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"r\xf6ntgen.png", "r\\xf6ntgen.png"),
        (b"a\nb.png", "a\\nb.png"),
        (b"\x1b[31mred.png", "\\x1b[31mred.png"),
    ],
    ids=["latin-1", "line break", "escape"],
)
def test_a_name_that_cannot_be_printed_is_refused_and_escaped(
    tmp_path: Path, name: bytes, shown: str
) -> None:
    write_image(tmp_path / "röntgen\u202f1.png")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"")

    assert found(tmp_path) == ["röntgen\u202f1.png"]
    assert "no UTF-8" in problems(tmp_path)[shown]
    assert printable(os.fsdecode(name)) == shown


def test_a_folder_whose_name_is_no_utf8_is_refused_as_one(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    write_image(folder / "a.png")

    assert set(problems(tmp_path)) == {"\\xff"}
    with pytest.raises(InvalidInputError, match=r"no UTF-8.*rename"):
        list(files_below(folder))


def test_a_folder_that_fails_is_named_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path, "a.png", "closed/b.png", "open/c.png")
    scan = os.scandir

    def scandir(path: Path) -> os._ScandirIterator[str]:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scan(str(path))

    monkeypatch.setattr(os, "scandir", scandir)

    assert found(tmp_path) == ["a.png", "open/c.png"]
    assert problems(tmp_path) == {"closed": "The folder cannot be read: Permission denied."}
    with pytest.raises(InvalidInputError, match="cannot be read: Permission denied"):
        list(files_below(tmp_path / "closed"))


def test_a_folder_that_may_not_be_looked_at_is_said_to_be_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stat(path: Path, **_: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", stat)

    with pytest.raises(InvalidInputError, match=r"closed cannot be read: Permission denied\.$"):
        list(files_below(tmp_path / "closed"))


def test_a_folder_whose_name_is_too_long_is_said_to_be_unreadable() -> None:
    with pytest.raises(InvalidInputError, match=r"cannot be read: File name too long\.$"):
        list(files_below(Path("a" * 300)))


def test_a_missing_folder_and_a_file_are_said_to_be_none(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png")

    for folder, said in ((tmp_path / "none", "There is no folder"), (path, "is a file: name the")):
        with pytest.raises(NotFoundError, match=said):
            list(files_below(folder))
