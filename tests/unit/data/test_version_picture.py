from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from data.domain import LabelledRadiograph, Target, TaskSpec
from data.versions.picture import bin_edges, histogram_svg, picture_name
from data.versions.table import LabelTable
from data.versions.tally import Tally
from data.versions.text import label_columns, label_rows, write_table
from tests.unit.data.dataset_cases import PNEUMONIA, SPEC, a_label

SVG = "{http://www.w3.org/2000/svg}"
MONTHS = Target("age_months", "number", "months", minimum=0, maximum=240)


def picture_of(*labelled: LabelledRadiograph, spec: TaskSpec = SPEC) -> str:
    rows = label_rows(labelled, {row.radiograph.id: "images/a.png" for row in labelled}, spec)
    table = LabelTable.parse(write_table(label_columns(spec), rows))
    return histogram_svg(spec, Tally.of(spec, table))


def bars_of(svg: str) -> list[str]:
    """What the bars say when one points at them."""
    return [str(title.text) for title in ElementTree.fromstring(svg).iter(f"{SVG}title")][1:]


def test_each_bar_says_group_bin_and_count() -> None:
    svg = picture_of(
        a_label(1, age=0, sex="female"),
        a_label(2, age=11.9, sex="female"),
        a_label(3, age=12, sex="male"),
        a_label(4, age=240, sex="male"),
    )

    assert bars_of(svg) == ["female, 0 to 12: 2", "male, 12 to 24: 1", "male, 228 to 240: 1"]


def test_unknown_sex_has_bars_of_its_own() -> None:
    svg = picture_of(replace(a_label(1), values={"age_months": 30.0}))

    assert bars_of(svg) == ["not stated, 24 to 36: 1"]


def test_a_missing_value_is_not_drawn() -> None:
    assert bars_of(picture_of(replace(a_label(1), values={"sex": "male"}))) == []


def test_a_task_of_choices_is_drawn_by_split() -> None:
    svg = picture_of(replace(a_label(1), values={"finding": "normal"}), spec=PNEUMONIA)

    assert bars_of(svg) == ["train, normal: 1"]


def test_the_file_is_named_after_what_it_shows() -> None:
    alone = replace(SPEC, gate=replace(SPEC.gate, band_by=None))

    assert picture_name(SPEC) == "age_months_by_sex.svg"
    assert picture_name(alone) == "age_months.svg"
    assert picture_name(PNEUMONIA) == "finding_by_split.svg"


def test_the_same_labels_give_the_same_bytes() -> None:
    assert picture_of(a_label(1), a_label(2)) == picture_of(a_label(2), a_label(1))


def test_an_empty_dataset_has_a_picture() -> None:
    assert bars_of(picture_of()) == []


def test_bars_stand_on_the_axis_and_stay_inside_the_picture() -> None:
    svg = picture_of(*(a_label(n, age=n % 240) for n in range(500)))

    root = ElementTree.fromstring(svg)
    bars = [rect for rect in root.iter(f"{SVG}rect") if len(rect)]
    base = {round(float(bar.get("y", 0)) + float(bar.get("height", 0))) for bar in bars}
    assert len(base) == 1
    assert all(0 < float(bar.get("x", 0)) < 760 and float(bar.get("y", 0)) > 0 for bar in bars)


def test_the_picture_is_small() -> None:
    assert len(picture_of(*(a_label(n, age=n % 240, sex="male") for n in range(300)))) < 40_000


def test_names_cannot_break_out_of_the_picture() -> None:
    target = replace(PNEUMONIA.targets[0], choices=("<script>&", "pneumonia"))
    spec = replace(PNEUMONIA, targets=(target,))

    svg = picture_of(replace(a_label(1), values={"finding": "<script>&"}), spec=spec)

    assert "<script" not in svg
    assert re.search("&lt;script&gt;&amp;", svg)


@pytest.mark.parametrize(
    ("target", "values", "edges"),
    [
        (MONTHS, [], [12.0 * i for i in range(21)]),
        (replace(MONTHS, unit="points"), [], [20.0 * i for i in range(13)]),
        (replace(MONTHS, minimum=None, maximum=None), [3.0, 7.0], [3 + 0.2 * i for i in range(21)]),
        (replace(MONTHS, minimum=None, maximum=None), [5.0], [5.0, 6.0]),
        (replace(MONTHS, maximum=100), [130.0], [12.0 * i for i in range(12)]),
    ],
    ids=["years of months", "round steps", "no range", "one value", "a value beyond the range"],
)
def test_bins_are_round_and_hold_all_values(
    target: Target, values: list[float], edges: list[float]
) -> None:
    assert bin_edges(target, values) == pytest.approx(edges)
