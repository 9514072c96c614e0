"""Workers commit what changed, and the ledger knows every version there is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from data.domain import DatasetVersion, Reading
from data.ledger.ledger import Ledger
from data.ledger.snapshot import LabelSnapshot
from data.versions.repository import DatasetRepository
from data.versions.rules import rules_of
from tests.service.dataset_workspace import a_pooled_label, assert_sound, open_repository, shell
from tests.unit.data.dataset_cases import NOON, SPEC
from workers.committing import commit_current, note_versions

pytestmark = pytest.mark.service


class WatchedLedger(Ledger):
    """Remembers what was read of it."""

    def label_snapshot(self, *arguments: Any) -> LabelSnapshot:
        self.last = super().label_snapshot(*arguments)
        return self.last


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[WatchedLedger]:
    with WatchedLedger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as opened:
        yield opened


@pytest.fixture
def repository(tmp_path: Path, ledger: Ledger) -> DatasetRepository:
    """A repository with one version of films 1, 2 and 3."""
    read(tmp_path, ledger, 1, 2, 3)
    repository = open_repository(tmp_path)
    commit_current(ledger, repository, SPEC, "first")
    return repository


def read(home: Path, ledger: Ledger, *numbers: int, reader: str = "ada@x.org") -> None:
    for number in numbers:
        film = a_pooled_label(home, number).radiograph
        ledger.add_radiographs([film])
        at = NOON + timedelta(minutes=ledger.head()[0])
        values = {"age_months": float(number), "sex": "male"}
        ledger.record_readings([Reading(film.id, reader, values, at, f"1:{ledger.head()[0]}")])


def test_only_what_was_read_since_is_looked_at(
    tmp_path: Path, ledger: WatchedLedger, repository: DatasetRepository
) -> None:
    read(tmp_path, ledger, 4, 5)

    committed = commit_current(ledger, repository, SPEC, "two more")

    assert len(ledger.last.radiographs) == 2
    assert (committed.version.name, committed.version.labels) == ("v0002", 5)
    assert committed.seen == ledger.last.head[0]
    assert_sound(repository)


def test_a_film_that_cannot_be_read_leaves_the_table_and_is_counted(
    tmp_path: Path, ledger: WatchedLedger, repository: DatasetRepository
) -> None:
    (before,) = (r for r in ledger.readings() if r.values["age_months"] == 2.0)
    later = NOON + timedelta(days=1)
    ledger.record_readings([replace(before, values={}, unreadable="exposure", read_at=later)])

    committed = commit_current(ledger, repository, SPEC, "one cannot be read")

    assert committed.version.name == "v0002"
    assert before.radiograph_id not in {row["id"] for row in repository.rows("v0002")}
    report = shell(repository.root, "git", "show", "v0002:DATASET.md")
    assert "1 radiograph cannot be read and is not in `labels.csv`: exposure 1." in report
    assert_sound(repository)


def test_other_rules_look_at_everything_again(
    tmp_path: Path, ledger: WatchedLedger, repository: DatasetRepository
) -> None:
    read(tmp_path, ledger, 1, reader="bob@x.org")

    commit_current(ledger, repository, SPEC, "adjudicated", ["bob@x.org"])
    assert ledger.last.changed is None
    assert len(ledger.last.radiographs) == 3

    read(tmp_path, ledger, 4)
    commit_current(ledger, repository, SPEC, "one more", ["bob@x.org"])
    assert len(ledger.last.radiographs) == 1


def test_a_version_of_another_ledger_is_no_base(
    tmp_path: Path, repository: DatasetRepository
) -> None:
    (tmp_path / "other").mkdir()
    with WatchedLedger.open(f"sqlite:///{tmp_path / 'other' / 'ledger.db'}") as other:
        read(tmp_path, other, 3, 4, 4, 4)

        commit_current(other, repository, SPEC, "another ledger")

        assert other.last.changed is None
        assert {row["age_months"] for row in repository.rows("v0002")} == {"3", "4"}


def test_nothing_read_since_is_no_version(
    ledger: WatchedLedger, repository: DatasetRepository
) -> None:
    again = commit_current(ledger, repository, SPEC, "somebody asked")

    assert again.version == repository.describe("v0001")
    assert repository.versions() == ["v0001"]


def test_who_was_overtaken_by_another_process_takes_nothing_back(
    tmp_path: Path, ledger: WatchedLedger, repository: DatasetRepository
) -> None:
    # Given two who begin at v0001, one of whom sees one label more and is faster
    base = repository.base(rules_of(SPEC))
    assert base is not None
    read(tmp_path, ledger, 4)
    slow = ledger.label_snapshot(base.ledger_head)
    read(tmp_path, ledger, 5)
    commit_current(ledger, repository, SPEC, "the faster one")

    # When the slower one commits what it saw
    label = a_pooled_label(tmp_path, 4, age=4.0, sex="male")
    version = repository.commit_version(
        [label],
        trigger="the slower one",
        ledger_head=slow.head,
        committed_at=NOON,
        since=base.version,
        rules=rules_of(SPEC),
    )

    # Then the version of the faster one stands, which holds both
    assert version == repository.describe("v0002")
    assert repository.versions() == ["v0001", "v0002"]


def test_who_was_overtaken_by_one_who_saw_less_adds_the_rest(
    tmp_path: Path, ledger: WatchedLedger, repository: DatasetRepository
) -> None:
    read(tmp_path, ledger, 4)
    commit_current(ledger, repository, SPEC, "the faster one")
    read(tmp_path, ledger, 5)

    version = repository.commit_version(
        [a_pooled_label(tmp_path, number, age=float(number)) for number in (4, 5)],
        trigger="the slower one",
        ledger_head=ledger.head(),
        committed_at=NOON,
        since="v0001",
        rules=rules_of(SPEC),
    )

    assert isinstance(version, DatasetVersion)
    assert (version.name, version.labels) == ("v0003", 5)


def test_the_ledger_learns_of_a_version_whose_process_was_killed_after_the_tag(
    tmp_path: Path, ledger: WatchedLedger, repository: DatasetRepository
) -> None:
    version = repository.commit_version(
        [a_pooled_label(tmp_path, 1)], trigger="x", ledger_head=ledger.head(), committed_at=NOON
    )
    assert [known.name for known in ledger.versions()] == ["v0001"]

    assert note_versions(ledger, repository) == [version]

    assert [known.name for known in ledger.versions()] == ["v0001", "v0002"]
    assert note_versions(ledger, repository) == []


def test_tables_of_many_versions_are_packed_together(
    tmp_path: Path, ledger: WatchedLedger, repository: DatasetRepository
) -> None:
    # Given as many loose objects as would be packed in a large dataset
    assert not repository.tidy()
    noise = tmp_path / "noise"
    for number in range(5):
        noise.write_bytes(bytes([number]) * 2**20)
        shell(
            repository.root, "git", "-c", "core.looseCompression=0", "hash-object", "-w", str(noise)
        )

    # When
    assert repository.tidy()

    # Then every version is still there, and the next one can follow
    packs = list((repository.root / ".git" / "objects" / "pack").glob("*.pack"))
    assert packs
    assert len(repository.rows("v0001")) == 3
    read(tmp_path, ledger, 4)
    commit_current(ledger, repository, SPEC, "one more")
    assert_sound(repository)
