"""What a dataset version holds, in numbers: from git alone, without an image being there."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations, compress

from data.domain import Split, TaskSpec
from data.versions.draft import SPLITS
from data.versions.git_calls import Git
from data.versions.history import VersionHistory
from data.versions.report import reader_counts
from data.versions.shards import FOLDER
from data.versions.table import LabelTable
from data.versions.tags import read_tag
from data.versions.text import read_trailers

_READER = "Carpal <carpal@localhost>"
"""git wants an identity even where nothing is written."""


@dataclass(frozen=True, slots=True)
class SplitInventory:
    """What one split of a version holds.

    Attributes:
        split: Name of the split.
        patients: Persons.
        radiographs: Rows.
        choices: Choice target -> choice (empty: not stated) -> rows.
    """

    split: str
    patients: int
    radiographs: int
    choices: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a version holds.

    Attributes:
        name: `v0007`.
        commit: git commit, 40 hexadecimal digits.
        committed_at: UTC.
        summary: First line of its message.
        trigger: What asked for it.
        ledger_head: `<sequence number> <hash>` of the last ledger event that it contains.
        labels: Rows.
        references: Rows whose values come from a source's reference standard.
        patients: Persons.
        images: Image files.
        image_bytes: Size of these.
        labelled_from: First time of a label, ISO 8601 in UTC; empty without labels.
        labelled_to: Last time of a label.
        splits: In the order of `Split`.
        sources: Source -> rows.
        readers: Reader -> rows that this reader has read.
        patients_in_two_splits: 0, or the version is broken.
        splits_sha256: Of `splits.csv`, as `DATASET.md` states it.
    """

    name: str
    commit: str
    committed_at: datetime
    summary: str
    trigger: str
    ledger_head: str
    labels: int
    references: int
    patients: int
    images: int
    image_bytes: int
    labelled_from: str
    labelled_to: str
    splits: tuple[SplitInventory, ...]
    sources: Mapping[str, int]
    readers: Mapping[str, int]
    patients_in_two_splits: int
    splits_sha256: str


def inventory(history: VersionHistory, version: str) -> Inventory:
    """Counts what a version holds.

    Raises:
        NotFoundError: There is no such version.
        VersionError: git failed, or a table is not what Carpal writes.
    """
    table = history.table(version)
    git = Git(history.root, _READER)
    tag = read_tag(git, version)
    trailers = read_trailers(tag.message)
    splits_csv = git.read("cat-file", "blob", f"{tag.commit}:{SPLITS}")
    sizes = _image_sizes(git, tag.commit)
    ids = table.column("id")
    dates = table.column("labelled_at")
    patients = _patients_of(table)
    twice = set[str]().union(*(patients[a] & patients[b] for a, b in combinations(Split, 2)))
    return Inventory(
        name=version,
        commit=tag.commit,
        committed_at=tag.committed_at,
        summary=tag.message.partition("\n")[0],
        trigger=trailers.get("Trigger", ""),
        ledger_head=trailers.get("Ledger-Head", ""),
        labels=len(table),
        references=Counter(table.column("reference"))["true"],
        patients=len(set(table.column("patient"))),
        images=len(ids),
        image_bytes=sum(sizes.get(key, 0) for key in ids),
        labelled_from=min(dates, default=""),
        labelled_to=max(dates, default=""),
        splits=_split_inventories(history.spec, table, patients),
        sources=dict(sorted(Counter(table.column("source")).items())),
        readers=reader_counts(Counter(zip(table.column("readers"), strict=True))),
        patients_in_two_splits=len(twice),
        splits_sha256=hashlib.sha256(splits_csv).hexdigest(),
    )


def _patients_of(table: LabelTable) -> dict[Split, set[str]]:
    """Returns the patients of each split."""
    patients, splits = table.column("patient"), table.column("split")
    found: dict[Split, set[str]] = {}
    for split in Split:
        name = split.value
        found[split] = set(compress(patients, [cell == name for cell in splits]))
    return found


def _image_sizes(git: Git, commit: str) -> dict[str, int]:
    """Returns radiograph id -> bytes of its image, from the tables of all shards."""
    names = git.run("ls-tree", "--name-only", commit, f"{FOLDER}/").splitlines()
    shards = [f"{commit}:{name}" for name in names if name.endswith(".csv")]
    lines = git.run("show", *shards).splitlines() if shards else []
    rows = csv.reader(line for line in lines if not line.startswith("id,"))
    return {row[0]: int(row[2]) for row in rows}


def _split_inventories(
    spec: TaskSpec, table: LabelTable, patients: Mapping[Split, Collection[str]]
) -> tuple[SplitInventory, ...]:
    cells = table.column("split")
    rows = Counter(cells)
    choices = {
        target.name: Counter(zip(cells, table.column(target.name), strict=True))
        for target in spec.targets
        if target.kind == "choice"
    }
    return tuple(
        SplitInventory(
            split=split.value,
            patients=len(patients[split]),
            radiographs=rows[split.value],
            choices={
                name: {choice: n for (s, choice), n in sorted(counts.items()) if s == split.value}
                for name, counts in choices.items()
            },
        )
        for split in Split
    )
