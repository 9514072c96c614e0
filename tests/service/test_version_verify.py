"""Whatever is altered in a dataset, its verification finds it and says what to do."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from data.domain import Reading
from data.images.decoding import content_id
from data.ledger.ledger import Ledger
from data.versions.repository import DatasetRepository
from data.versions.text import check_splits
from data.versions.verify import Finding, verify
from tests.service.dataset_workspace import a_pooled_label, open_repository, shell
from tests.unit.data.dataset_cases import NOON, SPEC
from workers.committing import commit_current

pytestmark = pytest.mark.service

ADA = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")


def read(ledger: Ledger, home: Path, number: int, age: float, reader: str = "ada") -> None:
    """A reader labels film `number`; a second reading of the same one corrects the first."""
    film = a_pooled_label(home, number).radiograph
    ledger.add_radiographs([film])
    at = NOON + timedelta(minutes=ledger.head()[0])
    annotation = f"1:{10 * number + len(reader)}"
    values = {"age_months": age, "sex": "female"}
    ledger.record_readings([Reading(film.id, f"{reader}@x.org", values, at, annotation)])


@pytest.fixture(scope="session")
def three_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of three versions: labels, a correction, a second reader and a withdrawal."""
    home = tmp_path_factory.mktemp("three") / "home"
    home.mkdir()
    with Ledger.open(f"sqlite:///{home / 'ledger.db'}") as ledger:
        repository = open_repository(home)
        for number in (1, 2, 3, 4):
            read(ledger, home, number, 50.0 + number)
        commit_current(ledger, repository, SPEC, "first")
        read(ledger, home, 1, 99.0)
        read(ledger, home, 2, 55.0, "robert")
        commit_current(ledger, repository, SPEC, "second")
        read(ledger, home, 5, 70.0)
        ledger.withdraw_annotations(["1:33"])
        commit_current(ledger, repository, SPEC, "third")
    return home


@pytest.fixture
def home(three_versions: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(three_versions, tmp_path / "home", symlinks=True))


@pytest.fixture
def ledger(home: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{home / 'ledger.db'}") as opened:
        yield opened


def findings(home: Path, *versions: str, quick: bool = False) -> list[Finding]:
    repository = open_repository(home)
    with Ledger.open(f"sqlite:///{home / 'ledger.db'}") as ledger:
        return verify(repository, versions or repository.versions(), ledger, quick=quick)


@pytest.mark.parametrize("quick", [False, True], ids=["all", "quick"])
def test_a_sound_dataset_has_no_finding(home: Path, quick: bool) -> None:
    assert findings(home, quick=quick) == []


def test_each_image_is_looked_at_once(home: Path, ledger: Ledger) -> None:
    repository = open_repository(home)
    looked_at: list[None] = []

    verify(repository, repository.versions(), ledger, tick=lambda: looked_at.append(None))

    assert len(looked_at) == 5


def test_an_older_version_can_be_verified_alone(home: Path) -> None:
    assert findings(home, "v0002") == []


# What can be altered


def change(file: Path) -> None:
    """Changes one byte of a file that is shared by hard links, without touching the others."""
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.unlink()
    file.write_bytes(content)


def a_pooled_image(home: Path) -> Path:
    return next((home / "pool").rglob("*.png"))


def a_cached_image(home: Path) -> Path:
    cache = home / "dataset" / ".dvc" / "cache" / "files"
    return next(p for p in cache.rglob("*") if p.is_file() and p.suffix != ".dir")


def a_cached_list(home: Path) -> Path:
    return next((home / "dataset" / ".dvc" / "cache" / "files").rglob("*.dir"))


@pytest.mark.parametrize(
    ("which", "sentence"),
    [
        (a_pooled_image, "The pool's image of radiograph"),
        (a_cached_image, "in DVC's cache"),
        (a_cached_list, "DVC's cache lacks the list of images/shard-"),
    ],
    ids=["pool", "cache", "list"],
)
@pytest.mark.parametrize("gone", [True, False], ids=["gone", "changed"])
def test_an_image_that_is_gone_or_changed_is_found(
    home: Path, which: Callable[[Path], Path], sentence: str, gone: bool
) -> None:
    file = which(home)
    if gone:
        file.unlink()
    else:
        change(file)

    found = findings(home)

    assert found
    assert any(sentence in item.sentence for item in found)
    assert all(item.broken for item in found)


def test_quick_looks_at_no_content_but_misses_no_file(home: Path) -> None:
    change(a_pooled_image(home))
    assert findings(home, quick=True) == []

    a_pooled_image(home).unlink()
    assert findings(home, quick=True) != []


def remove(file: Path) -> None:
    file.unlink()


def empty(file: Path) -> None:
    """What a full disk leaves of a file."""
    remove(file)
    file.touch()


@pytest.mark.parametrize("alter", [remove, change, empty], ids=["gone", "changed", "empty"])
def test_the_copy_in_a_remote_folder_is_checked_too(
    tmp_path: Path, alter: Callable[[Path], None]
) -> None:
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        read(ledger, tmp_path, 1, 50.0)
        repository = open_repository(tmp_path, remote=tmp_path / "remote")
        commit_current(ledger, repository, SPEC, "first")
    (image,) = (p for p in (tmp_path / "remote").rglob("*") if p.is_file() and not p.suffix)
    alter(image)

    (found,) = findings(tmp_path)

    assert "lacks a sound copy" in found.sentence


def test_images_are_looked_for_in_the_remote_that_is_set_now(tmp_path: Path) -> None:
    # Given two versions, between which the images moved to another remote
    old, new = tmp_path / "old", tmp_path / "new"
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        for number, remote in enumerate((old, new), start=1):
            read(ledger, tmp_path, number, 50.0)
            commit_current(ledger, open_repository(tmp_path, remote=remote), SPEC, "a reading")

    # When the old one is given up, and the new one loses what the first version brought
    shutil.rmtree(old)
    assert findings(tmp_path) == []
    first = next(row["id"] for row in open_repository(tmp_path).rows("v0001"))
    images = (p for p in new.rglob("*") if p.is_file() and not p.suffix)
    next(p for p in images if content_id(p.read_bytes()) == first).unlink()

    # Then
    found = findings(tmp_path)
    assert found
    assert all(f"The DVC remote {new} lacks a sound copy" in item.sentence for item in found)


def test_each_patient_is_looked_at_once_a_version(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []

    def counted(patients: Sequence[str], splits: Sequence[str]) -> None:
        looked_at.append(len(patients))
        check_splits(patients, splits)

    monkeypatch.setattr("data.versions.verify.check_splits", counted)

    assert findings(home) == []

    assert looked_at == [4, 4, 5]


def forge(repository: DatasetRepository, old: str, new: str, message: str = "") -> None:
    """Alters the latest version: its tables, its commit and its tag."""
    latest = repository.latest()
    told = shell(repository.root, "git", "tag", "--list", "--format=%(contents)", str(latest))
    for name in ("labels.csv", "splits.csv"):
        table = repository.root / name
        table.write_text(table.read_text().replace(old, new))
    shell(repository.root, "git", *ADA, "commit", "-q", "--allow-empty", "-am", "Nothing to see")
    note = repository.root.parent / "message"
    note.write_text(message or told)
    shell(repository.root, "git", *ADA, "tag", "-f", "-a", "-F", str(note), str(latest))


def test_a_label_that_was_altered_in_git_is_found_by_the_ledger(home: Path) -> None:
    forge(open_repository(home), ",70,", ",170,")

    (found,) = findings(home)

    assert found.version == "v0003"
    assert "is not what the readings in the ledger come to: 1 radiograph (" in found.sentence


@pytest.mark.parametrize("head", ["id,image,patient,", "image,patient,split"], ids=["id", "split"])
def test_a_table_without_its_columns_is_found(home: Path, head: str) -> None:
    forge(open_repository(home), head, head.replace("i", "e"))

    found = findings(home)

    assert any(i.version == "v0003" and "labels.csv has no column" in i.sentence for i in found)


def test_a_table_without_a_head_is_found(home: Path) -> None:
    repository = open_repository(home)
    forge(repository, (repository.root / "labels.csv").read_text().partition("\n")[0], "")

    found = findings(home)

    assert any(i.version == "v0003" and "labels.csv has no column" in i.sentence for i in found)


def test_a_list_of_images_that_is_none_is_found(home: Path) -> None:
    (home / "dataset" / "images" / "shard-0003.csv").write_text("id,file,bytes\nnothing\n")
    forge(open_repository(home), "", "")

    found = findings(home)

    assert any("shard-0003.csv does not list images" in item.sentence for item in found)


def test_a_tag_that_names_no_event_is_found(home: Path) -> None:
    forge(open_repository(home), "", "", message="v0003\n\nLabels: 4\nLedger-Head: somewhere\n")

    (found,) = findings(home)

    assert found.version == "v0003"
    assert "Its tag lacks what a version states" in found.sentence


def test_tables_that_were_changed_after_the_latest_version_are_told_and_not_broken(
    home: Path,
) -> None:
    root = open_repository(home).root
    (root / "labels.csv").write_text((root / "labels.csv").read_text().replace(",70,", ",170,"))
    shell(root, "git", *ADA, "commit", "-q", "-am", "I know better")

    (found,) = findings(home)

    assert "was changed by hand in commit" in found.sentence
    assert not found.broken


@pytest.mark.parametrize("again", [(), ("v0002",)], ids=["gone", "another"])
def test_a_version_of_the_ledger_whose_tag_is_not_ours_is_found(
    home: Path, again: tuple[str, ...]
) -> None:
    root = open_repository(home).root
    with Ledger.open(f"sqlite:///{home / 'ledger.db'}") as ledger:
        ledger.add_version(open_repository(home).describe("v0002"))
    shell(root, "git", "tag", "-d", "v0002")
    for name in again:
        shell(root, "git", "tag", name)

    found = [item for item in findings(home) if item.version == "v0002"]

    assert "its tag is gone or another one" in found[0].sentence


def test_an_object_of_git_that_is_gone_keeps_nothing_else_from_being_checked(home: Path) -> None:
    # Given that the list of the third version's images is gone
    root = home / "dataset"
    blob = shell(root, "git", "rev-parse", "v0003:images/shard-0003.csv").strip()
    (root / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    a_pooled_image(home).unlink()

    # When
    found = findings(home)

    # Then that is told of the version, and what is wrong with the others as well
    assert any(item.version == "v0003" and blob in item.sentence for item in found)
    assert any("The pool's image" in item.sentence for item in found)


def test_an_event_that_is_no_reading_any_more_breaks_the_chain(home: Path) -> None:
    with sqlite3.connect(home / "ledger.db") as database:
        database.execute("UPDATE events SET payload = '{}' WHERE seq = 1")
    database.close()

    (found,) = findings(home)

    assert "The ledger is broken: event 1 " in found.sentence


def test_a_label_that_was_altered_in_the_ledger_breaks_its_chain(home: Path) -> None:
    with sqlite3.connect(home / "ledger.db") as database:
        database.execute("UPDATE events SET payload = replace(payload, '70.0', '170.0')")
    database.close()

    found = findings(home)

    assert any("The ledger is broken" in item.sentence for item in found)
    assert any(item.version == "v0003" and "come to" in item.sentence for item in found)


def test_a_ledger_that_was_replaced_is_found(home: Path) -> None:
    (home / "ledger.db").unlink()
    with Ledger.open(f"sqlite:///{home / 'ledger.db'}") as ledger:
        for number in (1, 2, 3, 4, 5):
            read(ledger, home, number, 50.0)

    found = findings(home)

    assert sum("is not the one that it was made at" in item.sentence for item in found) == 3


def test_a_patient_who_was_moved_to_another_split_is_found(home: Path) -> None:
    repository = open_repository(home)
    row = repository.rows("v0003")[0]
    forge(repository, f"{row['patient']},{row['split']}", f"{row['patient']},train")

    found = findings(home)

    assert any("stays in one split for ever" in item.sentence for item in found)


def test_a_damaged_object_of_git_is_found(home: Path) -> None:
    objects = home / "dataset" / ".git" / "objects"
    large = max((p for p in objects.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = large.read_bytes()
    large.chmod(0o644)
    large.write_bytes(content[:-20] + bytes(20))

    found = findings(home)

    assert any(item.version == "" and "git fsck" in item.sentence for item in found)


def test_a_version_of_other_rules_is_a_remark_and_no_fault(home: Path, ledger: Ledger) -> None:
    repository = open_repository(home)
    targets = (replace(SPEC.targets[0], tolerance=1.0), SPEC.targets[1])
    repository.spec = replace(SPEC, targets=targets)

    found = verify(repository, ["v0001"], ledger)

    assert [item.broken for item in found] == [False]
    assert "other rules" in str(found[0])
