"""A commit of a dataset version is killed, and the next one finds everything in order."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from data.errors import VersionError
from data.writer_lock import writer_lock
from tests.service.dataset_workspace import (
    ROOT,
    assert_sound,
    commit,
    dvc,
    open_repository,
    propose,
    shell,
    some_labels,
)
from tests.support import eventually

pytestmark = pytest.mark.service

COMMIT = """
import os, signal, sys, threading
from pathlib import Path
from tests.service.dataset_workspace import commit_or_propose, open_repository, some_labels

home, count, fatal = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
labels = some_labels(home, count)
repository = open_repository(home, remote=home / "remote", **eval(sys.argv[4]))
lines = 0

WATCHED = {
    ("versions/commit.py", "commit"),
    ("versions/commit.py", "_images_on_their_way"),
    ("versions/commit.py", "_stored"),
    ("versions/commit.py", "finish"),
    ("versions/commit.py", "_keep"),
    ("versions/tally_file.py", "write_tally"),
    ("versions/commit.py", "_publish"),
    ("versions/proposals.py", "propose"),
    ("versions/attempt.py", "attempt"),
    ("versions/attempt.py", "recover"),
    ("versions/remote.py", "push"),
    ("versions/remote.py", "push_proposal"),
    ("versions/remote.py", "fast_forward"),
    ("versions/acceptance.py", "settle"),
    ("versions/acceptance.py", "_close"),
    ("versions/acceptance.py", "_link_images"),
    ("versions/dvc_calls.py", "dvc_at_work"),
    ("versions/shards.py", "make_shard"),
    ("versions/shards.py", "link_images"),
}

def follow(frame, event, argument):
    global lines
    if event == "line":
        lines += 1
        if lines == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
    return follow

def watch(frame, event, argument):
    file = Path(frame.f_code.co_filename)
    place = (f"{file.parent.name}/{file.name}", frame.f_code.co_name)
    return follow if place in WATCHED else None

if fatal:
    threading.settrace(watch)
    sys.settrace(watch)
print(commit_or_propose(repository, labels).name, lines)
"""


@pytest.fixture(scope="module")
def first_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one version of three labels, and two more films; tests copy it."""
    home = tmp_path_factory.mktemp("first") / "home"
    commit(open_repository(home, remote=home / "remote"), some_labels(home, 3))
    some_labels(home, 5)
    return home


def start_commit(home: Path, fatal_line: int = 0, **options: object) -> subprocess.Popen[str]:
    """Commits five labels in a process group of its own, which kills itself at a line."""
    return subprocess.Popen(
        [sys.executable, "-c", COMMIT, str(home), "5", str(fatal_line), repr(options)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


def assert_next_commit_makes_version_two(home: Path) -> None:
    """Whether the killed one had been in time or not, there is one second version in the end."""
    repository = open_repository(home, remote=home / "remote")
    before = repository.versions()
    assert before in (["v0001"], ["v0001", "v0002"])
    assert len(repository.rows("v0001")) == 3

    assert commit(repository, some_labels(home, 5)).name == "v0002"

    assert repository.versions() == ["v0001", "v0002"]
    assert len(repository.rows("v0002")) == 5
    assert_sound(repository)


def test_a_kill_at_any_line_leaves_the_last_version_intact(
    first_version: Path, tmp_path: Path
) -> None:
    # Given how many lines there are from the note to the tag and beyond
    whole = shutil.copytree(first_version, tmp_path / "whole")
    name, lines = (start_commit(whole, fatal_line=10**6).communicate()[0]).split()
    assert name == "v0002"
    assert int(lines) > 30

    # When each of them is the last one
    for line in range(1, int(lines) + 1, 5):
        home = shutil.copytree(first_version, tmp_path / f"line{line}")
        killed = start_commit(home, line)
        killed.communicate()
        assert killed.returncode == -signal.SIGKILL

        # Then the next commit finishes it or starts over
        assert_next_commit_makes_version_two(home)
        shutil.rmtree(home)


def test_a_kill_at_any_line_leaves_no_half_a_proposal(first_version: Path, tmp_path: Path) -> None:
    whole = shutil.copytree(first_version, tmp_path / "whole")
    options = {"review": True}
    name, lines = (start_commit(whole, 10**6, **options).communicate()[0]).split()
    assert name == "v0002"

    for line in range(1, int(lines) + 1, 7):
        home = shutil.copytree(first_version, tmp_path / f"line{line}")
        killed = start_commit(home, line, **options)
        killed.communicate()
        assert killed.returncode == -signal.SIGKILL

        repository = open_repository(home, remote=home / "remote", **options)
        assert propose(repository, some_labels(home, 5)).name == "v0002"
        assert repository.versions() == ["v0001"]
        assert_sound(repository)
        shell(repository.root, "git", "merge", "-q", "--ff-only", "proposals/v0002")
        assert [version.labels for version in repository.accept_merged()] == [5]
        assert_sound(repository)
        shutil.rmtree(home)


def test_a_kill_while_a_proposal_is_accepted_loses_nothing(
    first_version: Path, tmp_path: Path
) -> None:
    # Given a proposal that was merged at the git remote
    base = shutil.copytree(first_version, tmp_path / "base")
    options = {"review": True, "git_remote": str(base / "hub.git")}
    shell(base, "git", "init", "--quiet", "--bare", "--initial-branch=main", "hub.git")
    repository = open_repository(base, remote=base / "remote", **options)
    propose(repository, some_labels(base, 5))
    assert repository.push() == ""
    shell(base / "hub.git", "git", "branch", "-qf", "main", "proposals/v0002")

    # When the process that finds it is killed at any line
    whole = shutil.copytree(base, tmp_path / "whole")
    name, lines = start_commit(whole, 10**6, **options).communicate()[0].split()
    assert name == "v0002"
    assert int(lines) > 30
    for line in range(1, int(lines) + 1, 6):
        home = shutil.copytree(base, tmp_path / f"line{line}")
        killed = start_commit(home, line, **options)
        killed.communicate()
        assert killed.returncode == -signal.SIGKILL

        # Then the next one makes the version, and has all of it
        after = open_repository(home, remote=home / "remote", **options)
        after.accept_merged()
        assert after.versions() == ["v0001", "v0002"]
        assert len(after.rows("v0002")) == 5
        assert_sound(after)
        assert "up to date" in dvc(after.root, "status")
        shutil.rmtree(home)


def test_a_kill_of_everything_at_any_time_leaves_the_last_version_intact(
    first_version: Path, tmp_path: Path
) -> None:
    moments = random.Random(7)
    for number in range(8):
        home = shutil.copytree(first_version, tmp_path / f"time{number}")
        started = start_commit(home)
        note = home / "dataset" / ".git" / "carpal-attempt.json"
        assert eventually(lambda note=note: note.exists())
        with suppress(subprocess.TimeoutExpired):
            started.wait(timeout=moments.uniform(0, 0.6))
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.communicate()

        assert_next_commit_makes_version_two(home)


def test_the_next_writer_waits_for_the_children_of_a_killed_one(
    first_version: Path, tmp_path: Path
) -> None:
    # Given a writer that was killed while its DVC process was at work
    home = shutil.copytree(first_version, tmp_path / "home")
    writer = start_commit(home)
    parent = psutil.Process(writer.pid)
    assert eventually(lambda: bool(dvc_children(parent)))
    (child,) = dvc_children(parent)
    child.suspend()
    writer.kill()
    writer.communicate()

    # Then nobody else gets the lock before it has ended
    with pytest.raises(VersionError), writer_lock(home / "dataset.lock", wait_s=0.3):
        pass
    child.resume()
    assert_next_commit_makes_version_two(home)
    assert "up to date" in dvc(home / "dataset", "status")


def dvc_children(parent: psutil.Process) -> list[psutil.Process]:
    return [child for child in parent.children() if is_dvc(child)]


def is_dvc(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):  # Processes of git come and go.
        return any("dvc_shards" in part for part in process.cmdline())
    return False


def test_what_an_interrupted_attempt_left_is_no_dirt(first_version: Path, tmp_path: Path) -> None:
    home = shutil.copytree(first_version, tmp_path / "home")
    start_commit(home, fatal_line=25).communicate()
    repository = open_repository(home)

    assert (home / "dataset" / ".git" / "carpal-attempt.json").exists()
    assert repository.dirty() == ""


def test_a_repair_that_is_killed_itself_is_repaired(first_version: Path, tmp_path: Path) -> None:
    home = shutil.copytree(first_version, tmp_path / "home")
    start_commit(home, fatal_line=30).communicate()
    for line in range(1, 12, 3):
        start_commit(home, line).communicate()

    assert_next_commit_makes_version_two(home)


def test_locks_of_references_that_a_power_cut_left_are_no_hindrance(
    first_version: Path, tmp_path: Path
) -> None:
    # Given locks that no command has held for so long, and no note of an attempt
    home = shutil.copytree(first_version, tmp_path / "home")
    locks = [home / "dataset" / ".git" / name for name in ("config.lock", "refs/tags/v0002.lock")]
    for lock in locks:
        lock.touch()
        os.utime(lock, (0, 0))

    # Then
    assert_next_commit_makes_version_two(home)
    assert not any(lock.exists() for lock in locks)


@pytest.mark.parametrize("name", ["index.lock", "refs/tags/v0002.lock"], ids=["index", "young"])
def test_a_lock_that_a_person_may_hold_is_left_alone(
    first_version: Path, tmp_path: Path, name: str
) -> None:
    home = shutil.copytree(first_version, tmp_path / "home")
    lock = home / "dataset" / ".git" / name
    lock.touch()
    if name == "index.lock":
        os.utime(lock, (0, 0))

    with suppress(VersionError):
        open_repository(home).push()

    assert lock.exists()


def test_a_commit_that_a_person_made_on_an_interrupted_version_is_kept_under_a_name(
    tmp_path: Path,
) -> None:
    repository = open_repository(tmp_path)
    commit(repository, some_labels(tmp_path, 4))
    base = shell(repository.root, "git", "rev-parse", "HEAD").strip()
    note = repository.root / ".git" / "carpal-attempt.json"
    note.write_text(json.dumps({"number": 2, "base": base}))
    (repository.root / "NOTES.md").write_text("by hand")
    shell(repository.root, "git", "add", "NOTES.md")
    shell(
        repository.root,
        "git",
        "-c",
        "user.name=Ada",
        "-c",
        "user.email=ada@example.org",
        "commit",
        "-qm",
        "A note",
    )
    theirs = shell(repository.root, "git", "rev-parse", "HEAD").strip()

    commit(repository, some_labels(tmp_path, 6))

    assert shell(repository.root, "git", "show", f"refs/carpal/undone/{theirs}:NOTES.md") == (
        "by hand"
    )
    assert repository.versions() == ["v0001", "v0002"]
