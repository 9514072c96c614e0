"""Dataset versions and a git remote: everybody gets them, and nobody loses a commit."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from data.errors import VersionError
from data.images.decoding import content_id
from data.versions.git_calls import Git
from data.versions.repository import DatasetRepository
from tests.service.dataset_workspace import (
    assert_sound,
    commit,
    dvc,
    open_repository,
    shell,
    some_labels,
)

pytestmark = pytest.mark.service

ADA = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")


@pytest.fixture(scope="session")
def shared_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bare git remote and a workspace with one version in both."""
    base = tmp_path_factory.mktemp("shared") / "base"
    base.mkdir()
    shell(base, "git", "init", "--quiet", "--bare", "--initial-branch=main", "hub.git")
    commit(opened(base), some_labels(base / "home", 3))
    return base


@pytest.fixture
def base(shared_version: Path, tmp_path: Path) -> Path:
    """A copy of that folder, which knows its own remote."""
    copy = Path(shutil.copytree(shared_version, tmp_path / "base", symlinks=True))
    url = ("config", "remote.origin.url", str(copy / "hub.git"))
    shell(copy / "home" / "dataset", "git", *url)
    return copy


def opened(base: Path, **options: object) -> DatasetRepository:
    return open_repository(base / "home", **{"git_remote": str(base / "hub.git"), **options})


def refs_at(base: Path) -> dict[str, str]:
    """Reference -> object at the remote."""
    lines = shell(base, "git", "-C", "hub.git", "for-each-ref", "--format=%(refname) %(objectname)")
    return dict(line.split() for line in lines.splitlines())  # type: ignore[misc]


def clone(base: Path, name: str) -> Path:
    shell(base, "git", "clone", "--quiet", "hub.git", name)
    return base / name


def somebody_pushes(base: Path, file: str = "README.md", text: str = "Our hands\n") -> str:
    """Somebody else commits a file and pushes it; returns the commit."""
    theirs = clone(base, "theirs")
    (theirs / file).write_text(text)
    shell(theirs, "git", "add", file)
    shell(theirs, "git", *ADA, "commit", "--quiet", "-m", f"Write {file}")
    shell(theirs, "git", "push", "--quiet")
    return shell(theirs, "git", "rev-parse", "HEAD").strip()


def test_a_version_is_pushed_with_its_branch_and_its_tag(base: Path) -> None:
    repository = opened(base)

    version = commit(repository, some_labels(base / "home", 5))

    refs = refs_at(base)
    assert refs["refs/heads/main"] == version.commit
    assert set(refs) == {"refs/heads/main", "refs/tags/v0001", "refs/tags/v0002"}
    assert repository.unpushed("v0002") == ""
    assert_sound(repository)


def test_who_clones_the_remote_pulls_every_image(base: Path) -> None:
    commit(opened(base, remote=base / "images"), some_labels(base / "home", 5))

    theirs = clone(base, "theirs")
    dvc(theirs, "pull")

    rows = opened(base).rows("v0002")
    assert len(rows) == 5
    assert all(content_id((theirs / row["image"]).read_bytes()) == row["id"] for row in rows)


def test_a_remote_that_is_down_keeps_no_version_from_being_made(base: Path) -> None:
    # Given
    (base / "hub.git").rename(base / "away")
    repository = opened(base)

    # When
    version = commit(repository, some_labels(base / "home", 5))

    # Then it is there, says why it counts as unpushed, and comes with the next push
    assert version.name == "v0002"
    reason = repository.unpushed("v0002")
    assert reason.startswith(f"v0002 is not in the git remote {base / 'hub.git'}: git fetch failed")
    assert repository.unpushed("v0001") == ""
    assert repository.push().startswith("git push failed")
    (base / "away").rename(base / "hub.git")
    assert repository.push() == ""
    assert repository.unpushed("v0002") == ""
    assert refs_at(base)["refs/heads/main"] == version.commit
    assert_sound(repository)


def test_the_next_version_brings_the_one_that_was_not_pushed(base: Path) -> None:
    (base / "hub.git").rename(base / "away")
    commit(opened(base), some_labels(base / "home", 4))
    (base / "away").rename(base / "hub.git")

    commit(opened(base), some_labels(base / "home", 5))

    assert {"refs/tags/v0002", "refs/tags/v0003"} <= set(refs_at(base))


def test_what_others_pushed_is_taken_over_before_the_next_version(base: Path) -> None:
    theirs = somebody_pushes(base)
    repository = opened(base)

    version = commit(repository, some_labels(base / "home", 5))

    parent = shell(repository.root, "git", "rev-parse", f"{version.commit}^").strip()
    assert parent == theirs
    assert (repository.root / "README.md").read_text() == "Our hands\n"
    assert refs_at(base)["refs/heads/main"] == version.commit
    assert_sound(repository)


def test_who_pushed_while_the_remote_was_down_for_us_must_be_united_by_a_person(base: Path) -> None:
    # Given a version that could not be pushed, and somebody who pushed meanwhile
    (base / "hub.git").rename(base / "away")
    commit(opened(base), some_labels(base / "home", 4))
    (base / "away").rename(base / "hub.git")
    somebody_pushes(base)
    repository = opened(base)

    # When, then
    with pytest.raises(VersionError, match=r"different ways: unite them with `git -C .* merge"):
        commit(repository, some_labels(base / "home", 5))
    assert repository.unpushed("v0002") != ""

    # And after what the sentence says, all goes on
    shell(repository.root, "git", *ADA, "merge", "--quiet", "--no-edit", "origin/main")
    assert commit(repository, some_labels(base / "home", 5)).name == "v0003"
    assert {"refs/tags/v0002", "refs/tags/v0003"} <= set(refs_at(base))
    assert_sound(repository)


def test_a_remote_that_refuses_gets_the_reason_told(base: Path) -> None:
    hook = base / "hub.git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho not today >&2\nexit 1\n")
    hook.chmod(0o755)
    repository = opened(base)

    commit(repository, some_labels(base / "home", 5))

    assert "pre-receive hook declined" in repository.unpushed("v0002")
    assert set(refs_at(base)) == {"refs/heads/main", "refs/tags/v0001"}


def test_a_remote_that_never_answers_is_given_up(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an ssh that hangs
    monkeypatch.setattr("data.versions.git_calls.REMOTE_LIMIT_S", 0.3)
    repository = opened(base, git_remote="ssh://nobody@nowhere/hub.git")
    ssh = base / "ssh"
    ssh.write_text("#!/bin/sh\nexec sleep 60\n")
    ssh.chmod(0o755)
    shell(repository.root, "git", "config", "core.sshCommand", str(ssh))

    # When, then
    assert repository.push() == (
        f"git push failed in {repository.root}: it did not answer within 0.3 s."
    )
    assert "did not answer" in repository.unpushed("v0001")


def test_a_remote_that_is_set_later_receives_all_versions(base: Path) -> None:
    repository = opened(base, git_remote=str(base / "second.git"))
    shell(base, "git", "init", "--quiet", "--bare", "second.git")
    assert "v0001 is not in the git remote" in repository.unpushed("v0001")

    assert repository.push() == ""

    assert repository.unpushed("v0001") == ""
    refs = shell(base / "second.git", "git", "for-each-ref", "--format=%(refname)").split()
    assert refs == ["refs/heads/main", "refs/tags/v0001"]


def test_images_of_a_dvc_remote_that_is_set_later_count_as_unpushed_until_they_are_there(
    base: Path,
) -> None:
    repository = opened(base, remote=base / "elsewhere")
    assert "The images of v0001 are not in" in repository.unpushed("v0001")

    assert repository.push() == ""

    assert repository.unpushed("v0001") == ""
    stored = [p for p in (base / "elsewhere").rglob("*") if p.is_file()]
    assert {content_id(path.read_bytes()) for path in stored} >= {
        row["id"] for row in repository.rows("v0001")
    }
    assert repository.dirty() == ""


def test_nothing_is_pushed_where_no_remote_is_set(base: Path) -> None:
    repository = opened(base, git_remote="")

    commit(repository, some_labels(base / "home", 5))

    assert repository.unpushed("v0002") == ""
    assert set(refs_at(base)) == {"refs/heads/main", "refs/tags/v0001"}


def test_a_password_in_the_address_is_never_told(base: Path) -> None:
    repository = opened(base, git_remote="https://carpal:hunter2@127.0.0.1:9/hub.git")

    assert "hunter2" not in repository.unpushed("v0001")
    assert "hunter2" not in repository.push()


# The branch of choice


def test_versions_go_to_the_branch_of_choice(base: Path) -> None:
    repository = opened(base, branch="experiment-7")

    version = commit(repository, some_labels(base / "home", 5))

    assert shell(repository.root, "git", "branch", "--show-current") == "experiment-7\n"
    assert refs_at(base)["refs/heads/experiment-7"] == version.commit
    assert refs_at(base)["refs/heads/main"] == refs_at(base)["refs/heads/main"]


def test_a_new_repository_begins_on_the_branch_of_choice(tmp_path: Path) -> None:
    repository = open_repository(tmp_path, branch="hands")

    commit(repository, some_labels(tmp_path, 1))

    assert shell(repository.root, "git", "branch", "--format=%(refname:short)") == "hands\n"


# Tables that were changed by hand


def test_tables_that_were_changed_on_the_branch_are_taken_back_and_that_is_told(base: Path) -> None:
    # Given somebody who corrects a label in the table and not in Label Studio
    repository = opened(base)
    text = (repository.root / "labels.csv").read_text()
    theirs = somebody_pushes(base, "labels.csv", text.replace(",100,", ",7,", 1))
    assert repository.edited_by_hand() == ""

    # When
    commit(repository, some_labels(base / "home", 4))

    # Then the version is what the ledger says
    message = shell(repository.root, "git", "log", "-1", "--format=%B")
    assert f"Overwrites: {theirs[:7]}" in message
    assert "by Ada" in message
    assert [row["age_months"] for row in repository.rows("v0002")] == ["100"] * 4


def test_somebody_is_told_before_the_next_version_takes_a_change_back(base: Path) -> None:
    repository = opened(base)
    text = (repository.root / "labels.csv").read_text()
    (repository.root / "labels.csv").write_text(text.replace(",100,", ",7,", 1))
    shell(repository.root, "git", *ADA, "commit", "--quiet", "-am", "I know better")

    assert "was changed by hand in commit" in repository.edited_by_hand()
    assert repository.dirty() == ""


def test_a_push_costs_the_same_however_many_versions_the_remote_has(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = opened(base)
    calls: list[str] = []
    start = Git._start

    def counted(git: Git, arguments: tuple[str, ...], *other: Any) -> subprocess.Popen[bytes]:
        calls.append(arguments[0])
        return start(git, arguments, *other)

    monkeypatch.setattr(Git, "_start", counted)
    repository.push()
    of_one_version = len(calls)
    message = shell(repository.root, "git", "tag", "--list", "--format=%(contents)", "v0001")
    for number in range(2, 12):
        tag = ("tag", "-a", "-m", message, f"v{number:04d}")
        shell(repository.root, "git", *ADA, *tag)
    assert repository.push() == ""
    assert "refs/tags/v0011" in refs_at(base)
    calls.clear()

    repository.push()

    assert len(calls) == of_one_version
