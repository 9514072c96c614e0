from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta, timezone

import pytest

from data.domain import DatasetVersion, LabelledRadiograph, Split, TaskSpec
from data.errors import VersionError
from data.shards import ShardedImage
from data.version_draft import VersionDraft, draft_version
from data.version_report import band_of
from data.version_text import (
    Changes,
    Row,
    check_splits,
    compare,
    instant,
    label_columns,
    label_rows,
    read_table,
    read_trailers,
    row_values,
    write_table,
)
from tests.unit.data.dataset_cases import (
    HEAD,
    NOON,
    PNEUMONIA,
    SPEC,
    a_label,
    radiograph_id,
)

VALUES = ("age_months", "sex")


def rows_of(*labelled: LabelledRadiograph, spec: TaskSpec = SPEC) -> list[Row]:
    return label_rows(labelled, {row.radiograph.id: "images/a.png" for row in labelled}, spec)


def a_draft(
    *labelled: LabelledRadiograph,
    old: list[Row] | None = None,
    spec: TaskSpec = SPEC,
    trigger: str = "50 new labels",
) -> VersionDraft | None:
    images = {
        row.radiograph.id: ShardedImage(f"images/shard-0001/{row.radiograph.id}.png", 1500)
        for row in labelled
    }
    return draft_version(
        spec,
        labelled,
        old or [],
        images,
        number=7,
        trigger=trigger,
        ledger_head=HEAD,
        committed_at=NOON,
    )


def report_of(*labelled: LabelledRadiograph, spec: TaskSpec = SPEC) -> str:
    draft = a_draft(*labelled, spec=spec)
    assert draft is not None
    return draft.texts["DATASET.md"]


def table_below(title: str, report: str) -> list[list[str]]:
    """Returns the cells of the table below a heading, without the line of dashes."""
    lines = report.split(f"## {title}\n")[1].split("\n## ")[0].splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    return [cells[0], *cells[2:]]


# Tables


def test_a_label_becomes_one_row_in_the_documented_columns() -> None:
    label = replace(
        a_label(7, age=120.5, sex="male", split=Split.TEST, readers=("b@x.org", "reference")),
        agreement=2 / 3,
        reference=True,
        labelled_at=NOON.astimezone(timezone(timedelta(hours=9))),
    )

    text = write_table(label_columns(SPEC), rows_of(label))

    assert text.splitlines()[0] == (
        "id,image,patient,split,age_months,sex,readers,agreement,reference,labelled_at,source"
    )
    assert text.splitlines()[1] == (
        f"{radiograph_id(7)},images/a.png,{7:016x},test,120.5,male,b@x.org;reference,0.667,true,"
        "2026-03-01T12:00:00Z,folder"
    )


def test_rows_are_sorted_by_id() -> None:
    rows = rows_of(a_label(3), a_label(1), a_label(2))

    assert [row["id"] for row in rows] == [radiograph_id(n) for n in (1, 2, 3)]


def test_a_table_survives_being_written_and_read() -> None:
    rows = rows_of(a_label(1, age=0.1), a_label(2, readers=('"a, b"@x.org',)))

    assert read_table(write_table(label_columns(SPEC), rows)) == rows


def test_a_reader_cannot_break_out_of_the_table() -> None:
    (row,) = rows_of(a_label(readers=("eve;mallory\n@x.org",)))

    assert row["readers"] == "eve_mallory_@x.org"


def test_the_values_of_a_row_are_read_by_the_tasks_targets() -> None:
    (row,) = rows_of(a_label(age=120.5, sex="male"))

    assert row_values(row, SPEC) == {"age_months": 120.5, "sex": "male"}
    assert row_values({**row, "sex": ""}, SPEC) == {"age_months": 120.5}


@pytest.mark.parametrize("cell", ["NaN", "twelve", "999"])
def test_a_cell_that_is_no_value_is_an_error_and_never_a_number(cell: str) -> None:
    (row,) = rows_of(a_label())

    with pytest.raises(VersionError, match="age_months"):
        row_values({**row, "age_months": cell}, SPEC)


# What changed


def test_changes_are_told_apart() -> None:
    old = rows_of(a_label(1), a_label(2), a_label(3), a_label(4), a_label(5))
    new = rows_of(
        a_label(1),
        a_label(2, age=101.0),
        a_label(3, sex="male"),
        a_label(4, readers=("ada@example.org", "bob@example.org")),
        a_label(6),
        a_label(7),
    )

    changes = compare(old, new, VALUES)

    assert changes == Changes(
        added=(radiograph_id(6), radiograph_id(7)),
        corrected=(radiograph_id(2), radiograph_id(3)),
        withdrawn=(radiograph_id(5),),
        confirmed=(radiograph_id(4),),
    )
    assert str(changes) == "+2 labels, 2 corrected, 1 withdrawn, 1 confirmed"


def test_nothing_confirmed_is_not_mentioned() -> None:
    assert str(compare([], rows_of(a_label()), VALUES)) == "+1 labels, 0 corrected, 0 withdrawn"


def test_the_same_rows_in_another_order_change_nothing() -> None:
    rows = rows_of(a_label(1), a_label(2))

    assert compare(rows, rows[::-1], VALUES) == Changes((), (), (), ())


# Splits


def test_a_patient_in_two_splits_is_refused() -> None:
    rows = rows_of(
        a_label(1, patient="p", split=Split.TRAIN), a_label(2, patient="p", split=Split.TEST)
    )

    with pytest.raises(VersionError, match="Patient p is in train and in test"):
        check_splits([], rows)


def test_a_patient_who_moves_between_versions_is_refused() -> None:
    old = rows_of(a_label(1, patient="p", split=Split.TEST))
    new = rows_of(a_label(2, patient="p", split=Split.TRAIN))

    with pytest.raises(VersionError, match="one split for ever"):
        check_splits(old, new)


# Drafts


def test_a_draft_holds_name_tables_and_message() -> None:
    draft = a_draft(a_label(1), a_label(2, split=Split.TEST, reference=True))

    assert draft is not None
    assert draft.name == "v0007"
    assert set(draft.texts) == {"labels.csv", "splits.csv", "DATASET.md"}
    assert draft.texts["splits.csv"] == (
        f"id,patient,split\n{radiograph_id(1)},{1:016x},train\n{radiograph_id(2)},{2:016x},test\n"
    )
    assert draft.message == (
        "v0007: +2 labels, 0 corrected, 0 withdrawn\n\n"
        "Readers: ada@example.org\n"
        "Trigger: 50 new labels\n"
        f"Ledger-Head: 41 {'ab' * 32}\n"
        "Labels: 2\n"
        "Expert-Labels: 1\n"
    )


def test_the_same_labels_again_need_no_version() -> None:
    assert a_draft(a_label(1), old=read_rows(a_draft(a_label(1)))) is None


def read_rows(draft: VersionDraft | None) -> list[Row]:
    assert draft is not None
    return read_table(draft.texts["labels.csv"])


def test_the_same_labels_give_the_same_bytes() -> None:
    assert a_draft(a_label(1), a_label(2)) == a_draft(a_label(2), a_label(1))


def test_no_label_at_all_is_no_version() -> None:
    with pytest.raises(VersionError, match="no label"):
        a_draft()


def test_all_labels_may_be_withdrawn_again() -> None:
    draft = a_draft(old=read_rows(a_draft(a_label(1))))

    assert draft is not None
    assert draft.texts["labels.csv"].count("\n") == 1
    assert "+0 labels, 0 corrected, 1 withdrawn" in draft.message


def test_two_labels_for_one_radiograph_are_refused() -> None:
    with pytest.raises(VersionError, match="two labels"):
        a_draft(a_label(1), a_label(1, age=50.0))


def test_a_trigger_cannot_forge_a_trailer() -> None:
    draft = a_draft(a_label(1), trigger="because\nLedger-Head: 1 forged")

    assert draft is not None
    trailers = read_trailers(draft.message)
    assert trailers["Ledger-Head"] == f"41 {'ab' * 32}"
    assert trailers["Trigger"] == "because Ledger-Head: 1 forged"


def test_times_are_kept_as_git_keeps_them() -> None:
    precise = NOON.replace(microsecond=987654).astimezone(timezone(timedelta(hours=-5)))

    version = DatasetVersion("v0001", "0" * 40, 1, 1, 1, instant(precise))

    assert version.committed_at == NOON


# DATASET.md


def test_the_report_counts_splits_and_choices() -> None:
    report = report_of(
        a_label(1, sex="female"),
        a_label(2, sex="male"),
        a_label(3, sex="male", patient=f"{2:016x}"),
        a_label(4, sex="male", split=Split.TEST),
    )

    assert table_below("Splits", report) == [
        ["split", "patients", "radiographs", "sex: female", "sex: male"],
        ["train", "2", "3", "1", "2"],
        ["calibration", "0", "0", "0", "0"],
        ["test", "1", "1", "0", "1"],
        ["all", "3", "4", "1", "3"],
    ]
    assert "4 labelled radiographs, 6 kB of images." in report


def test_the_report_has_a_table_of_bands_by_sex() -> None:
    # Edges 0, 60, 120, 240: a band holds its lower edge, the last one both.
    report = report_of(
        a_label(1, age=59.9, sex="female"),
        a_label(2, age=60.0, sex="female"),
        a_label(3, age=120.0, sex="male"),
        a_label(4, age=240.0, sex="male"),
    )

    assert table_below("age_months by sex", report) == [
        ["age_months (months)", "female", "male"],
        ["0 to 60", "1", "0"],
        ["60 to 120", "1", "0"],
        ["120 to 240", "0", "2"],
    ]


def test_values_outside_the_bands_and_unknown_sex_have_their_own_place() -> None:
    gate = replace(SPEC.gate, band_edges=(0, 60))
    label = replace(a_label(2), values={"age_months": 30.0})

    report = report_of(a_label(1, age=100.0), label, spec=replace(SPEC, gate=gate))

    assert table_below("age_months by sex", report) == [
        ["age_months (months)", "female", "male", "not stated"],
        ["0 to 60", "0", "0", "1"],
        ["outside", "1", "0", "0"],
    ]
    assert table_below("Splits", report)[0][-1] == "sex: not stated"


def test_a_task_of_choices_has_no_bands() -> None:
    normal = replace(a_label(1), values={"finding": "normal"})
    viral = replace(a_label(2), values={"finding": "pneumonia", "cause": "viral"})

    report = report_of(normal, viral, spec=PNEUMONIA)

    head, *lines = table_below("Splits", report)
    assert dict(zip(head, lines[-1], strict=True)) == {
        "split": "all",
        "patients": "2",
        "radiographs": "2",
        "finding: normal": "1",
        "finding: pneumonia": "1",
        "cause: bacterial": "0",
        "cause: viral": "1",
        "cause: not stated": "1",
    }


def test_the_report_proves_the_splits() -> None:
    draft = a_draft(a_label(1), a_label(2, split=Split.TEST))
    assert draft is not None
    report = draft.texts["DATASET.md"]

    assert table_below("Proof of the splits", report) == [
        ["splits", "patients in both"],
        ["train and calibration", "0"],
        ["train and test", "0"],
        ["calibration and test", "0"],
    ]
    assert hashlib.sha256(draft.texts["splits.csv"].encode()).hexdigest() in report


def test_the_report_names_readers_changes_and_the_ledger() -> None:
    report = report_of(a_label(1), a_label(2, readers=("ada@example.org", "a|b@example.org")))

    assert table_below("Readers", report)[1:] == [
        ["ada@example.org", "2"],
        ["a\\|b@example.org", "1"],
    ]
    assert "v0007: +2 labels, 0 corrected, 0 withdrawn." in report
    assert "Committed 2026-03-01 12:00 UTC, because: 50 new labels." in report
    assert f"Ledger event 41, hash `{'ab' * 32}`" in report


@pytest.mark.parametrize(
    ("value", "band"),
    [(-1, None), (0, 0), (59.9, 0), (60, 1), (240, 2), (240.1, None)],
)
def test_bands_hold_their_lower_edge_and_the_last_one_both(value: float, band: int | None) -> None:
    assert band_of(value, (0, 60, 120, 240)) == band
