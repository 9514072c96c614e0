"""`carpal versions` as a user calls it, on a real dataset repository."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from carpal.cli import app
from data.domain import Reading, Split
from data.ledger.ledger import Ledger
from data.versions.repository import DatasetRepository
from data.versions.text import read_table
from labeling_config.tasks import load_task
from tests.service.dataset_workspace import (
    AUTHOR,
    commit,
    open_repository,
    propose,
    some_labels,
)
from tests.unit.data.dataset_cases import NOON
from workers.committing import commit_current
from workers.settings import Settings

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two versions: the second adds, corrects and withdraws one label each."""
    folder = tmp_path_factory.mktemp("workspace")
    repository = open_repository(folder)
    labels = some_labels(folder, 6)
    commit(repository, labels[:5])
    values = {"age_months": 112.5, "sex": "female"}
    corrected = replace(labels[0], values=values, readers=("ada@example.org", "bob@example.org"))
    commit(repository, [corrected, *labels[2:]])
    return folder


@pytest.fixture
def carpal(home: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("CARPAL_HOME", str(home))
    return CliRunner()


def test_show_prints_what_a_version_holds(carpal: CliRunner) -> None:
    result = carpal.invoke(app, ["versions", "show", "v1"])

    assert result.exit_code == 0
    assert "v0001: +5 labels, 0 corrected, 0 withdrawn" in result.output
    assert "5 (0 references) of 5 patients" in result.output
    assert "no patient is in two splits" in result.output


def test_show_as_json_holds_counts_commit_and_sizes(carpal: CliRunner, home: Path) -> None:
    found = json.loads(carpal.invoke(app, ["versions", "show", "--json"]).output)

    pool = {path.stem: path.stat().st_size for path in (home / "pool").rglob("*.png")}
    rows = open_repository(home).rows("v0002")
    assert found["name"] == "v0002"
    assert found["commit"] == open_repository(home).describe("v0002").commit
    assert (found["labels"], found["images"]) == (5, 5)
    assert found["image_bytes"] == sum(pool[row["id"]] for row in rows)
    assert found["readers"] == {"ada@example.org": 5, "bob@example.org": 1}
    assert {split["split"]: split["radiographs"] for split in found["splits"]} == {
        split.value: sum(row["split"] == split.value for row in rows) for split in Split
    }
    assert found["patients_in_two_splits"] == 0


def test_diff_prints_added_corrected_and_withdrawn_by_reader(carpal: CliRunner) -> None:
    result = carpal.invoke(app, ["versions", "diff", "v0001", "latest"])

    assert result.exit_code == 0
    lines = [line.split() for line in result.output.splitlines()]
    assert ["ada@example.org", "1", "0", "1", "0"] in lines
    assert ["bob@example.org", "0", "1", "0", "0"] in lines
    assert ["100", "112.5", "bob@example.org"] in [line[-3:] for line in lines]


def test_diff_without_arguments_is_against_the_version_before(carpal: CliRunner) -> None:
    found = json.loads(carpal.invoke(app, ["versions", "diff", "--json"]).output)

    assert (found["old"], found["new"]) == ("v0001", "v0002")
    assert found["summary"] == "+1 labels, 1 corrected, 1 withdrawn, 0 confirmed"
    (correction,) = found["corrections"]
    assert (correction["target"], correction["old"], correction["new"]) == (
        "age_months",
        "100",
        "112.5",
    )


@pytest.mark.parametrize(
    ("named", "old", "new"),
    [
        (["latest"], "v0001", "v0002"),
        (["v1", "v2"], "v0001", "v0002"),
        (["v2", "v1"], "v0002", "v0001"),
    ],
    ids=["one alone", "two", "two backwards"],
)
def test_diff_holds_one_version_against_the_one_before_and_two_against_each_other(
    carpal: CliRunner, named: list[str], old: str, new: str
) -> None:
    found = json.loads(carpal.invoke(app, ["versions", "diff", *named, "--json"]).output)

    assert (found["old"], found["new"]) == (old, new)


def test_diff_prints_no_more_rows_than_are_wanted(carpal: CliRunner) -> None:
    result = carpal.invoke(app, ["versions", "diff", "--rows", "0"])

    assert "... and 1 more corrected values: --rows N prints more of them." in result.output


def test_diff_draws_a_picture(carpal: CliRunner, tmp_path: Path) -> None:
    file = tmp_path / "new" / "diff.png"

    result = carpal.invoke(app, ["versions", "diff", "--picture", str(file)])

    assert result.exit_code == 0
    with Image.open(file) as picture:
        assert min(picture.size) > 500


def test_a_picture_in_no_known_format_is_refused(carpal: CliRunner, tmp_path: Path) -> None:
    result = carpal.invoke(app, ["versions", "diff", "--picture", str(tmp_path / "a.txt")])

    assert result.exit_code == 1
    assert "must end with one of .png" in str(result.exception)


@pytest.mark.parametrize("command", [["show", "v9"], ["diff", "v1", "v9"], ["checkout", "v9"]])
def test_an_unknown_version_is_one_sentence(carpal: CliRunner, command: list[str]) -> None:
    result = carpal.invoke(app, ["versions", *command])

    assert result.exit_code == 1
    assert "'v9': there are v0001, v0002." in str(result.exception)


def test_the_first_version_is_held_against_nothing(carpal: CliRunner) -> None:
    found = json.loads(carpal.invoke(app, ["versions", "diff", "v1", "--json"]).output)

    assert (found["old"], found["new"]) == ("nothing", "v0001")
    assert found["summary"] == "+5 labels, 0 corrected, 0 withdrawn, 0 confirmed"


def test_a_proposal_can_be_looked_at_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = some_labels(tmp_path, 3)
    commit(open_repository(tmp_path), labels[:2])
    proposing = open_repository(tmp_path)
    proposing.review = True
    propose(proposing, labels)
    monkeypatch.setenv("CARPAL_HOME", str(tmp_path))

    found = [
        json.loads(CliRunner().invoke(app, ["versions", "diff", name, "--json"]).output)
        for name in ("proposal", "v0002")
    ]

    assert found[0] == found[1]
    assert (found[0]["old"], found[0]["new"]) == ("v0001", "v0002 (proposed)")
    assert found[0]["summary"] == "+1 labels, 0 corrected, 0 withdrawn, 0 confirmed"


def test_where_no_proposal_waits_one_sentence_says_so(carpal: CliRunner) -> None:
    result = carpal.invoke(app, ["versions", "diff", "proposal"])

    assert "No dataset version waits for a person." in str(result.exception)


def test_checkout_puts_tables_and_images_into_a_folder(
    carpal: CliRunner, home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "v1"

    result = carpal.invoke(app, ["versions", "checkout", "v1", "--to", str(folder)])

    assert result.output.split() == ["v0001", "is", "in", f"{folder}."]
    rows = read_table((folder / "labels.csv").read_text())
    assert rows == open_repository(home).rows("v0001")
    assert all((folder / row["image"]).is_file() for row in rows)


def test_checkout_can_leave_the_images_out(carpal: CliRunner, tmp_path: Path) -> None:
    folder = tmp_path / "v1"

    carpal.invoke(app, ["versions", "checkout", "v1", "--to", str(folder), "--no-images"])

    assert (folder / "DATASET.md").is_file()
    assert not list(folder.rglob("*.png"))


def test_checkout_goes_into_the_workspace_where_no_folder_is_named(
    carpal: CliRunner, home: Path
) -> None:
    result = carpal.invoke(app, ["versions", "checkout", "latest", "--json"])

    assert json.loads(result.output) == {
        "version": "v0002",
        "folder": str(home / "versions" / "v0002"),
    }
    assert (home / "versions" / "v0002" / "labels.csv").is_file()


@pytest.fixture
def sound_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace whose only version was made from its ledger."""
    spec = load_task("bone_age")
    labels = some_labels(tmp_path, 2)
    with Ledger.open(Settings(home=tmp_path).ledger) as ledger:
        ledger.add_radiographs([label.radiograph for label in labels])
        ledger.record_readings(
            [
                Reading(label.radiograph.id, "ada@example.org", label.values, NOON, f"1:{number}")
                for number, label in enumerate(labels)
            ]
        )
        repository = DatasetRepository(tmp_path / "dataset", tmp_path / "pool", spec, AUTHOR)
        commit_current(ledger, repository, spec, "a test")
    monkeypatch.setenv("CARPAL_HOME", str(tmp_path))
    return tmp_path


def test_verify_says_that_nothing_is_broken(sound_home: Path) -> None:
    result = CliRunner().invoke(app, ["versions", "verify"])

    assert result.exit_code == 0
    assert "Nothing is broken: v0001, git, splits, images and the ledger's chain" in " ".join(
        result.output.split()
    )


def test_verify_ends_with_status_1_and_names_what_is_broken(sound_home: Path) -> None:
    image = next((sound_home / "pool").rglob("*.png"))
    image.chmod(0o600)
    image.write_bytes(image.read_bytes() + b"!")

    result = CliRunner().invoke(app, ["versions", "verify", "v1"])
    found = json.loads(CliRunner().invoke(app, ["versions", "verify", "--json"]).output)

    assert result.exit_code == 1
    assert "BROKEN  v0001: " in result.output
    assert image.stem in result.output
    assert [finding["broken"] for finding in found["findings"]] == [True] * len(found["findings"])


def test_a_quick_verify_does_not_read_images(sound_home: Path) -> None:
    image = next((sound_home / "pool").rglob("*.png"))
    image.chmod(0o600)
    image.write_bytes(bytes(reversed(image.read_bytes())))

    assert CliRunner().invoke(app, ["versions", "verify", "--quick"]).exit_code == 0
