from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.domain import LabelledRadiograph, Split
from data.versions import diff as version_diff
from data.versions.diff import Correction, ReaderShare, VersionDiff, changed_lines, diff
from data.versions.table import LabelTable
from data.versions.text import compare, label_columns, label_rows, write_table
from tests.unit.data.dataset_cases import SPEC, a_label, radiograph_id

ADA, BOB = "ada@example.org", "bob@example.org"


def table_of(*labelled: LabelledRadiograph) -> LabelTable:
    rows = label_rows(labelled, {row.radiograph.id: "images/a.png" for row in labelled}, SPEC)
    return LabelTable.parse(write_table(label_columns(SPEC), rows))


def changes(old: Sequence[LabelledRadiograph], new: Sequence[LabelledRadiograph]) -> VersionDiff:
    return diff(table_of(*old), table_of(*new), SPEC)


def ids(rows: Sequence[version_diff.Row]) -> list[str]:
    return [row["id"] for row in rows]


def test_changes_are_told_apart() -> None:
    found = changes(
        [a_label(1), a_label(2), a_label(3), a_label(4)],
        [
            a_label(1),
            a_label(2, age=101.0),
            a_label(4, readers=(ADA, BOB)),
            a_label(5, split=Split.TEST),
        ],
    )

    assert ids(found.added) == [radiograph_id(5)]
    assert ids(found.corrected) == [radiograph_id(2)]
    assert ids(found.withdrawn) == [radiograph_id(3)]
    assert ids(found.confirmed) == [radiograph_id(4)]
    assert str(found) == "+1 labels, 1 corrected, 1 withdrawn, 1 confirmed"


def test_a_correction_tells_old_and_new_of_each_value() -> None:
    found = changes([a_label(1, age=100.0, sex="male")], [a_label(1, age=112.5, sex="female")])

    assert found.corrections == (
        Correction(radiograph_id(1), "age_months", "100", "112.5", (ADA,)),
        Correction(radiograph_id(1), "sex", "male", "female", (ADA,)),
    )


def test_a_value_that_came_or_went_is_a_correction() -> None:
    without = replace(a_label(1), values={"sex": "female"})

    (came,) = changes([without], [a_label(1)]).corrections
    (went,) = changes([a_label(1)], [without]).corrections

    assert (came.old, came.new) == ("", "100")
    assert (went.old, went.new) == ("100", "")


def test_splits_are_counted_before_and_after() -> None:
    found = changes(
        [a_label(1), a_label(2, split=Split.TEST)],
        [a_label(1), a_label(3), a_label(4, split=Split.CALIBRATION)],
    )

    assert [(size.split, size.before, size.after) for size in found.splits] == [
        ("train", 1, 2),
        ("calibration", 0, 1),
        ("test", 1, 0),
    ]


def test_whoever_came_or_went_made_the_change() -> None:
    found = changes(
        [a_label(1, readers=(ADA,)), a_label(2, readers=(ADA, BOB))],
        [a_label(1, age=90.0, readers=(ADA, BOB)), a_label(2, age=90.0, readers=(ADA,))],
    )

    assert found.by_reader == (ReaderShare(BOB, 0, 2, 0, 0),)


def test_if_nobody_came_or_went_all_readers_are_named_but_not_the_reference() -> None:
    found = changes(
        [a_label(1, readers=(ADA, BOB, "reference"))],
        [a_label(1, age=90.0, readers=(ADA, BOB, "reference"))],
    )

    assert [share.reader for share in found.by_reader] == [ADA, BOB]


def test_a_reader_is_credited_with_each_kind_of_change() -> None:
    found = changes(
        [a_label(1), a_label(2), a_label(3)],
        [a_label(1, age=90.0), a_label(3, readers=(ADA, BOB)), a_label(4, readers=(ADA, BOB))],
    )

    assert found.by_reader == (ReaderShare(ADA, 1, 1, 1, 0), ReaderShare(BOB, 1, 0, 0, 1))


def test_a_new_column_is_no_change_of_the_rows() -> None:
    old, new = table_of(a_label(1)), table_of(a_label(1), a_label(2))
    narrow = LabelTable.parse(
        write_table([name for name in old.names if name != "source"], old.rows())
    )

    found = diff(narrow, new, SPEC)

    assert str(found) == "+1 labels, 0 corrected, 0 withdrawn, 0 confirmed"


def test_the_first_version_adds_everything() -> None:
    assert ids(changes([], [a_label(1), a_label(2)]).added) == [radiograph_id(1), radiograph_id(2)]


def test_everything_may_be_withdrawn() -> None:
    assert ids(changes([a_label(1), a_label(2)], []).withdrawn) == [
        radiograph_id(1),
        radiograph_id(2),
    ]


labels = st.dictionaries(st.integers(1, 60), st.sampled_from([90.0, 100.0]), max_size=40)


@given(labels, labels, st.integers(1, 400))
def test_walking_block_by_block_finds_what_a_comparison_of_all_rows_finds(
    before: dict[int, float], after: dict[int, float], block: int
) -> None:
    old = table_of(*(a_label(n, age=age) for n, age in before.items()))
    new = table_of(*(a_label(n, age=age) for n, age in after.items()))

    with (
        patch.object(version_diff, "BLOCK", block),
        patch.object(version_diff, "LINES_BETWEEN_BLOCKS", 2),
    ):
        gone, come = changed_lines(old, new)
        found = diff(old, new, SPEC)

    lines, its = (set(table.text.split(b"\n")[1:-1]) for table in (old, new))
    assert (sorted(lines - its), sorted(its - lines)) == (sorted(gone), sorted(come))
    expected = compare(old.rows(), new.rows(), ["age_months", "sex"])
    assert tuple(ids(found.added)) == expected.added
    assert tuple(ids(found.corrected)) == expected.corrected
    assert tuple(ids(found.withdrawn)) == expected.withdrawn


@pytest.mark.parametrize("reader", ['"a, b"@x.org', "a;b@x.org"])
def test_odd_names_of_readers_survive(reader: str) -> None:
    found = changes([], [a_label(1, readers=(reader,))])

    assert len(found.by_reader) == 1
