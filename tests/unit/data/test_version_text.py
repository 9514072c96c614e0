from __future__ import annotations

from dataclasses import replace
from datetime import timedelta, timezone

import pytest

from data.domain import DatasetVersion, LabelledRadiograph, Split, Target, TaskSpec
from data.errors import VersionError
from data.versions.text import (
    Changes,
    Row,
    VersionFacts,
    check_splits,
    commit_message,
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
    SPEC,
    a_label,
    radiograph_id,
)

VALUES = ("age_months", "sex")


def rows_of(*labelled: LabelledRadiograph, spec: TaskSpec = SPEC) -> list[Row]:
    return label_rows(labelled, {row.radiograph.id: "images/a.png" for row in labelled}, spec)


# Tables


@pytest.mark.parametrize("name", ["source", "split", "labelled_at"])
def test_a_target_that_has_the_name_of_another_column_is_refused(name: str) -> None:
    spec = replace(SPEC, targets=(*SPEC.targets, Target(name, "choice", choices=("a", "b"))))

    with pytest.raises(VersionError, match=f"'{name}' .* another column of .*labels.csv"):
        label_columns(spec)


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


@pytest.mark.parametrize("cell", ["two\nlines", "two\rlines"], ids=repr)
def test_a_cell_with_a_line_break_is_refused(cell: str) -> None:
    with pytest.raises(VersionError, match="line break"):
        write_table(("id", "source"), [{"id": "1", "source": cell}])


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


@pytest.mark.parametrize("splits", [("train", "test"), ("test", "train")], ids=str)
def test_a_patient_in_two_splits_is_refused(splits: tuple[str, str]) -> None:
    with pytest.raises(VersionError, match=r"Patient p is in test and in train: .* for ever"):
        check_splits(("p", "q", "p"), (splits[0], "test", splits[1]))


def test_patients_who_stay_in_their_split_are_fine() -> None:
    check_splits(("p", "q", "p"), ("train", "test", "train"))


# The message


def facts(**other: str) -> VersionFacts:
    changes = Changes((radiograph_id(1),), (), (), ())
    given = {"name": "v0007", "trigger": "50 new labels", **other}
    return VersionFacts(
        **given,
        changes=changes,
        ledger_head=HEAD,
        committed_at=NOON,
        splits_csv=b"",
        image_bytes=0,
    )


def test_a_message_says_what_changed_who_read_and_what_it_stands_on() -> None:
    message = commit_message(facts(rules="ab12"), 3, 2, {"ada@example.org": 2, "reference": 1})

    assert message == (
        "v0007: +1 labels, 0 corrected, 0 withdrawn\n\n"
        "Readers: ada@example.org (2), reference (1)\n"
        "Trigger: 50 new labels\n"
        f"Ledger-Head: 41 {'ab' * 32}\n"
        "Labels: 3\n"
        "Expert-Labels: 2\n"
        "Image-Bytes: 0\n"
        "Rules: ab12\n"
    )


def test_a_trigger_cannot_forge_a_trailer() -> None:
    message = commit_message(facts(trigger="because\nLedger-Head: 1 forged"), 1, 1, {})

    trailers = read_trailers(message)
    assert trailers["Ledger-Head"] == f"41 {'ab' * 32}"
    assert trailers["Trigger"] == "because Ledger-Head: 1 forged"


def test_times_are_kept_as_git_keeps_them() -> None:
    precise = NOON.replace(microsecond=987654).astimezone(timezone(timedelta(hours=-5)))

    version = DatasetVersion("v0001", "0" * 40, 1, 1, 1, instant(precise))

    assert version.committed_at == NOON
