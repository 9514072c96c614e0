"""What one dataset version says that another does not: whose readings made it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from data.domain import REFERENCE_READER, Split, TaskSpec
from data.versions.table import LabelTable
from data.versions.text import Row

KINDS = ("added", "corrected", "withdrawn", "confirmed")
BLOCK = 2**16
"""Bytes that are compared at once."""
LINES_BETWEEN_BLOCKS = 400
"""Lines that are compared one by one where blocks differ: about as many as a block holds."""


@dataclass(frozen=True, slots=True)
class Correction:
    """One value that is another one in the newer version.

    Attributes:
        radiograph_id: See `Radiograph.id`.
        target: Column of the value.
        old: Cell of the older version; empty: it had no value.
        new: Cell of the newer version; empty: it has none any more.
        readers: Whose readings made it; see `makers`.
    """

    radiograph_id: str
    target: str
    old: str
    new: str
    readers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReaderShare:
    """How many radiographs one reader's readings added, corrected, withdrew and confirmed.

    A radiograph of several readers counts for each of them.
    """

    reader: str
    added: int
    corrected: int
    withdrawn: int
    confirmed: int


@dataclass(frozen=True, slots=True)
class SplitSize:
    """Labelled radiographs of a split in both versions."""

    split: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class VersionDiff:
    """What changed from one version to another; everything sorted by radiograph.

    Attributes:
        added: Rows of the newer version whose radiographs the older one does not hold.
        corrected: Rows of the newer version in which at least one value is another one.
        corrections: Their values, one by one.
        withdrawn: Rows of the older version whose radiographs the newer one does not hold.
        confirmed: Rows of the newer version with the same values, but other readers, another
            agreement or another time.
        by_reader: Sorted by reader.
        splits: All splits, in the order of `Split`.
    """

    added: tuple[Row, ...]
    corrected: tuple[Row, ...]
    corrections: tuple[Correction, ...]
    withdrawn: tuple[Row, ...]
    confirmed: tuple[Row, ...]
    by_reader: tuple[ReaderShare, ...]
    splits: tuple[SplitSize, ...]

    def __str__(self) -> str:
        return (
            f"+{len(self.added)} labels, {len(self.corrected)} corrected, "
            f"{len(self.withdrawn)} withdrawn, {len(self.confirmed)} confirmed"
        )


def diff(old: LabelTable, new: LabelTable, spec: TaskSpec) -> VersionDiff:
    """Says what changed from `old` to `new`.

    Only lines that are not the same in both are taken apart, so two large versions that differ
    little cost little. Columns that only one of them has do not count.
    """
    gone, come = changed_lines(old, new)
    rows, columns = (_by_id(old, gone), _by_id(new, come)), (old.names, new.names)
    return diff_rows(*rows, columns, Counter(new.column("split")), spec)


def diff_rows(
    before: Mapping[str, Row],
    after: Mapping[str, Row],
    columns: tuple[Collection[str], Collection[str]],
    splits: Mapping[str, int],
    spec: TaskSpec,
) -> VersionDiff:
    """Says what changed, where it is known which rows did.

    Args:
        before: Radiograph id -> row of the older version, where the newer one has another or none.
        after: The same the other way round.
        columns: Of the older version and of the newer one.
        splits: Split -> rows of the newer version.
        spec: The task.
    """
    names, others = columns
    shared = [name for name in others if name in names]
    both = sorted(before.keys() & after.keys())
    targets = [target.name for target in spec.targets if target.name in shared]
    corrections = [
        found for key in both for found in _corrections(before[key], after[key], targets)
    ]
    changed_ids = {found.radiograph_id for found in corrections}
    rows: dict[str, list[Row]] = {
        "added": [after[key] for key in sorted(after.keys() - before.keys())],
        "corrected": [after[key] for key in both if key in changed_ids],
        "withdrawn": [before[key] for key in sorted(before.keys() - after.keys())],
        "confirmed": [
            after[key]
            for key in both
            if key not in changed_ids
            and any(before[key][name] != after[key][name] for name in shared)
        ],
    }
    return VersionDiff(
        added=tuple(rows["added"]),
        corrected=tuple(rows["corrected"]),
        corrections=tuple(corrections),
        withdrawn=tuple(rows["withdrawn"]),
        confirmed=tuple(rows["confirmed"]),
        by_reader=_by_reader(rows, before),
        splits=_split_sizes(before, after, splits),
    )


def makers(old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> tuple[str, ...]:
    """Returns whose readings made the difference between two rows of a radiograph.

    Readers who came or went; if nobody did, one of the readers changed what they said, and all are
    named (without the reference, unless it is alone). Of a new or withdrawn row, its readers.
    """
    before = set(_readers(old["readers"])) if old else set()
    after = set(_readers(new["readers"])) if new else set()
    everybody = before | after
    return tuple(sorted(before ^ after or everybody - {REFERENCE_READER} or everybody))


def changed_lines(old: LabelTable, new: LabelTable) -> tuple[list[bytes], list[bytes]]:
    """Returns the lines that only `old` has and those that only `new` has, without line feeds.

    Both are sorted by id, so they are walked through side by side, whole blocks at a time where
    they are equal. Tables with other columns have no line in common.
    """
    one, other = old.text, new.text
    if old.names != new.names:
        return one.split(b"\n")[1:-1], other.split(b"\n")[1:-1]
    gone: list[bytes] = []
    come: list[bytes] = []
    at, there = one.find(b"\n") + 1, other.find(b"\n") + 1
    skip = 0
    while at < len(one) and there < len(other):
        if skip == 0:
            at, there = _past_equal_blocks(one, at, other, there)
            skip = LINES_BETWEEN_BLOCKS
            continue
        skip -= 1
        end, finish = one.find(b"\n", at) + 1, other.find(b"\n", there) + 1
        line, its = one[at:end], other[there:finish]
        if line != its:
            key, its_key = line.partition(b",")[0], its.partition(b",")[0]
            if key <= its_key:
                gone.append(line[:-1])
            if key >= its_key:
                come.append(its[:-1])
            at, there = end if key <= its_key else at, finish if key >= its_key else there
        else:
            at, there = end, finish
    return gone + one[at:].split(b"\n")[:-1], come + other[there:].split(b"\n")[:-1]


def _past_equal_blocks(one: bytes, at: int, other: bytes, there: int) -> tuple[int, int]:
    """Returns the starts of the lines in which the first unequal blocks begin."""
    start = at
    while at < len(one) and one[at : at + BLOCK] == other[there : there + BLOCK]:
        at, there = at + BLOCK, there + BLOCK
    at, there = min(at, len(one)), there - max(0, at - len(one))
    back = at - max(start, one.rfind(b"\n", start, at) + 1)
    return at - back, there - back


def _by_id(table: LabelTable, lines: Iterable[bytes]) -> dict[str, Row]:
    rows = (table.row(line) for line in lines)
    return {row["id"]: row for row in rows}


def _corrections(old: Row, new: Row, targets: Iterable[str]) -> list[Correction]:
    return [
        Correction(new["id"], name, old[name], new[name], makers(old, new))
        for name in targets
        if old[name] != new[name]
    ]


def _by_reader(
    rows: Mapping[str, Sequence[Row]], before: Mapping[str, Row]
) -> tuple[ReaderShare, ...]:
    counts: dict[str, Counter[str]] = {}
    for kind in KINDS:
        for row in rows[kind]:
            old = before.get(row["id"])
            for reader in makers(old, None if kind == "withdrawn" else row):
                counts.setdefault(reader, Counter())[kind] += 1
    return tuple(
        ReaderShare(reader, *(counts[reader][kind] for kind in KINDS)) for reader in sorted(counts)
    )


def _split_sizes(
    before: Mapping[str, Row], after: Mapping[str, Row], now: Mapping[str, int]
) -> tuple[SplitSize, ...]:
    """The older version differs from the newer one by the changed rows."""
    came = Counter(row["split"] for row in after.values())
    went = Counter(row["split"] for row in before.values())
    return tuple(
        SplitSize(split, now.get(split, 0) - came[split] + went[split], now.get(split, 0))
        for split in (split.value for split in Split)
    )


def _readers(cell: str) -> list[str]:
    return [reader for reader in cell.split(";") if reader]
