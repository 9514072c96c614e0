"""Dataset versions in real git and DVC repositories."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from data.domain import Split
from data.errors import NotFoundError, StorageError, VersionError
from data.images.decoding import content_id
from data.pool import Pool
from data.versions.git_calls import Git
from data.versions.repository import DatasetRepository
from data.writer_lock import writer_lock
from tests.service.dataset_workspace import (
    AUTHOR,
    a_pooled_label,
    assert_sound,
    commit,
    dvc,
    open_repository,
    shell,
    some_labels,
)
from tests.unit.data.dataset_cases import HEAD, NOON, SPEC

pytestmark = pytest.mark.service

ADA = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")


@pytest.fixture(scope="session")
def first_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one version of three labels; tests copy it."""
    home = tmp_path_factory.mktemp("first") / "home"
    commit(open_repository(home), some_labels(home, 3))
    return home


@pytest.fixture
def home(first_version: Path, tmp_path: Path) -> Path:
    """A copy of that workspace."""
    return Path(shutil.copytree(first_version, tmp_path / "home", symlinks=True))


def images_in(remote: Path) -> set[str]:
    """Ids of the images that a DVC remote holds, by their bytes."""
    return {
        content_id(path.read_bytes())
        for path in remote.rglob("*")
        if path.is_file() and path.suffix != ".dir"
    }


def ids_in(repository: DatasetRepository, version: str) -> set[str]:
    return {row["id"] for row in repository.rows(version)}


def shard_folders(repository: DatasetRepository) -> list[str]:
    return sorted(path.name for path in (repository.root / "images").glob("shard-*/"))


# What a version is


def test_a_first_version_holds_tables_images_and_a_tag(home: Path) -> None:
    repository = open_repository(home)

    version = repository.describe("v0001")

    assert repository.versions() == ["v0001"]
    assert (version.labels, version.expert_labels, version.last_event) == (3, 3, HEAD[0])
    assert version.committed_at == NOON
    for row in repository.rows("v0001"):
        payload = (repository.root / row["image"]).read_bytes()
        assert content_id(payload) == row["id"]
    assert_sound(repository)
    assert "up to date" in dvc(repository.root, "status")


def test_the_tag_is_annotated_and_carries_the_message_of_the_commit(home: Path) -> None:
    root = open_repository(home).root

    assert shell(root, "git", "cat-file", "-t", "v0001") == "tag\n"
    subject, tagger, when = shell(
        root,
        "git",
        "tag",
        "--format=%(subject)%0a%(taggername) %(taggeremail)%0a%(taggerdate:unix)",
    ).splitlines()
    assert subject == "v0001: +3 labels, 0 corrected, 0 withdrawn"
    assert tagger == AUTHOR
    assert int(when) == NOON.timestamp()
    trailers = shell(root, "git", "log", "-1", "--format=%(trailers:key=Ledger-Head,valueonly)")
    assert trailers.split() == [str(HEAD[0]), HEAD[1]]


def test_a_later_version_adds_one_shard_and_touches_no_other(home: Path) -> None:
    repository = open_repository(home)

    version = commit(repository, some_labels(home, 5))

    assert version.name == "v0002"
    assert shell(repository.root, "git", "log", "-1", "--format=%s") == (
        "v0002: +2 labels, 0 corrected, 0 withdrawn\n"
    )
    changed = shell(repository.root, "git", "diff", "--name-status", "v0001", "v0002").split()
    assert dict(zip(changed[1::2], changed[::2], strict=True)) == {
        "DATASET.md": "M",
        "age_months_by_sex.svg": "M",
        "images/shard-0002.csv": "A",
        "images/shard-0002.dvc": "A",
        "labels.csv": "M",
        "splits.csv": "M",
    }
    assert len(list((repository.root / "images" / "shard-0002").iterdir())) == 2
    assert_sound(repository)
    assert "up to date" in dvc(repository.root, "status")


def test_an_image_is_on_disk_once(home: Path) -> None:
    label = a_pooled_label(home, 9)
    repository = open_repository(home)

    commit(repository, [label])

    pooled = Pool(home / "pool").path(label.radiograph)
    (sharded,) = (repository.root / "images" / "shard-0002").iterdir()
    (cached,) = (
        path
        for path in (repository.root / ".dvc" / "cache").rglob("*")
        if path.is_file() and content_id(path.read_bytes()) == label.radiograph.id
    )
    assert pooled.stat().st_ino == sharded.stat().st_ino == cached.stat().st_ino


def test_nothing_changed_is_no_new_version(home: Path) -> None:
    repository = open_repository(home)

    again = repository.commit_version(
        some_labels(home, 3),
        trigger="somebody asked",
        ledger_head=(99, "cd" * 32),
        committed_at=NOON + timedelta(days=1),
    )

    assert again == repository.describe("v0001")
    assert repository.versions() == ["v0001"]
    assert_sound(repository)


def test_a_correction_is_a_version_without_new_images(home: Path) -> None:
    repository = open_repository(home)
    labels = some_labels(home, 3)
    labels[1] = a_pooled_label(home, 2, age=33.0)

    commit(repository, labels)

    assert "+0 labels, 1 corrected, 0 withdrawn" in shell(repository.root, "git", "log", "-1")
    assert shard_folders(repository) == ["shard-0001"]


def test_a_withdrawn_image_that_returns_is_not_stored_again(home: Path) -> None:
    repository = open_repository(home)
    labels = some_labels(home, 3)

    commit(repository, labels[:2])
    version = commit(repository, labels)

    assert version.name == "v0003"
    assert shard_folders(repository) == ["shard-0001"]
    assert [row["image"] for row in repository.rows("v0003")] == [
        row["image"] for row in repository.rows("v0001")
    ]


def test_an_old_version_never_changes(home: Path) -> None:
    repository = open_repository(home)
    before, described = repository.rows("v0001"), repository.describe("v0001")

    commit(repository, [a_pooled_label(home, 1, age=1.0)])

    assert repository.rows("v0001") == before
    assert repository.describe("v0001") == described


def test_examples_lead_to_the_images_in_the_pool(home: Path) -> None:
    repository = open_repository(home)
    shutil.rmtree(repository.root / "images" / "shard-0001")

    examples = repository.examples("v0001")

    by_id = {label.radiograph.id: label for label in some_labels(home, 3)}
    assert len(examples) == 3
    for example in examples:
        assert example.path.is_absolute()
        assert content_id(example.path.read_bytes()) == example.radiograph_id
        assert example.values == by_id[example.radiograph_id].values
        assert example.split is by_id[example.radiograph_id].radiograph.split
        assert example.patient == by_id[example.radiograph_id].radiograph.patient


def test_the_split_is_stored_and_its_proof_holds_in_every_version(home: Path) -> None:
    repository = open_repository(home)
    commit(repository, some_labels(home, 7))

    for version in repository.versions():
        splits = shell(repository.root, "git", "show", f"{version}:splits.csv")
        report = shell(repository.root, "git", "show", f"{version}:DATASET.md")
        assert hashlib.sha256(splits.encode()).hexdigest() in report
        assert "| train and test | 0 |" in report


@pytest.mark.parametrize("name", ["v0009", "main", "--help", ""])
def test_a_version_that_does_not_exist_is_not_found(home: Path, name: str) -> None:
    with pytest.raises(NotFoundError, match="no dataset version"):
        open_repository(home).rows(name)


def test_the_latest_version_is_the_highest_number_and_not_the_last_by_name(home: Path) -> None:
    repository = open_repository(home)
    message = shell(repository.root, "git", "tag", "--list", "--format=%(contents)", "v0001")
    for name in ("v10000", "v9999", "v0002-draft", "version"):
        shell(repository.root, "git", *ADA, "tag", "-a", "-m", message, name, "v0001^{}")

    assert repository.versions() == ["v0001", "v9999", "v10000"]
    assert repository.latest() == "v10000"


@pytest.mark.parametrize(
    "options", [(), ("-a", "-m", "Of the paper")], ids=["lightweight", "annotated"]
)
def test_a_tag_that_a_person_made_is_no_version(home: Path, options: tuple[str, ...]) -> None:
    repository = open_repository(home)
    shell(repository.root, "git", *ADA, "tag", *options, "v2024")

    assert repository.versions() == ["v0001"]
    assert commit(repository, some_labels(home, 4)).name == "v0002"


def test_a_number_that_a_persons_tag_has_is_left_out(home: Path) -> None:
    repository = open_repository(home)
    shell(repository.root, "git", *ADA, "tag", "v0002")

    assert commit(repository, some_labels(home, 4)).name == "v0003"
    assert repository.versions() == ["v0001", "v0003"]


def test_a_workspace_without_repository_has_no_version(tmp_path: Path) -> None:
    repository = open_repository(tmp_path)

    assert repository.versions() == []
    assert repository.latest() is None
    assert repository.dirty() == ""


# Clones and remotes


def test_a_fresh_clone_pulls_every_image(tmp_path: Path) -> None:
    home, clone = tmp_path / "home", tmp_path / "clone"
    repository = open_repository(home, remote=tmp_path / "remote")
    commit(repository, some_labels(home, 3))
    commit(repository, some_labels(home, 5))

    shell(tmp_path, "git", "clone", "--quiet", str(repository.root), str(clone))
    assert not list(clone.glob("images/*/*"))
    dvc(clone, "pull")

    rows = repository.rows("v0002")
    assert len(rows) == 5
    for row in rows:
        assert content_id((clone / row["image"]).read_bytes()) == row["id"]
    assert "up to date" in dvc(clone, "status")
    assert "in sync" in dvc(clone, "status", "--cloud")


def test_a_new_remote_receives_the_images_of_all_versions(home: Path, tmp_path: Path) -> None:
    for remote in (tmp_path / "one", None, tmp_path / "two"):
        labels = some_labels(home, 3 + len(open_repository(home).versions()))
        commit(open_repository(home, remote=remote), labels)

    repository = open_repository(home)
    assert images_in(tmp_path / "one") == ids_in(repository, "v0002")
    assert images_in(tmp_path / "two") == ids_in(repository, "v0004")
    assert_sound(repository)


def test_each_version_pushes_what_it_adds(home: Path, tmp_path: Path) -> None:
    repository = open_repository(home, remote=tmp_path / "remote")
    commit(repository, some_labels(home, 4))
    commit(repository, some_labels(home, 6))

    assert images_in(tmp_path / "remote") == ids_in(repository, "v0003")


def test_a_new_remote_is_refused_while_images_of_earlier_versions_are_missing(
    home: Path, tmp_path: Path
) -> None:
    repository = open_repository(home, remote=tmp_path / "remote")
    cache = repository.root / ".dvc" / "cache" / "files"
    cache.rename(tmp_path / "elsewhere")

    with pytest.raises(VersionError, match=r"DVC failed in .*cache"):
        commit(repository, some_labels(home, 4))

    assert repository.versions() == ["v0001"]
    shutil.copytree(tmp_path / "elsewhere", cache, dirs_exist_ok=True)
    assert commit(repository, some_labels(home, 4)).name == "v0002"


def test_without_its_remote_there_is_no_version(home: Path, tmp_path: Path) -> None:
    # Given a remote that cannot be written: a file lies in its place
    remote = tmp_path / "remote"
    remote.write_text("not a folder")
    repository = open_repository(home, remote=remote)

    with pytest.raises(VersionError, match=r"^DVC failed in .*\.$"):
        commit(repository, some_labels(home, 5))

    # Then the last version stands untouched, and once the remote is back all goes on
    assert repository.versions() == ["v0001"]
    assert_sound(repository)
    remote.unlink()
    assert commit(repository, some_labels(home, 5)).name == "v0002"
    assert images_in(remote) == ids_in(repository, "v0002")


# Whose configuration counts


def test_nothing_of_the_users_git_and_dvc_configuration_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a user whose settings would break every commit
    user = tmp_path / "user"
    hooks = user / "hooks"
    hooks.mkdir(parents=True)
    (hooks / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "pre-commit").chmod(0o755)
    (user / "ignore").write_text("*.csv\n*.dvc\n")
    (user / ".gitconfig").write_text(
        "[user]\n name = Somebody Else\n email = else@example.org\n"
        "[commit]\n gpgSign = true\n[tag]\n gpgSign = true\n[gpg]\n program = /bin/false\n"
        f"[core]\n hooksPath = {hooks}\n excludesFile = {user / 'ignore'}\n autocrlf = true\n"
    )
    (user / ".config" / "dvc").mkdir(parents=True)
    (user / ".config" / "dvc" / "config").write_text(f"[cache]\n    dir = {user / 'cache'}\n")
    monkeypatch.setenv("HOME", str(user))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(user / ".config"))
    monkeypatch.setenv("GIT_DIR", str(user / "elsewhere"))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody Else")
    home = tmp_path / "home"
    repository = open_repository(home)

    commit(repository, some_labels(home, 2))

    monkeypatch.undo()
    people = shell(repository.root, "git", "log", "--format=%an <%ae>%n%cn <%ce>").splitlines()
    assert set(people) == {AUTHOR}
    assert not (user / "cache").exists()
    assert_sound(repository)


@pytest.mark.parametrize("author", ["Carpal", "<bot@example.org>", "Carpal <>", "A <b>\n<c>", ""])
def test_an_author_without_name_or_address_is_refused(tmp_path: Path, author: str) -> None:
    with pytest.raises(VersionError, match="Name <address>"):
        DatasetRepository(tmp_path / "dataset", tmp_path / "pool", SPEC, author)


# What people do to the work tree


def test_a_table_that_was_changed_by_hand_is_not_overwritten(home: Path) -> None:
    repository = open_repository(home)
    table = repository.root / "labels.csv"
    table.write_text("mine\n")

    assert "labels.csv" in repository.dirty()
    with pytest.raises(VersionError, match=r"Somebody changed labels\.csv"):
        commit(repository, some_labels(home, 4))

    assert table.read_text() == "mine\n"
    assert repository.versions() == ["v0001"]


def test_a_file_of_their_own_is_no_hindrance(home: Path) -> None:
    repository = open_repository(home)
    (repository.root / "notes.txt").write_text("mine\n")

    assert repository.dirty() == ""
    assert commit(repository, some_labels(home, 4)).name == "v0002"
    assert (repository.root / "notes.txt").read_text() == "mine\n"


def test_a_commit_of_their_own_is_kept(home: Path) -> None:
    repository = open_repository(home)
    (repository.root / "README.md").write_text("Our hands\n")
    shell(repository.root, "git", "add", "README.md")
    author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    shell(repository.root, "git", *author, "commit", "-qm", "Say what this is")

    commit(repository, some_labels(home, 4))

    subjects = shell(repository.root, "git", "log", "--format=%s", "v0002").splitlines()
    assert subjects[1] == "Say what this is"
    assert_sound(repository)


def test_on_no_branch_or_an_older_one_nothing_is_committed(home: Path) -> None:
    repository = open_repository(home)
    commit(repository, some_labels(home, 4))
    shell(repository.root, "git", "switch", "-q", "--detach", "v0001")
    assert "switch main" in repository.dirty()

    shell(repository.root, "git", "switch", "-q", "-c", "older")
    with pytest.raises(VersionError, match="is on older, versions go to main"):
        commit(repository, some_labels(home, 5))

    shell(repository.root, "git", "branch", "-qf", "main", "older")
    with pytest.raises(VersionError, match="does not contain v0002"):
        commit(repository, some_labels(home, 5))

    shell(repository.root, "git", "switch", "-q", "main")
    shell(repository.root, "git", "merge", "-q", "v0002")
    assert commit(repository, some_labels(home, 5)).name == "v0003"


# What cannot be committed leaves no trace


def test_a_patient_who_changed_the_split_is_refused(home: Path) -> None:
    repository = open_repository(home)
    labels = some_labels(home, 3)
    moved = a_pooled_label(home, 8, split=Split.TEST, patient=labels[2].radiograph.patient)
    assert labels[2].radiograph.split is Split.TRAIN

    with pytest.raises(VersionError, match="stays in one split for ever"):
        commit(repository, [*labels, moved])

    assert repository.versions() == ["v0001"]
    assert_sound(repository)


def test_an_image_that_the_pool_lost_is_named(home: Path) -> None:
    repository = open_repository(home)
    label = a_pooled_label(home, 8)
    Pool(home / "pool").path(label.radiograph).unlink()

    with pytest.raises(VersionError, match=f"lacks the image of radiograph {label.radiograph.id}"):
        commit(repository, [*some_labels(home, 3), label])

    assert_sound(repository)


def test_no_label_at_all_makes_no_version(tmp_path: Path) -> None:
    repository = open_repository(tmp_path)

    with pytest.raises(VersionError, match="no label"):
        commit(repository, [])

    assert repository.versions() == []
    assert_sound(repository)


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "thesis.tex").write_text("mine")

    with pytest.raises(VersionError, match="choose an empty folder"):
        open_repository(tmp_path).initialise()

    assert [path.name for path in (tmp_path / "dataset").iterdir()] == ["thesis.tex"]


def test_making_it_again_changes_nothing(home: Path) -> None:
    repository = open_repository(home)
    before = shell(repository.root, "git", "rev-parse", "HEAD")

    repository.initialise()

    assert shell(repository.root, "git", "rev-parse", "HEAD") == before


def test_a_repository_that_was_half_made_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / ".dataset.new" / ".git").mkdir(parents=True)
    repository = open_repository(tmp_path)

    repository.initialise()

    assert_sound(repository)
    assert not (tmp_path / ".dataset.new").exists()


def test_without_git_the_sentence_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(VersionError, match="git is not installed"):
        commit(open_repository(home), some_labels(home, 4))


def test_without_dvc_the_sentence_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", sys._base_executable)  # type: ignore[attr-defined]
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if subprocess.run([sys.executable, "-c", "import dvc"], capture_output=True).returncode == 0:
        pytest.skip("the system's Python has DVC too")
    repository = open_repository(home)

    with pytest.raises(VersionError, match=r"DVC failed in .*: No module named 'dvc'"):
        commit(repository, some_labels(home, 4))

    assert_sound(repository)


def test_a_full_disk_is_one_sentence_and_leaves_the_last_version(tmp_path: Path) -> None:
    # Given a workspace on a disk of its own with hardly any space left
    home = tmp_path / "home"
    home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(home)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        repository = open_repository(home)
        commit(repository, some_labels(home, 3))
        labels = some_labels(home, 60)
        filler = home / "filler"
        free = shutil.disk_usage(home).free
        filler.write_bytes(b"\0" * max(0, free - 40_000))

        with pytest.raises(StorageError, match=r"disk that holds .* is full"):
            commit(repository, labels)

        filler.unlink()
        assert repository.versions() == ["v0001"]
        assert commit(repository, labels).name == "v0002"
        assert_sound(repository)
    finally:
        subprocess.run(["umount", str(home)], check=True)


# Several at once


def test_a_second_writer_waits_for_a_while_and_then_says_so(home: Path) -> None:
    repository = open_repository(home, lock_wait_s=0.2)

    with (
        writer_lock(home / "dataset.lock", wait_s=1),
        pytest.raises(VersionError, match=r"for more than 0\.2 s"),
    ):
        commit(repository, some_labels(home, 4))

    assert commit(repository, some_labels(home, 4)).name == "v0002"


def test_writers_at_the_same_time_make_one_version_after_the_other(tmp_path: Path) -> None:
    home = tmp_path / "home"
    some_labels(home, 4)
    script = (
        "import sys; from pathlib import Path; "
        "from tests.service.dataset_workspace import *; "
        "home, count = Path(sys.argv[1]), int(sys.argv[2]); "
        "print(commit(open_repository(home), some_labels(home, count)).name)"
    )
    root = Path(__file__).parents[2]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(home), str(count)],
            cwd=root,
            stdout=subprocess.PIPE,
            text=True,
        )
        for count in (2, 3, 4)
    ]
    names = [writer.communicate()[0].strip() for writer in writers]

    assert sorted(names) == ["v0001", "v0002", "v0003"]
    repository = open_repository(home)
    sizes = sorted(repository.describe(name).labels for name in names)
    assert sizes == [2, 3, 4]
    assert_sound(repository)


def test_readers_see_a_whole_version_while_the_next_one_is_written(home: Path) -> None:
    repository = open_repository(home)

    with writer_lock(home / "dataset.lock", wait_s=1):
        assert len(repository.rows("v0001")) == 3
        assert len(repository.examples("v0001")) == 3


def test_the_reference_of_a_source_is_no_expert_label(home: Path) -> None:
    repository = open_repository(home)
    labels = [
        replace(label, reference=label.radiograph.split is Split.TEST)
        for label in some_labels(home, 6)
    ]

    version = commit(repository, labels)

    assert (version.labels, version.expert_labels) == (6, 4)


def test_a_look_at_the_work_tree_leaves_the_index_to_those_who_write(home: Path) -> None:
    # Given a table that git has to read again, because its time is another one
    repository = open_repository(home)
    (home / "dataset" / "labels.csv").touch()
    index = home / "dataset" / ".git" / "index"
    before = index.stat()

    # When
    assert repository.dirty() == ""

    # Then git has not written the index, for which it would have locked out a commit
    assert (index.stat().st_ino, index.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_commit_that_begins_during_a_look_is_nobody_s_change(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(git: Git, branch: str) -> str:
        (home / "dataset" / ".git" / "carpal-attempt.json").touch()
        return "Somebody changed labels.csv."

    monkeypatch.setattr("data.versions.repository.find_hindrance", look)

    assert open_repository(home).dirty() == ""


@pytest.mark.parametrize("since", ["v0003", "v0009"])
def test_changes_since_a_version_that_is_gone_are_no_version(home: Path, since: str) -> None:
    # Given a version of the same rules
    repository = open_repository(home)
    facts: dict[str, Any] = {"trigger": "a label", "committed_at": NOON, "rules": "median"}
    repository.commit_version(some_labels(home, 4), ledger_head=HEAD, **facts)

    # When a fifth label comes, as the only one since a version that nobody knows
    with pytest.raises(VersionError, match=f"{since} is gone"):
        repository.commit_version(
            some_labels(home, 5)[4:], ledger_head=(HEAD[0] + 1, HEAD[1]), since=since, **facts
        )

    # Then
    assert repository.versions() == ["v0001", "v0002"]
