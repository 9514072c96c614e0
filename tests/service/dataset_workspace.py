"""A pool with small films and the dataset repository beside it, for tests and their processes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from data.domain import DatasetVersion, LabelledRadiograph, Split
from data.pool import Pool
from data.versions.proposals import Proposal
from data.versions.repository import DatasetRepository
from tests.unit.data.dataset_cases import HEAD, NOON, SPEC, a_film, a_label, encoded

AUTHOR = "Carpal Bot <bot@example.org>"
ROOT = Path(__file__).parents[2]


def a_pooled_label(home: Path, number: int, **other: object) -> LabelledRadiograph:
    """Puts film `number` into the pool and labels it; see `a_label`."""
    split = (Split.TRAIN, Split.CALIBRATION, Split.TEST)[number % 3]
    label = a_label(number, **{"split": split, **other})  # type: ignore[arg-type]
    image = Pool(home / "pool").add(encoded(a_film(12, 10, seed=number)))
    return replace(label, radiograph=replace(label.radiograph, id=image.id, path=image.path))


def some_labels(home: Path, count: int) -> list[LabelledRadiograph]:
    """Films 1 to `count`, labelled."""
    return [a_pooled_label(home, number) for number in range(1, count + 1)]


def open_repository(home: Path, remote: Path | None = None, **other: Any) -> DatasetRepository:
    """The repository of a workspace; a remote is a folder."""
    address = "" if remote is None else str(remote)
    return DatasetRepository(home / "dataset", home / "pool", SPEC, AUTHOR, address, **other)


def commit(repository: DatasetRepository, labels: list[LabelledRadiograph]) -> DatasetVersion:
    """Commits labels with everything else as always."""
    version = commit_or_propose(repository, labels)
    assert isinstance(version, DatasetVersion)
    return version


def propose(repository: DatasetRepository, labels: list[LabelledRadiograph]) -> Proposal:
    """Proposes labels with everything else as always."""
    proposal = commit_or_propose(repository, labels)
    assert isinstance(proposal, Proposal)
    return proposal


def commit_or_propose(
    repository: DatasetRepository, labels: list[LabelledRadiograph]
) -> DatasetVersion | Proposal:
    """Commits or, in review mode, proposes them."""
    return repository.commit_version(
        labels, trigger="50 new labels", ledger_head=HEAD, committed_at=NOON
    )


def outside_environment(folder: Path) -> dict[str, str]:
    """The environment of a user who never heard of Carpal, for plain git and DVC."""
    return {
        **os.environ,
        "HOME": str(folder),
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(folder / "site-cache"),
    }


def shell(folder: Path, *command: str) -> str:
    """Runs a program as such a user and returns what it prints."""
    done = subprocess.run(
        command, cwd=folder, env=outside_environment(folder.parent), text=True, capture_output=True
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def dvc(folder: Path, *arguments: str) -> str:
    """Runs plain DVC."""
    return shell(folder, sys.executable, "-m", "dvc", *arguments)


def assert_sound(repository: DatasetRepository) -> None:
    """The repository is as git wants it, clean, on its branch, and at its latest version."""
    root = repository.root
    shell(root, "git", "fsck", "--strict", "--no-dangling")
    assert shell(root, "git", "status", "--porcelain") == ""
    assert shell(root, "git", "symbolic-ref", "HEAD") == "refs/heads/main\n"
    latest = repository.latest()
    if latest is not None:
        assert (
            shell(root, "git", "rev-parse", "HEAD", f"{latest}^{{commit}}").split()
            == [repository.describe(latest).commit] * 2
        )
    shards = {path.stem for path in (root / "images").glob("shard-*.csv")}
    assert {path.stem for path in (root / "images").glob("shard-*")} == shards
    assert repository.dirty() == ""
