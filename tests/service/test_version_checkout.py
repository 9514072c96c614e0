"""A version in a folder of its own, beside the repository that Carpal commits in."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from data.errors import NotFoundError, VersionError
from data.images.decoding import content_id
from data.pool import Pool
from data.versions.checkout import checkout
from tests.service.dataset_workspace import (
    a_pooled_label,
    assert_sound,
    commit,
    dvc,
    open_repository,
    shell,
    some_labels,
)

pytestmark = pytest.mark.service


@pytest.fixture(scope="session")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two versions, of three and of five radiographs."""
    home = tmp_path_factory.mktemp("two") / "home"
    repository = open_repository(home)
    commit(repository, some_labels(home, 3))
    commit(repository, [*some_labels(home, 4)[1:], a_pooled_label(home, 5)])
    return home


@pytest.fixture
def home(two_versions: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(two_versions, tmp_path / "home", symlinks=True))


def assert_holds(folder: Path, home: Path, version: str) -> None:
    """The folder is exactly this version, as plain git and DVC see it."""
    rows = open_repository(home).rows(version)
    for row in rows:
        assert content_id((folder / row["image"]).read_bytes()) == row["id"]
    assert shell(folder, "git", "describe", "--tags") == f"{version}\n"
    assert shell(folder, "git", "status", "--porcelain") == ""
    assert "up to date" in dvc(folder, "status")


@pytest.mark.parametrize("version", ["v0001", "v0002"])
def test_a_version_is_an_ordinary_repository_in_a_folder(home: Path, version: str) -> None:
    repository = open_repository(home)

    folder = checkout(repository, version, home / "versions" / version)

    assert folder == (home / "versions" / version).resolve()
    assert_holds(folder, home, version)
    assert_sound(repository)


def test_its_images_take_no_space(home: Path) -> None:
    label = a_pooled_label(home, 1)

    folder = checkout(open_repository(home), "v0001", home / "there")

    (image,) = folder.rglob(f"{label.radiograph.id}.*")
    assert image.stat().st_ino == Pool(home / "pool").path(label.radiograph).stat().st_ino


def test_without_images_only_the_text_is_there_and_dvc_brings_them_later(home: Path) -> None:
    folder = checkout(open_repository(home), "v0001", home / "there", images=False)

    assert (folder / "labels.csv").exists()
    assert not list(folder.glob("images/shard-*/"))
    dvc(folder, "checkout")
    assert_holds(folder, home, "v0001")


def test_the_same_again_brings_what_is_missing_and_keeps_what_somebody_wrote(home: Path) -> None:
    repository = open_repository(home)
    folder = checkout(repository, "v0002", home / "there", images=False)
    (folder / "notes.txt").write_text("mine")

    checkout(repository, "v0002", home / "there")
    checkout(repository, "v0002", home / "there")

    assert (folder / "notes.txt").read_text() == "mine"
    assert all((folder / row["image"]).exists() for row in repository.rows("v0002"))


def test_what_an_interrupted_checkout_left_is_no_hindrance(home: Path) -> None:
    (home / ".there.part" / ".git").mkdir(parents=True)

    assert_holds(checkout(open_repository(home), "v0002", home / "there"), home, "v0002")

    assert not (home / ".there.part").exists()


def test_images_that_pool_and_cache_lost_come_from_the_remote(tmp_path: Path) -> None:
    repository = open_repository(tmp_path, remote=tmp_path / "remote")
    commit(repository, some_labels(tmp_path, 3))
    shutil.rmtree(tmp_path / "pool")
    shutil.rmtree(repository.root / ".dvc" / "cache" / "files")

    folder = checkout(repository, "v0001", tmp_path / "there")

    assert_holds(folder, tmp_path, "v0001")


def test_an_image_that_is_nowhere_is_one_sentence_and_leaves_no_folder(home: Path) -> None:
    repository = open_repository(home)
    shutil.rmtree(home / "pool")
    shutil.rmtree(home / "dataset" / ".dvc" / "cache" / "files")

    with pytest.raises(VersionError, match="neither the cache nor a remote holds the images"):
        checkout(repository, "v0001", home / "there")

    assert not (home / "there").exists()


@pytest.mark.parametrize("other", ["a file", "another version", "the dataset repository"])
def test_a_folder_that_holds_something_else_is_left_alone(home: Path, other: str) -> None:
    repository = open_repository(home)
    folder = home / "there"
    if other == "a file":
        folder.mkdir()
        (folder / "thesis.tex").write_text("mine")
    elif other == "another version":
        checkout(repository, "v0002", folder)
    else:
        folder = repository.root / "there"

    with pytest.raises(VersionError, match="choose"):
        checkout(repository, "v0001", folder)

    assert_sound(repository)


def test_a_version_that_does_not_exist_is_not_found(home: Path) -> None:
    with pytest.raises(NotFoundError, match="no dataset version"):
        checkout(open_repository(home), "v0009", home / "there")
    assert not (home / "there").exists()


def test_a_workspace_whose_path_has_signs_of_dvc_s_own_is_no_hindrance(
    two_versions: Path, tmp_path: Path
) -> None:
    # Given a folder whose name would be a list, or a comment, in DVC's configuration
    home = Path(shutil.copytree(two_versions, tmp_path / "hands, left #2", symlinks=True))

    # When the cache is needed, because the pool is lost
    repository = open_repository(home)
    shutil.rmtree(home / "pool")
    folder = checkout(repository, "v0001", home / "there")

    # Then
    assert_holds(folder, home, "v0001")
