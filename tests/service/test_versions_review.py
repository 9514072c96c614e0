"""Review mode: a version counts once a person has merged it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from data.domain import DatasetVersion
from data.images.decoding import content_id
from data.versions.repository import DatasetRepository
from tests.service.dataset_workspace import (
    assert_sound,
    commit,
    dvc,
    open_repository,
    propose,
    shell,
    some_labels,
)
from tests.unit.data.dataset_cases import HEAD, NOON

pytestmark = pytest.mark.service

ADA = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")


@pytest.fixture(scope="session")
def proposed_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with v0001 of three labels and an open proposal of five; tests copy it."""
    home = tmp_path_factory.mktemp("proposed") / "home"
    commit(open_repository(home), some_labels(home, 3))
    propose(open_repository(home, review=True), some_labels(home, 5))
    return home


@pytest.fixture
def home(proposed_version: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(proposed_version, tmp_path / "home", symlinks=True))


@pytest.fixture
def repository(home: Path) -> DatasetRepository:
    return open_repository(home, review=True)


def git(repository: DatasetRepository, *arguments: str) -> str:
    return shell(repository.root, "git", *ADA, *arguments)


def somebody_commits(repository: DatasetRepository, text: str = "Our hands\n") -> None:
    (repository.root / "README.md").write_text(text)
    git(repository, "add", "README.md")
    git(repository, "commit", "-qm", "Say what this is")


# Proposing


def test_a_proposal_is_no_version_and_leaves_the_work_tree_alone(
    repository: DatasetRepository,
) -> None:
    (proposal,) = repository.proposals()

    assert proposal.name == "v0002"
    assert proposal.branch == "proposals/v0002"
    assert proposal.summary == "v0002: +2 labels, 0 corrected, 0 withdrawn"
    assert (proposal.labels, proposal.last_event, proposal.committed_at) == (5, HEAD[0], NOON)
    assert proposal.unpushed == ""
    assert repository.versions() == ["v0001"]
    assert_sound(repository)


def test_a_proposal_is_the_very_commit_that_a_version_would_be(home: Path, tmp_path: Path) -> None:
    proposing = open_repository(home, review=True)
    direct = open_repository(Path(shutil.copytree(home, tmp_path / "direct", symlinks=True)))

    version = commit(direct, some_labels(direct.root.parent, 5))

    assert version.name == "v0002"
    assert git(direct, "diff", "--stat", version.commit, proposing.proposals()[0].commit) == ""


def test_what_comes_while_a_proposal_is_open_waits(repository: DatasetRepository) -> None:
    (before,) = repository.proposals()

    again = propose(repository, some_labels(repository.root.parent, 7))

    assert again == before
    assert repository.proposals() == [before]


def test_the_first_version_of_all_can_be_a_proposal(tmp_path: Path) -> None:
    repository = open_repository(tmp_path, review=True)

    proposal = propose(repository, some_labels(tmp_path, 2))

    assert (proposal.name, repository.versions()) == ("v0001", [])
    git(repository, "merge", "-q", "--ff-only", proposal.branch)
    assert [version.name for version in repository.accept_merged()] == ["v0001"]
    assert_sound(repository)


def test_nothing_changed_is_no_proposal(tmp_path: Path) -> None:
    commit(open_repository(tmp_path), some_labels(tmp_path, 2))
    repository = open_repository(tmp_path, review=True)

    assert commit(repository, some_labels(tmp_path, 2)).name == "v0001"
    assert repository.proposals() == []


# Merging


def merge(repository: DatasetRepository) -> None:
    git(repository, "merge", "-q", "--no-ff", "-m", "Looks right", "proposals/v0002")


def fast_forward(repository: DatasetRepository) -> None:
    git(repository, "merge", "-q", "--ff-only", "proposals/v0002")


def merge_and_delete(repository: DatasetRepository) -> None:
    somebody_commits(repository)
    merge(repository)
    git(repository, "branch", "-qd", "proposals/v0002")


def squash(repository: DatasetRepository) -> None:
    somebody_commits(repository)
    git(repository, "merge", "-q", "--squash", "proposals/v0002")
    git(repository, "commit", "-qm", "Five labels (#12)")
    somebody_commits(repository, "Our very own hands\n")


def rebase(repository: DatasetRepository) -> None:
    somebody_commits(repository)
    git(repository, "cherry-pick", "proposals/v0002")
    git(repository, "branch", "-qD", "proposals/v0002")


def merge_and_edit(repository: DatasetRepository) -> None:
    merge(repository)
    table = repository.root / "labels.csv"
    table.write_text(table.read_text().replace(",100,", ",7,", 1))
    git(repository, "commit", "-qam", "I know better")


@pytest.mark.parametrize(
    "way", [merge, fast_forward, merge_and_delete, squash, rebase, merge_and_edit]
)
def test_a_proposal_that_was_merged_is_a_version(
    repository: DatasetRepository, way: Callable[[DatasetRepository], None]
) -> None:
    way(repository)

    (version,) = repository.accept_merged()

    assert version == repository.describe("v0002")
    assert (version.name, version.labels, version.last_event) == ("v0002", 5, HEAD[0])
    assert version.committed_at == NOON
    rows = repository.rows("v0002")
    assert [row["age_months"] for row in rows] == ["100"] * 5
    assert all(content_id((repository.root / r["image"]).read_bytes()) == r["id"] for r in rows)
    assert "up to date" in dvc(repository.root, "status")
    assert repository.proposals() == []
    assert git(repository, "branch", "--list", "proposals/*") == ""
    assert repository.dirty() == ""
    assert repository.accept_merged() == []


def test_a_version_can_follow_whichever_way_the_last_one_was_merged(
    repository: DatasetRepository,
) -> None:
    squash(repository)
    repository.accept_merged()

    proposal = propose(repository, some_labels(repository.root.parent, 6))

    assert proposal.summary == "v0003: +1 labels, 0 corrected, 0 withdrawn"
    assert git(repository, "diff", "--name-only", "HEAD", proposal.commit).split() == [
        "DATASET.md",
        "age_months_by_sex.svg",
        "images/shard-0003.csv",
        "images/shard-0003.dvc",
        "labels.csv",
        "splits.csv",
    ]


def test_a_commit_accepts_what_was_merged_before_it_proposes_anew(
    repository: DatasetRepository,
) -> None:
    merge(repository)

    proposal = propose(repository, some_labels(repository.root.parent, 7))

    assert repository.versions() == ["v0001", "v0002"]
    assert (proposal.name, proposal.labels) == ("v0003", 7)


def test_a_merge_that_is_not_finished_yet_accepts_nothing(repository: DatasetRepository) -> None:
    git(repository, "merge", "-q", "--no-ff", "--no-commit", "proposals/v0002")

    with pytest.raises(Exception, match="Somebody changed"):
        repository.accept_merged()

    assert repository.versions() == ["v0001"]


# Rejecting


def test_a_proposal_whose_branch_was_deleted_is_rejected_and_its_number_used_again(
    repository: DatasetRepository,
) -> None:
    git(repository, "branch", "-qD", "proposals/v0002")

    assert repository.accept_merged() == []

    assert repository.proposals() == []
    proposal = propose(repository, some_labels(repository.root.parent, 6))
    assert proposal.summary == "v0002: +3 labels, 0 corrected, 0 withdrawn"
    merge(repository)
    assert [version.labels for version in repository.accept_merged()] == [6]
    assert "up to date" in dvc(repository.root, "status")


def test_without_reviews_an_open_proposal_is_taken_back(home: Path) -> None:
    repository = open_repository(home)

    version = commit(repository, some_labels(home, 6))

    assert (version.name, version.labels) == ("v0002", 6)
    assert repository.proposals() == []
    assert_sound(repository)


# With remotes


@pytest.fixture
def hub(home: Path, tmp_path: Path) -> Path:
    """A git remote and a DVC remote, beside the workspace; nothing is in them yet."""
    shell(tmp_path, "git", "init", "--quiet", "--bare", "--initial-branch=main", "hub.git")
    return tmp_path / "hub.git"


def connected(home: Path, hub: Path) -> DatasetRepository:
    return open_repository(home, remote=hub.with_name("images"), git_remote=str(hub), review=True)


def branches(hub: Path) -> set[str]:
    return set(shell(hub, "git", "for-each-ref", "--format=%(refname:lstrip=2)").split())


def reviewer(hub: Path) -> Path:
    """A clone of the person who reviews."""
    clone = hub.with_name("reviewer")
    if not clone.exists():
        shell(hub.parent, "git", "clone", "--quiet", str(hub), str(clone))
        shell(clone, "git", "config", "user.name", "Ada")
        shell(clone, "git", "config", "user.email", "ada@example.org")
    shell(clone, "git", "pull", "--quiet")
    return clone


def fresh(hub: Path, home: Path) -> DatasetRepository:
    """A connected repository whose proposal of five labels is at the remote."""
    repository = connected(home, hub)
    assert repository.push() == ""
    propose(repository, some_labels(home, 5))
    return repository


def test_a_proposal_goes_to_the_remotes_with_its_images(home: Path, hub: Path) -> None:
    shell(home / "dataset", "git", "branch", "-qD", "proposals/v0002")
    repository = fresh(hub, home)

    assert branches(hub) == {"main", "v0001", "proposals/v0002"}
    assert [p.unpushed for p in repository.proposals()] == [""]
    clone = reviewer(hub)
    shell(clone, "git", "switch", "-q", "proposals/v0002")
    dvc(clone, "pull")
    assert len(list(clone.glob("images/shard-*/*.png"))) == 5


@pytest.mark.parametrize("delete", [True, False], ids=["branch deleted", "branch left"])
@pytest.mark.parametrize("squash", [True, False], ids=["squashed", "merged"])
def test_what_a_reviewer_merges_at_the_remote_is_a_version(
    home: Path, hub: Path, squash: bool, delete: bool
) -> None:
    # Given
    repository = fresh(hub, home)
    clone = reviewer(hub)
    assert repository.accept_merged() == []

    # When a person merges it there
    how = ("--squash",) if squash else ("--no-ff", "--no-commit")
    shell(clone, "git", "merge", "-q", *how, "origin/proposals/v0002")
    shell(clone, "git", "commit", "-qm", "Looks right")
    shell(clone, "git", "push", "-q")
    if delete:
        shell(clone, "git", "push", "-q", "--delete", "origin", "proposals/v0002")

    # Then
    (version,) = repository.accept_merged()
    assert (version.name, version.labels) == ("v0002", 5)
    assert branches(hub) == {"main", "v0001", "v0002"}
    assert repository.unpushed("v0002") == ""
    assert "up to date" in dvc(repository.root, "status")
    assert repository.dirty() == ""


def test_a_branch_that_was_deleted_at_the_remote_is_a_rejection(home: Path, hub: Path) -> None:
    repository = fresh(hub, home)
    shell(reviewer(hub), "git", "push", "-q", "--delete", "origin", "proposals/v0002")

    assert repository.accept_merged() == []

    assert repository.proposals() == []
    assert propose(repository, some_labels(home, 6)).name == "v0002"
    assert "proposals/v0002" in branches(hub)


def test_a_remote_that_is_down_decides_nothing(home: Path, hub: Path) -> None:
    repository = fresh(hub, home)
    hub.rename(hub.with_name("away"))

    assert repository.accept_merged() == []

    assert [proposal.name for proposal in repository.proposals()] == ["v0002"]


def test_a_proposal_that_did_not_reach_the_remote_says_so_and_comes_later(
    home: Path, hub: Path
) -> None:
    repository = connected(home, hub)
    hub.rename(hub.with_name("away"))
    assert "proposals/v0002 is not in the git remote" in repository.proposals()[0].unpushed

    hub.with_name("away").rename(hub)
    assert propose(repository, some_labels(home, 6)).unpushed == ""

    assert "proposals/v0002" in branches(hub)


def test_a_dvc_remote_that_is_set_later_gets_the_images_before_anybody_gets_the_text(
    home: Path, hub: Path
) -> None:
    # Given a proposal from before there was a remote
    (before,) = open_repository(home, review=True).proposals()
    repository = connected(home, hub)

    # When
    assert repository.push() == ""
    assert repository.unpushed("v0001") == ""
    after = propose(repository, some_labels(home, 5))

    # Then the proposal is made again, with the address of its images
    assert (after.name, after.summary) == (before.name, before.summary)
    assert after.commit != before.commit
    clone = reviewer(hub)
    shell(clone, "git", "switch", "-q", "proposals/v0002")
    dvc(clone, "pull")
    assert len(list(clone.glob("images/shard-*/*.png"))) == 5
    assert repository.dirty() == ""


def test_only_versions_are_described(repository: DatasetRepository) -> None:
    assert isinstance(repository.describe("v0001"), DatasetVersion)
    with pytest.raises(Exception, match="no dataset version"):
        repository.describe("v0002")
