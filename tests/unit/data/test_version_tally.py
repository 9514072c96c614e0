"""The tally of a table: counted from its columns, carried by changed rows, kept in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.domain import GateRule, LabelledRadiograph, Split, Target, TaskSpec
from data.errors import VersionError
from data.versions.table import LabelTable
from data.versions.tally import DAY, Tally
from data.versions.tally_file import FILE, read_tally, write_tally
from data.versions.text import Row, label_columns, label_rows, write_table
from tests.unit.data.dataset_cases import PNEUMONIA, SPEC, a_label

BLOB = "0123456789abcdef0123456789abcdef01234567"


def rows_of(labelled: Sequence[LabelledRadiograph], spec: TaskSpec = SPEC) -> dict[str, Row]:
    files = {row.radiograph.id: "images/shard-0001/a.png" for row in labelled}
    return {row["id"]: row for row in label_rows(labelled, files, spec)}


def tally_of(*labelled: LabelledRadiograph, spec: TaskSpec = SPEC) -> Tally:
    rows = rows_of(labelled, spec).values()
    return Tally.of(spec, LabelTable.parse(write_table(label_columns(spec), rows)))


def test_a_tally_counts_rows_patients_and_what_they_say() -> None:
    tally = tally_of(
        a_label(1, age=60, sex="female", patient="p"),
        a_label(2, age=60, sex="male", patient="p"),
        a_label(3, age=60, sex="male", split=Split.TEST, reference=True),
    )

    assert tally.rows == 3
    assert dict(tally.counts["split", "sex"]) == {
        ("train", "female"): 1,
        ("train", "male"): 1,
        ("test", "male"): 1,
    }
    assert dict(tally.counts["age_months", "sex"]) == {("60", "female"): 1, ("60", "male"): 2}
    assert dict(tally.counts["reference",]) == {("false",): 2, ("true",): 1}
    assert [len(day) for (day,) in tally.counts[DAY,]] == [len("2026-03-01")]
    assert dict(tally.in_split) == {"train": 1, "test": 1}
    assert not tally.in_both


def test_a_patient_in_two_splits_is_counted_in_both() -> None:
    tally = tally_of(a_label(1, patient="p"), a_label(2, patient="p", split=Split.TEST))

    assert dict(tally.in_both) == {("train", "test"): 1}
    assert dict(tally.in_split) == {"train": 1, "test": 1}


labels = st.builds(
    lambda number, age, sex: a_label(
        number,
        age=age,
        sex=sex,
        patient=("p,1", "q%", "ü", "s")[number % 4],
        split=list(Split)[number % 4 % 3],
    ),
    number=st.integers(0, 12),
    age=st.sampled_from([3.0, 60.0, 61.5]),
    sex=st.sampled_from(["female", "male"]),
)
states = st.lists(labels, max_size=12, unique_by=lambda label: label.radiograph.id)


@given(old=states, new=states)
def test_a_carried_tally_is_that_of_the_new_table(
    old: list[LabelledRadiograph], new: list[LabelledRadiograph]
) -> None:
    before, after = rows_of(old), rows_of(new)
    gone = {key: row for key, row in before.items() if after.get(key) != row}
    come = {key: row for key, row in after.items() if before.get(key) != row}

    assert tally_of(*old).after(gone, come) == tally_of(*new)


@pytest.mark.parametrize("whole", [True, False], ids=["all rows", "one of two rows"])
def test_a_patient_who_moves_is_refused(whole: bool) -> None:
    old = rows_of([a_label(1, patient="p"), a_label(2, patient="p")])
    gone = old if whole else rows_of([a_label(1, patient="p")])
    come = {key: {**row, "split": "test"} for key, row in gone.items()}
    tally = tally_of(a_label(1, patient="p"), a_label(2, patient="p"))

    with pytest.raises(VersionError, match="Patient p is in test and in train"):
        tally.after(gone, come)


def test_a_task_that_counts_other_columns_needs_another_tally() -> None:
    tally = tally_of(a_label(1))

    assert tally.counts_for(SPEC)
    assert not tally.counts_for(PNEUMONIA)
    assert not tally.counts_for(replace(SPEC, gate=replace(SPEC.gate, band_by="")))


# Kept beside the repository


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A repository with the tally of two labels."""
    write_tally(tmp_path, BLOB, tally_of(a_label(1), a_label(2, split=Split.TEST)))
    return tmp_path


def test_what_is_kept_is_read_again(kept: Path) -> None:
    assert read_tally(kept, BLOB) == tally_of(a_label(1), a_label(2, split=Split.TEST))


def test_a_tally_of_other_labels_is_none(kept: Path) -> None:
    assert read_tally(kept, BLOB[::-1]) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: b"",
        lambda text: text[:-5],
        lambda text: text.replace(b"1,0,0", b"2,0,0"),
        lambda text: bytes(len(text)),
    ],
    ids=["empty", "cut off", "altered", "zeros"],
)
def test_a_damaged_tally_is_none(kept: Path, damage: object) -> None:
    file = kept / FILE
    assert callable(damage)
    altered = damage(file.read_bytes())
    assert altered != file.read_bytes()
    file.write_bytes(altered)

    assert read_tally(kept, BLOB) is None


def test_without_a_file_there_is_none(tmp_path: Path) -> None:
    assert read_tally(tmp_path, BLOB) is None


def test_a_target_called_day_is_not_taken_for_the_day_of_the_label() -> None:
    gate = GateRule(target="day", margin=1.0, band_margin=1.0, band_edges=())
    spec = replace(SPEC, targets=(Target("day", "number"),), gate=gate)

    tally = tally_of(replace(a_label(1), values={"day": 7.0}), spec=spec)

    assert tally.counts["day",] == {("7",): 1}
    assert len(next(iter(tally.counts[DAY,]))[0]) == len("2026-03-01")
