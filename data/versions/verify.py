"""Check that dataset versions are what they say: in git, in DVC, in the pool and in the ledger."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from data.domain import TaskSpec
from data.errors import LedgerError, StorageError, VersionError
from data.ledger.ledger import Ledger
from data.versions.draft import LABELS, REPORT, SPLITS
from data.versions.git_calls import Git
from data.versions.history import VersionHistory
from data.versions.replay import replay_labels
from data.versions.rules import rules_of
from data.versions.table import LabelTable
from data.versions.tags import VersionTag, read_tag
from data.versions.text import (
    SPLIT_COLUMNS,
    check_splits,
    label_columns,
    label_rows,
    read_trailers,
    write_table,
)
from data.versions.verify_images import ImageCheck

_READER = "Carpal <carpal@localhost>"
_HEAD = re.compile(r"\d{1,18} [0-9a-f]{64}", re.ASCII)
NAMED = 3
"""Radiographs that a sentence names; the others are counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be, or that cannot be checked.

    Attributes:
        version: The version; empty: it concerns the whole repository or the ledger.
        sentence: What it is and what to do.
        broken: False: nothing is wrong, but something could not be proved.
    """

    version: str
    sentence: str
    broken: bool = True

    def __str__(self) -> str:
        return f"{self.version}: {self.sentence}" if self.version else self.sentence


@dataclass(frozen=True, slots=True)
class _Version:
    name: str
    tag: VersionTag
    labels: LabelTable
    splits: bytes
    report: str

    @property
    def head(self) -> tuple[int, str]:
        """Sequence number and hash of the ledger event that it was made at."""
        seq, _, digest = read_trailers(self.tag.message)["Ledger-Head"].partition(" ")
        return int(seq), digest


def verify(
    repository: VersionHistory,
    versions: Sequence[str],
    ledger: Ledger,
    *,
    quick: bool = False,
    adjudicators: Collection[str] = (),
    tick: Callable[[], None] = lambda: None,
) -> list[Finding]:
    """Checks versions: git's objects and tags, tables, splits, images, and the ledger.

    Args:
        repository: The dataset repository.
        versions: Names of versions, oldest first.
        ledger: The workspace's ledger.
        quick: Leaves out the content of images: they must be there, with their size.
        adjudicators: Readers whose readings settle disagreements.
        tick: Called after each image that was looked at; each is looked at once.

    Returns:
        What was found, in this order; empty: everything is as it says.

    Raises:
        NotFoundError: There is no such version.
        LedgerError: The ledger cannot be read.
    """
    git = Git(repository.root, _READER)
    broken = [*_chain(ledger)]
    edited = repository.edited_by_hand()
    found = [*_git(git), *_gone(repository, ledger), *broken]
    found += [Finding("", edited, broken=False)] if edited else []
    sound: list[_Version] = []
    images = ImageCheck(git, repository.pool, quick, tick)
    for name in versions:
        try:
            version = _read(git, name)
            checks = (*_tables(version, repository.spec), *images.find(f"refs/tags/{name}"))
        except VersionError as error:
            found.append(Finding(name, f"{error} Restore the repository from a clone of it."))
            continue
        sound.append(version)
        found += [Finding(name, sentence) for sentence in checks]
    found += _splits(sound, ledger)
    try:
        found += _ledger(sound, ledger, repository.spec, adjudicators, git)
    except LedgerError:
        if not broken:
            raise
    return found


def _git(git: Git) -> Iterator[Finding]:
    try:
        git.run("fsck", "--strict", "--no-dangling", "--no-progress")
    except (VersionError, StorageError) as error:
        yield Finding("", f"{error} Restore the repository from a clone of it.")


def _gone(repository: VersionHistory, ledger: Ledger) -> Iterator[Finding]:
    there = set(repository.versions())
    for version in ledger.versions():
        if version.name not in there:
            yield Finding(
                version.name,
                "The ledger knows it, but its tag is gone or another one: restore the repository "
                "from a clone of it.",
            )


def _chain(ledger: Ledger) -> Iterator[Finding]:
    try:
        ledger.verify_chain()
    except LedgerError as error:
        yield Finding("", f"{error} Restore the ledger from a backup.")


def _read(git: Git, name: str) -> _Version:
    tag = read_tag(git, name)
    labels, splits, report = (
        git.read("cat-file", "blob", f"{tag.commit}:{file}") for file in (LABELS, SPLITS, REPORT)
    )
    trailers = read_trailers(tag.message)
    if "Labels" not in trailers or not _HEAD.fullmatch(trailers.get("Ledger-Head", "")):
        raise VersionError("Its tag lacks what a version states.")
    table = LabelTable.parse(labels)
    missing = [column for column in SPLIT_COLUMNS if column not in table.names]
    if missing:
        raise VersionError(f"{LABELS} has no column {missing[0]!r}.")
    table.column("id")  # Raises if it is no table.
    return _Version(name, tag, table, splits, report.decode(errors="replace"))


def _tables(version: _Version, spec: TaskSpec) -> Iterator[str]:
    table, trailers = version.labels, read_trailers(version.tag.message)
    ids = list(table.column("id"))
    if table.names != label_columns(spec):
        yield f"{LABELS} has other columns than the task: it was made for another task."
    if ids != sorted(set(ids)):
        yield f"The rows of {LABELS} are not sorted, or a radiograph has two: restore the file."
    if str(len(ids)) != trailers["Labels"]:
        yield f"{LABELS} has {len(ids)} rows, but the tag states {trailers['Labels']}."
    if write_table(SPLIT_COLUMNS, table.rows()).encode() != version.splits:
        yield f"{SPLITS} does not say the same as {LABELS}: restore both from a clone."
    if hashlib.sha256(version.splits).hexdigest() not in version.report:
        yield f"{REPORT} states another hash of {SPLITS}: restore both from a clone."


def _splits(versions: Sequence[_Version], ledger: Ledger) -> Iterator[Finding]:
    """Every patient is in one split, in all versions and in the ledger."""
    places: dict[tuple[str, str], None] = {}
    for version in versions:
        rows = (version.labels.column(name) for name in ("patient", "split"))
        places.update(dict.fromkeys(zip(*rows, strict=True)))
        try:
            check_splits([patient for patient, _ in places], [split for _, split in places])
        except VersionError as error:
            yield Finding(version.name, f"{error} Do not train on it.")
            return
    told = ledger.patient_splits({patient for patient, _ in places})
    moved = sorted(patient for patient, split in places if told.get(patient) != split)
    if moved:
        yield Finding(
            "",
            f"The ledger has {_named('patient', moved)} in another split or does not know them: "
            "restore the ledger that the versions were made from.",
        )


def _ledger(
    versions: Sequence[_Version],
    ledger: Ledger,
    spec: TaskSpec,
    adjudicators: Collection[str],
    git: Git,
) -> Iterator[Finding]:
    """Each version stands on an event of the chain, and holds what the events up to it say."""
    standing: list[_Version] = []
    for version in versions:
        seq, digest = version.head
        event = next(ledger.events(after=seq - 1), None) if seq else None
        if event is None or (event.seq, event.hash) != (seq, digest):
            yield Finding(
                version.name,
                f"The ledger's event {seq} is not the one that it was made at: the ledger was "
                "replaced or altered; restore it from a backup.",
            )
        elif read_trailers(version.tag.message).get("Rules") != rules_of(spec, adjudicators):
            yield Finding(
                version.name,
                "It was made under other rules (targets, tolerances or adjudicators) than hold "
                "now, so its labels cannot be worked out again from the ledger.",
                broken=False,
            )
        else:
            standing.append(version)
    if not standing:
        return
    standing.sort(key=lambda version: version.head)
    heads = [version.head[0] for version in standing]
    replayed = replay_labels(ledger, heads, ledger.radiographs(), spec, adjudicators)
    for version, (_, labelled) in zip(standing, replayed, strict=True):
        files = _image_files(git, version.name)
        known = [row for row in labelled if row.radiograph.id in files]
        text = write_table(label_columns(spec), label_rows(known, files, spec)).encode()
        if text != version.labels.text or len(known) != len(labelled):
            ids = {row.radiograph.id for row in labelled if row.radiograph.id not in files}
            lines = set(text.splitlines()) ^ set(version.labels.text.splitlines())
            ids |= {line.partition(b",")[0].decode() for line in lines}
            yield Finding(
                version.name,
                f"{LABELS} is not what the readings in the ledger come to: "
                f"{_named('radiograph', sorted(ids))} differ; the table or the ledger was altered.",
            )


def _image_files(git: Git, version: str) -> dict[str, str]:
    tag = f"refs/tags/{version}"
    names = git.run("ls-tree", "--name-only", tag, "images/").splitlines()
    tables = [f"{tag}:{name}" for name in names if name.endswith(".csv")]
    lines = git.run("show", *tables).splitlines() if tables else []
    return {line.split(",")[0]: line.split(",")[1] for line in lines}


def _named(what: str, names: Sequence[str]) -> str:
    listed = ", ".join(names[:NAMED]) + (" and others" if len(names) > NAMED else "")
    return f"{len(names)} {what}{'s' if len(names) > 1 else ''} ({listed})"
