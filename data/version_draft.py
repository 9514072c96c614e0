"""Work out everything that a new dataset version consists of, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from data.domain import LabelledRadiograph, TaskSpec
from data.errors import VersionError
from data.shards import ShardedImage
from data.version_report import dataset_report
from data.version_text import (
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
class VersionDraft:
    """A version that is to be committed.

    Attributes:
        name: `v0007`.
        texts: File in the repository -> its content.
        message: Of the commit and of the tag.
        committed_at: UTC, whole seconds.
    """

    name: str
    texts: Mapping[str, str]
    message: str
    committed_at: datetime


def draft_version(
    spec: TaskSpec,
    labelled: Sequence[LabelledRadiograph],
    old_rows: Sequence[Row],
    images: Mapping[str, ShardedImage],
    *,
    number: int,
    trigger: str,
    ledger_head: tuple[int, str],
    committed_at: datetime,
) -> VersionDraft | None:
    """Drafts version `number`, or returns None if it would be the same as the one before.

    Args:
        spec: The task.
        labelled: All labelled radiographs.
        old_rows: Rows of `labels.csv` of the version before; none for the first one.
        images: Radiograph id -> image in the repository, for all of them.
        number: Of the new version.
        trigger: What asked for it.
        ledger_head: Sequence number and hash of the last ledger event that it contains.
        committed_at: UTC, whole seconds.

    Raises:
        VersionError: No label at all, two labels for a radiograph, or a patient in two splits.
    """
    rows = label_rows(labelled, {key: image.file for key, image in images.items()}, spec)
    if not rows and not old_rows:
        raise VersionError("There is no label to commit yet.")
    if rows == old_rows:
        return None
    if len({row["id"] for row in rows}) != len(rows):
        raise VersionError("A radiograph has two labels: each must have one.")
    check_splits(old_rows, rows)
    splits_csv = write_table(SPLIT_COLUMNS, rows)
    facts = VersionFacts(
        name=f"v{number:04d}",
        changes=compare(old_rows, rows, [target.name for target in spec.targets]),
        trigger=trigger,
        ledger_head=ledger_head,
        committed_at=committed_at,
        splits_csv=splits_csv,
        image_bytes=sum(images[row["id"]].size for row in rows),
    )
    texts = {
        LABELS: write_table(label_columns(spec), rows),
        SPLITS: splits_csv,
        REPORT: dataset_report(spec, rows, facts),
    }
    return VersionDraft(facts.name, texts, commit_message(facts, rows), committed_at)
