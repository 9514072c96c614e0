from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from data.domain import LabelledRadiograph, Split, TaskSpec
from data.readers.agreement import LabelNoise, label_noise
from data.versions.changes_report import LISTED
from data.versions.diff import diff
from data.versions.markdown import size_text
from data.versions.report import band_of, dataset_report
from data.versions.table import LabelTable
from data.versions.tally import Tally
from data.versions.text import Changes, VersionFacts, label_columns, label_rows, write_table
from tests.unit.data.dataset_cases import (
    HEAD,
    NOON,
    PNEUMONIA,
    SPEC,
    a_label,
    a_reading,
    radiograph_id,
)

SPLITS_CSV = b"id,patient,split\n"


def table_of(labelled: Sequence[LabelledRadiograph], spec: TaskSpec = SPEC) -> LabelTable:
    rows = label_rows(labelled, {row.radiograph.id: "images/a.png" for row in labelled}, spec)
    return LabelTable.parse(write_table(label_columns(spec), rows))


def report_of(
    *labelled: LabelledRadiograph,
    spec: TaskSpec = SPEC,
    old: Sequence[LabelledRadiograph] | None = None,
    noise: LabelNoise | None = None,
    near_duplicates: int | None = None,
    unreadable: Mapping[str, int] | None = None,
) -> str:
    table = table_of(labelled, spec)
    facts = VersionFacts(
        name="v0007",
        changes=Changes(tuple(row.radiograph.id for row in labelled), (), (), ()),
        trigger="50 new labels",
        ledger_head=HEAD,
        committed_at=NOON,
        splits_csv=SPLITS_CSV,
        image_bytes=1500 * len(labelled),
    )
    changed = None if old is None else diff(table_of(old, spec), table, spec)
    tally = Tally.of(spec, table)
    return dataset_report(spec, tally, facts, noise, changed, near_duplicates, unreadable)


def table_below(title: str, report: str) -> list[list[str]]:
    """Returns the cells of the table below a heading, without the line of dashes."""
    lines = report.split(f"# {title}\n")[1].split("\n#")[0].splitlines()
    cells = [
        line.removeprefix("| ").removesuffix(" |").split(" | ")
        for line in lines
        if line.startswith("|")
    ]
    return [cells[0], *cells[2:]]


def test_the_report_counts_what_cannot_be_read_with_its_reasons() -> None:
    told = report_of(a_label(1), unreadable={"position": 1, "exposure": 3})

    assert (
        "4 radiographs cannot be read and are not in `labels.csv`: exposure 3, position 1." in told
    )
    assert "1 radiograph cannot be read and is not" in report_of(
        a_label(1), unreadable={"other": 1}
    )


def test_a_report_of_films_that_can_all_be_read_does_not_speak_of_it() -> None:
    assert "cannot be read" not in report_of(a_label(1))


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
    report = report_of(a_label(1), a_label(2, split=Split.TEST))

    assert table_below("Proof of the splits", report) == [
        ["splits", "patients in both"],
        ["train and calibration", "0"],
        ["train and test", "0"],
        ["calibration and test", "0"],
    ]
    assert hashlib.sha256(SPLITS_CSV).hexdigest() in report


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


def test_sources_are_counted_by_split() -> None:
    kaggle = replace(
        a_label(2, split=Split.TEST),
        radiograph=replace(a_label(2).radiograph, source="rsna", split=Split.TEST),
    )

    report = report_of(a_label(1), kaggle, a_label(3))

    assert table_below("Sources", report) == [
        ["source", "radiographs", "train", "calibration", "test"],
        ["folder", "2", "2", "0", "0"],
        ["rsna", "1", "0", "0", "1"],
    ]


def test_the_report_shows_the_picture() -> None:
    assert "![age_months by sex](age_months_by_sex.svg)" in report_of(a_label(1))
    assert "![finding](finding_by_split.svg)" in report_of(spec=PNEUMONIA)


def test_the_report_tells_who_changed_what() -> None:
    report = report_of(
        a_label(1, age=112.0),
        a_label(2, readers=("ada@example.org", "bob@example.org")),
        a_label(3),
        old=[a_label(1), a_label(2), a_label(4)],
    )

    assert table_below("Changes", report) == [
        ["reader", "added", "corrected", "withdrawn", "confirmed"],
        ["ada@example.org", "1", "1", "1", "0"],
        ["bob@example.org", "0", "0", "0", "1"],
    ]
    assert table_below("Corrected", report)[1:] == [
        [f"`{radiograph_id(1)[:12]}`", "age_months", "100", "112", "ada@example.org"]
    ]
    assert table_below("Withdrawn", report)[1:] == [
        [f"`{radiograph_id(4)[:12]}`", "ada@example.org"]
    ]


def test_only_so_many_corrections_and_withdrawals_are_listed() -> None:
    many = range(1, LISTED + 3)

    report = report_of(
        *(a_label(n, age=50.0) for n in many),
        old=[*(a_label(n) for n in many), *(a_label(100 + n) for n in many)],
    )

    assert len(table_below("Corrected", report)) == 1 + LISTED
    assert len(table_below("Withdrawn", report)) == 1 + LISTED
    assert report.count("... and 2 more: `carpal versions diff` lists them.") == 2


def test_a_version_that_corrects_nothing_has_no_list_of_corrections() -> None:
    report = report_of(a_label(1), old=[])

    assert "### Corrected" not in report
    assert "### Withdrawn" not in report


def test_one_reader_each_gives_no_estimate_of_the_noise() -> None:
    report = report_of(a_label(1), noise=label_noise([a_reading(age_months=100.0)], SPEC))

    assert "## Label noise\n\nOne reader each: no estimate.\n" in report


def test_the_noise_of_the_labels_is_told_by_target() -> None:
    # Differences 4, -4, 20: SEM sqrt(216 / 3); bias 20 / 3.
    readings = [
        a_reading(reader, number, minute=number, age_months=age, sex=sex)
        for reader, ages, sexes in (
            ("ada@example.org", (104.0, 96.0, 120.0), ("male", "male", "female")),
            ("bob@example.org", (100.0, 100.0, 100.0), ("male", "female", "female")),
        )
        for number, (age, sex) in enumerate(zip(ages, sexes, strict=True), start=1)
    ]

    report = report_of(a_label(1), noise=label_noise(readings, SPEC))

    assert "3 of 3 radiographs were read by two or more of 2 readers" in report
    assert "2 radiographs are in dispute" in report
    assert table_below("age_months", report)[1:6] == [
        ["radiographs, readings", "3, 6"],
        ["pairs of readings within 12 months", "66.7 %"],
        ["standard error of measurement", "8.49 months"],
        ["SD of the difference of two readings", "12.00 months"],
        ["two readings differ by less than, in 95 %", "23.52 months"],
    ]
    assert "| ada@example.org | 3 | +6.67 | " in report
    assert ["Cohen's kappa", "0.40"] in table_below("sex", report)


def test_near_duplicates_are_told_where_they_were_looked_for() -> None:
    assert "holds 3 pairs of radiographs that look alike" in report_of(near_duplicates=3)
    assert "No two radiographs of the pool look alike." in report_of(near_duplicates=0)
    assert "look alike" not in report_of()


def test_no_cell_can_break_out_of_its_table() -> None:
    report = report_of(a_label(1, readers=("eve|<b>@x.org",)))

    assert table_below("Readers", report)[1:] == [["eve\\|&lt;b>@x.org", "1"]]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (12_340_000_000, "12.3 GB"),
        (5_000_000_000_000, "5 TB"),
    ],
)
def test_a_size_is_told_in_three_digits_of_the_fitting_unit(count: int, text: str) -> None:
    assert size_text(count) == text
