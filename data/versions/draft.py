"""Work out everything that a new dataset version consists of, before anything is written."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from data.domain import LabelledRadiograph, TaskSpec
from data.errors import VersionError
from data.readers.agreement import LabelNoise
from data.versions.diff import diff_rows
from data.versions.picture import histogram_svg, picture_name
from data.versions.report import dataset_report, reader_counts
from data.versions.splice import find_lines, splice
from data.versions.table import LabelTable
from data.versions.tags import version_name
from data.versions.tally import Tally
from data.versions.text import (
    SPLIT_COLUMNS,
    Row,
    VersionFacts,
    check_splits,
    commit_message,
    compare,
    label_columns,
    label_rows,
    write_table,
)

LABELS, SPLITS, REPORT = "labels.csv", "splits.csv", "DATASET.md"


@dataclass(frozen=True, slots=True)
class LabelState:
    """What is labelled at one moment of the ledger, as a whole or against an earlier moment.

    Attributes:
        labelled: Labelled radiographs.
        trigger: What asked for the version, for people.
        ledger_head: Sequence number and hash of the last ledger event that it contains.
        committed_at: UTC, whole seconds.
        unlabelled: Radiographs that have no label; None: all that are not among `labelled`.
        rules: What made the labels out of readings; see `rules.py`.
        noise: How far readers agree; None: it was not looked at.
        near_duplicates: Pairs of radiographs that look alike; None: they were not looked for.
        unreadable: Reason -> radiographs that cannot be read and so have no label.
    """

    labelled: Sequence[LabelledRadiograph]
    trigger: str
    ledger_head: tuple[int, str]
    committed_at: datetime
    unlabelled: Collection[str] | None = None
    rules: str = ""
    noise: LabelNoise | None = None
    near_duplicates: int | None = None
    unreadable: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tables:
    """The two tables of a version."""

    labels: LabelTable
    splits: LabelTable


@dataclass(frozen=True, slots=True)
class RowChange:
    """What a version changes in the rows of `labels.csv`.

    Attributes:
        lines: Radiograph id -> its line, where it is another one; None: it has none any more.
        before: Rows of the version before, for those of `lines` that it holds.
        after: Rows of the new version, for those of `lines` that it holds.
    """

    lines: Mapping[str, bytes | None]
    before: Mapping[str, Row]
    after: Mapping[str, Row]


@dataclass(frozen=True, slots=True)
class VersionDraft:
    """A version that is to be committed.

    Attributes:
        name: `v0007`.
        texts: File in the repository -> its content.
        message: Of the commit and of the tag.
        committed_at: UTC, whole seconds.
        tally: What its rows come to.
    """

    name: str
    texts: Mapping[str, bytes]
    message: str
    committed_at: datetime
    tally: Tally


def no_tables(spec: TaskSpec) -> Tables:
    """Returns the tables of a dataset without a row."""
    labels, splits = (write_table(c, []).encode() for c in (label_columns(spec), SPLIT_COLUMNS))
    return Tables(LabelTable(labels), LabelTable(splits))


def change_rows(
    spec: TaskSpec, state: LabelState, tables: Tables, files: Mapping[str, str]
) -> RowChange:
    """Works out which rows are other ones than in the version before.

    Args:
        spec: The task.
        state: What is labelled now.
        tables: Of the version before.
        files: Radiograph id -> image file in the repository, for all that are labelled.

    Raises:
        VersionError: A radiograph has two labels.
    """
    columns = label_columns(spec)
    rows = {row["id"]: row for row in label_rows(state.labelled, files, spec)}
    if len(rows) != len(state.labelled):
        raise VersionError("A radiograph has two labels: each must have one.")
    text = write_table(columns, rows.values()).encode()
    told = dict(zip(rows, (line + b"\n" for line in text.split(b"\n")[1:-1]), strict=True))
    gone = state.unlabelled
    if gone is None:
        gone = set(tables.labels.column("id")) - rows.keys()
    old = find_lines(tables.labels, {*rows, *gone})
    lines: dict[str, bytes | None] = {key: None for key in gone if key in old}
    kept = old if tables.labels.names == columns else {}
    lines.update({key: line for key, line in told.items() if kept.get(key) != line})
    return RowChange(
        lines=lines,
        before={key: tables.labels.row(old[key]) for key in lines if key in old},
        after={key: rows[key] for key in lines if key in rows},
    )


def change_tables(spec: TaskSpec, tables: Tables, change: RowChange) -> Tables:
    """Returns the tables of the new version."""
    same = tables.labels.names == label_columns(spec)
    labels = tables.labels if same else no_tables(spec).labels  # The task has other columns now.
    splits = splice(tables.splits, _split_lines(change))
    return Tables(LabelTable(splice(labels, change.lines)), LabelTable(splits))


def draft_version(
    spec: TaskSpec,
    state: LabelState,
    tables: tuple[Tables, Tables],
    change: RowChange,
    *,
    number: int,
    image_bytes: int,
    overwrites: str = "",
    carried: Tally | None = None,
) -> VersionDraft:
    """Drafts version `number`.

    Args:
        spec: The task.
        state: What is labelled now.
        tables: Of the version before and of the new one.
        change: What `change_rows` found.
        number: Of the new version.
        image_bytes: Size of the images of all labelled radiographs.
        overwrites: Which change of the tables by hand it takes back; empty: none.
        carried: What the rows of the version before come to; None: all rows are counted.

    Raises:
        VersionError: A patient is in two splits.
    """
    before, labels, splits = tables[0].labels, tables[1].labels, tables[1].splits.text
    tally = _tally(spec, (before, labels), change, carried)
    targets = [target.name for target in spec.targets]
    facts = VersionFacts(
        name=version_name(number),
        changes=compare(change.before.values(), change.after.values(), targets),
        trigger=state.trigger,
        ledger_head=state.ledger_head,
        committed_at=state.committed_at,
        splits_csv=splits,
        image_bytes=image_bytes,
        rules=state.rules,
        overwrites=overwrites,
    )
    columns = (before.names, labels.names)
    rows = {split: count for (split,), count in tally.counts["split",].items()}
    changed = diff_rows(change.before, change.after, columns, rows, spec)
    report = dataset_report(
        spec, tally, facts, state.noise, changed, state.near_duplicates, state.unreadable
    )
    texts = {
        LABELS: labels.text,
        SPLITS: splits,
        REPORT: report.encode(),
        picture_name(spec): histogram_svg(spec, tally).encode(),
    }
    experts = tally.rows - tally.counts["reference",]["true",]
    message = commit_message(facts, tally.rows, experts, reader_counts(tally.counts["readers",]))
    return VersionDraft(facts.name, texts, message, state.committed_at, tally)


def _tally(
    spec: TaskSpec, labels: tuple[LabelTable, LabelTable], change: RowChange, carried: Tally | None
) -> Tally:
    """Proves that each patient is in one split, and counts the new version."""
    before, table = labels
    if carried is not None and before.names == table.names and carried.counts_for(spec):
        return carried.after(change.before, change.after)
    moved = [(row["patient"], row["split"]) for row in change.before.values()]
    check_splits(
        [*table.column("patient"), *(patient for patient, _ in moved)],
        [*table.column("split"), *(split for _, split in moved)],
    )
    return Tally.of(spec, table)


def _split_lines(change: RowChange) -> dict[str, bytes | None]:
    def line(row: Row | None) -> bytes | None:
        return (
            None if row is None else write_table(SPLIT_COLUMNS, [row]).encode().split(b"\n", 1)[1]
        )

    pairs = ((key, change.before.get(key), change.after.get(key)) for key in change.lines)
    return {key: line(new) for key, old, new in pairs if line(old) != line(new)}
