from __future__ import annotations

import os
from pathlib import Path

import pytest

from carpal import processes
from carpal.processes import START_LINE
from data.errors import StackError, StorageError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("first\nlast\n", "last", id="the last line"),
        pytest.param("last\n\n  \n", "last", id="not an empty one"),
        pytest.param(f"before\n{START_LINE} now\n", "", id="nothing from before the last start"),
        pytest.param("", "", id="nothing at all"),
        pytest.param("x" * 9000 + "\nlast", "last", id="the end of a long log"),
    ],
)
def test_the_last_words_of_a_service_are(tmp_path: Path, text: str, said: str) -> None:
    log = tmp_path / "one.log"
    log.write_text(text)
    assert processes.last_words(log) == said


def test_a_service_without_a_log_has_no_last_words(tmp_path: Path) -> None:
    assert processes.last_words(tmp_path / "none.log") == ""


def test_a_small_log_stays_where_it_is(tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    log.write_text("small")
    processes.rotate(log)
    assert log.read_text() == "small"


def test_the_record_tells_the_services_that_still_live(tmp_path: Path) -> None:
    born = processes.birth(os.getpid())
    assert born is not None
    processes.write_record(tmp_path, {"alive": (os.getpid(), born), "older": (os.getpid(), 1.0)})
    assert processes.read_record(tmp_path) == {"alive": os.getpid()}


@pytest.mark.parametrize("text", ["", "{"], ids=["empty", "cut off"])
def test_a_damaged_record_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / processes.RECORD).write_text(text)
    assert processes.read_record(tmp_path) == {}


def test_a_workspace_belongs_to_one_stack_at_a_time(tmp_path: Path) -> None:
    with (
        processes.only_stack(tmp_path),
        pytest.raises(StackError, match="already runs"),
        processes.only_stack(tmp_path),
    ):
        pass
    with processes.only_stack(tmp_path):
        pass


def test_this_process_and_its_parents_are_never_members_of_a_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    born = processes.birth(os.getppid())
    assert born is not None
    processes.write_record(tmp_path, {"one": (os.getppid(), born)})
    assert processes.members(tmp_path) == []


def test_a_workspace_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StorageError, match=r"file/stack\.lock cannot be written"),
        processes.only_stack(tmp_path / "file"),
    ):
        pass


def test_a_lock_that_takes_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / processes.LOCK).symlink_to("/dev/full")
    with (
        pytest.raises(StorageError, match=r"stack\.lock cannot be written"),
        processes.only_stack(tmp_path),
    ):
        pass
