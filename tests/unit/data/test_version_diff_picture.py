from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from data.domain import LabelledRadiograph, TaskSpec
from data.versions.diff import diff
from data.versions.diff_picture import SHOWN_FILMS, diff_picture
from data.versions.pair import VersionPair
from data.versions.table import LabelTable
from data.versions.text import label_columns, label_rows, write_table
from tests.unit.data.dataset_cases import PNEUMONIA, SPEC, a_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def drawn(
    old: Sequence[LabelledRadiograph], new: Sequence[LabelledRadiograph], spec: TaskSpec = SPEC
) -> Figure:
    before, after = (
        LabelTable.parse(
            write_table(
                label_columns(spec),
                label_rows(rows, {row.radiograph.id: "images/a.png" for row in rows}, spec),
            )
        )
        for rows in (old, new)
    )
    pair = VersionPair("v0001", "v0002", before, after)
    return diff_picture(spec, pair, diff(before, after, spec), lambda _: None)


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.get_axes() if axes.get_title()]


def test_each_group_has_a_histogram_with_the_counts_before_and_after() -> None:
    figure = drawn([a_label(1, sex="male")], [a_label(1, sex="male"), a_label(2, sex="female")])

    assert titles(figure) == ["female", "male"]
    legends = [
        [text.get_text() for text in axes.get_legend().get_texts()] for axes in figure.get_axes()
    ]
    assert [sorted(of) for of in legends] == [["v0001: 0", "v0002: 1"], ["v0001: 1", "v0002: 1"]]


def test_radiographs_whose_group_is_not_stated_have_a_histogram_of_their_own() -> None:
    unknown = replace(a_label(2), values={"age_months": 100.0})

    figure = drawn([], [a_label(1, sex="male"), unknown])

    assert titles(figure) == ["female", "male", "not stated"]
    texts = figure.get_axes()[2].get_legend().get_texts()
    assert sorted(text.get_text() for text in texts) == ["v0001: 0", "v0002: 1"]


def test_corrected_films_carry_old_and_new_the_widest_change_first() -> None:
    figure = drawn([a_label(1), a_label(2)], [a_label(1, age=104.0), a_label(2, age=130.0)])

    assert titles(figure)[2:] == ["100 → 130\nada", "100 → 104\nada"]


def test_all_changes_of_a_film_stand_above_one_tile() -> None:
    figure = drawn([a_label(1, sex="male")], [a_label(1, age=104.0, sex="female")])

    assert titles(figure)[2:] == ["100 → 104, male → female\nada"]


def test_no_more_films_than_fit_are_shown() -> None:
    many = range(1, SHOWN_FILMS + 9)

    figure = drawn([a_label(n) for n in many], [a_label(n, age=90.0) for n in many])

    assert len(titles(figure)) == 2 + SHOWN_FILMS


def test_a_task_of_choices_has_bars() -> None:
    normal = replace(a_label(1), values={"finding": "normal"})
    ill = replace(a_label(1), values={"finding": "pneumonia"})

    figure = drawn([normal], [ill], PNEUMONIA)

    assert titles(figure) == ["finding", "normal → pneumonia\nada"]


def test_the_first_version_can_be_drawn() -> None:
    figure = drawn([], [a_label(1)])

    figure.canvas.draw()
    assert titles(figure) == ["female", "male"]
