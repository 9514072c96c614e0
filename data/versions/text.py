"""The text of a dataset version: its tables, what changed, and the message of its commit.

Everything here is a pure function of its arguments, and the same arguments give the same bytes.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from data.domain import LabelledRadiograph, TaskSpec, Value
from data.errors import InvalidInputError, VersionError
from data.values import format_value, parse_value

Row = dict[str, str]
"""One row of a table: column -> cell."""

Readers = Mapping[str, int]
"""Reader -> rows that this reader has read."""

SPLIT_COLUMNS = ("id", "patient", "split")
SHARD_COLUMNS = ("id", "file", "bytes")


@dataclass(frozen=True, slots=True)
class Changes:
    """What a version changes against the one before it: ids of radiographs, sorted.

    Attributes:
        added: Newly labelled.
        corrected: At least one value is another one.
        withdrawn: No longer labelled.
        confirmed: The values stayed, but readers, agreement or time of the label did not.
    """

    added: tuple[str, ...]
    corrected: tuple[str, ...]
    withdrawn: tuple[str, ...]
    confirmed: tuple[str, ...]

    def __str__(self) -> str:
        text = (
            f"+{len(self.added)} labels, {len(self.corrected)} corrected, "
            f"{len(self.withdrawn)} withdrawn"
        )
        return text + (f", {len(self.confirmed)} confirmed" if self.confirmed else "")


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """What is told of a version besides its rows.

    Attributes:
        name: `v0007`.
        changes: Against the version before.
        trigger: What asked for the version, such as `50 new labels`.
        ledger_head: Sequence number and hash of the last ledger event that it contains.
        committed_at: UTC.
        splits_csv: The text of `splits.csv`.
        image_bytes: Size of all images of the rows together.
        rules: Hash of the rules that made the labels out of the readings; see `rules.py`.
        overwrites: Which change of the tables by hand the version takes back; empty: none.
    """

    name: str
    changes: Changes
    trigger: str
    ledger_head: tuple[int, str]
    committed_at: datetime
    splits_csv: bytes
    image_bytes: int
    rules: str = ""
    overwrites: str = ""


def label_columns(spec: TaskSpec) -> tuple[str, ...]:
    """Returns the columns of `labels.csv`: the same for every version of a task.

    Raises:
        VersionError: A target has the name of another column.
    """
    targets = tuple(target.name for target in spec.targets)
    facts = ("readers", "agreement", "reference", "labelled_at", "source")
    columns = ("id", "image", "patient", "split", *targets, *facts)
    twice = next((name for name in targets if columns.count(name) > 1), None)
    if twice is not None:
        raise VersionError(
            f"The target {twice!r} has the name of another column of {spec.name}'s labels.csv: "
            "choose another name."
        )
    return columns


def label_rows(
    labelled: Iterable[LabelledRadiograph], images: Mapping[str, str], spec: TaskSpec
) -> list[Row]:
    """Returns the rows of `labels.csv`, sorted by id.

    Args:
        labelled: One for each radiograph.
        images: Radiograph id -> image file, relative to the repository.
        spec: The task.
    """
    return [
        {
            "id": row.radiograph.id,
            "image": images[row.radiograph.id],
            "patient": row.radiograph.patient,
            "split": row.radiograph.split.value,
            **{t.name: format_value(row.values.get(t.name)) for t in spec.targets},
            "readers": ";".join(_one_word(reader) for reader in row.readers),
            "agreement": f"{row.agreement:.3g}",
            "reference": "true" if row.reference else "false",
            "labelled_at": row.labelled_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "source": row.radiograph.source,
        }
        for row in sorted(labelled, key=lambda row: row.radiograph.id)
    ]


def write_table(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> str:
    """Writes a CSV table (RFC 4180, but lines end with a line feed); other cells are left out.

    Raises:
        VersionError: A cell holds a line break: each row is one line, so that git shows it as one.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        cells = [row.get(column, "") for column in columns]
        broken = next((cell for cell in cells if "\n" in cell or "\r" in cell), None)
        if broken is not None:
            raise VersionError(f"{broken!r} holds a line break and cannot be put into a table.")
        writer.writerow(cells)
    return buffer.getvalue()


def read_table(text: str) -> list[Row]:
    """Reads what `write_table` wrote."""
    return list(csv.DictReader(io.StringIO(text, newline="")))


def row_values(row: Mapping[str, str], spec: TaskSpec) -> dict[str, Value]:
    """Returns target name -> value of a row of `labels.csv`; empty cells are absent.

    Raises:
        VersionError: A cell is not a value of its target.
    """
    try:
        return {
            target.name: parse_value(target, row[target.name])
            for target in spec.targets
            if row.get(target.name)
        }
    except InvalidInputError as error:
        raise VersionError(f"labels.csv, radiograph {row.get('id')}: {error}") from error


def compare(old: Iterable[Row], new: Iterable[Row], values: Collection[str]) -> Changes:
    """Says what changed from one `labels.csv` to the next.

    Args:
        old: Rows of the version before.
        new: Rows of this version.
        values: The columns that hold values; another one there is a correction.
    """
    before, after = {row["id"]: row for row in old}, {row["id"]: row for row in new}
    corrected: list[str] = []
    confirmed: list[str] = []
    for key in sorted(before.keys() & after.keys()):
        if any(before[key].get(name, "") != after[key].get(name, "") for name in values):
            corrected.append(key)
        elif before[key] != after[key]:
            confirmed.append(key)
    return Changes(
        added=tuple(sorted(after.keys() - before.keys())),
        corrected=tuple(corrected),
        withdrawn=tuple(sorted(before.keys() - after.keys())),
        confirmed=tuple(confirmed),
    )


def check_splits(patients: Sequence[str], splits: Sequence[str]) -> None:
    """Proves that every patient is in one split.

    Args:
        patients: Of every row of a version, and of those of the one before it that changed.
        splits: Of the same rows.

    Raises:
        VersionError: A patient is in two splits, or has moved.
    """
    places = dict(zip(patients, splits, strict=True))
    settled = list(map(places.__getitem__, patients))
    if settled == list(splits):
        return
    found = zip(patients, splits, settled, strict=True)
    patient, *both = next((p, *sorted((one, other))) for p, one, other in found if one != other)
    raise VersionError(
        f"Patient {patient} is in {both[0]} and in {both[1]}: a patient stays in one split for "
        "ever. Was the workspace's salt changed?"
    )


def commit_message(facts: VersionFacts, labels: int, experts: int, readers: Readers) -> str:
    """Writes the message of a version's commit and tag; its last lines are git trailers.

    Args:
        facts: What is told of the version.
        labels: Rows of `labels.csv`.
        experts: Those of them whose values come from readers.
        readers: Reader -> rows that this reader has read.
    """
    trailers = {
        "Readers": ", ".join(f"{reader} ({count})" for reader, count in readers.items()),
        "Trigger": facts.trigger,
        "Ledger-Head": f"{facts.ledger_head[0]} {facts.ledger_head[1]}",
        "Labels": str(labels),
        "Expert-Labels": str(experts),
        "Image-Bytes": str(facts.image_bytes),
        **({"Rules": facts.rules} if facts.rules else {}),
        **({"Overwrites": facts.overwrites} if facts.overwrites else {}),
    }
    lines = (f"{key}: {' '.join(text.split()) or '-'}" for key, text in trailers.items())
    return f"{facts.name}: {facts.changes}\n\n" + "\n".join(lines) + "\n"


def read_trailers(message: str) -> dict[str, str]:
    """Returns the trailers of a message that `commit_message` wrote."""
    return dict(re.findall(r"^([A-Z][A-Za-z-]+): (.*)$", message, re.MULTILINE))


def instant(moment: datetime) -> datetime:
    """Returns a time as git keeps it: UTC, whole seconds."""
    return moment.astimezone(UTC).replace(microsecond=0)


def _one_word(reader: str) -> str:
    return re.sub(r"[\s;,]+", "_", reader)
