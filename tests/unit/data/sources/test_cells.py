from __future__ import annotations

import re
from pathlib import Path

import pytest

from data.domain import Target, Value
from data.errors import InvalidInputError
from data.sources.cells import Columns, ValueReader
from data.sources.known_targets import AGE, SEX
from data.sources.tables import read_table

TARGETS = (AGE, SEX)


def values(
    folder: Path,
    content: str,
    how: Columns | None = None,
    targets: tuple[Target, ...] = TARGETS,
) -> list[dict[str, Value]]:
    path = folder / "table.csv"
    path.write_text(content)
    table = read_table(path)
    reader = ValueReader.of_table(table, targets, how or Columns())
    return [reader.values(row) for row in table.rows]


def test_columns_are_named_after_targets_and_empty_cells_are_unknown(tmp_path: Path) -> None:
    assert values(tmp_path, "age_months,Sex,other\n12.5,male,x\n,,\n 0 ,,y\n") == [
        {"age_months": 12.5, "sex": "male"},
        {"age_months": 0.0},
    ]


@pytest.mark.parametrize(
    ("column", "cell", "sex"),
    [
        ("sex", "M", "male"),
        ("Gender", "f", "female"),
        ("sex", "Female", "female"),
        ("male", "True", "male"),
        ("male", "0", "female"),
        ("male", "F", "female"),
        ("female", "1", "female"),
        ("female", "no", "male"),
    ],
)
def test_the_sex_is_read_as_people_write_it(
    tmp_path: Path, column: str, cell: str, sex: str
) -> None:
    assert values(tmp_path, f"id,{column}\n1,{cell}\n") == [{"sex": sex}]


@pytest.mark.parametrize(
    ("column", "cell"),
    [("sex", "1"), ("sex", "?"), ("sex", "unknown"), ("gender", "w"), ("female", "F")],
)
def test_an_unknown_sex_is_refused_and_never_guessed(
    tmp_path: Path, column: str, cell: str
) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(f"sex is {cell!r}")):
        values(tmp_path, f"id,{column}\n1,{cell}\n")


def test_words_of_a_table_can_be_told_and_come_first(tmp_path: Path) -> None:
    how = Columns({"sex": "Geschlecht"}, {("sex", "w"): "female", ("sex", "m"): "male"})

    assert values(tmp_path, "Geschlecht\nW\nm\n", how) == [{"sex": "female"}, {"sex": "male"}]


@pytest.mark.parametrize(
    ("cell", "unit", "months"),
    [("12", "months", 12), ("1e2", "months", 100), (".5", "years", 6), ("8.83", "years", 105.96)],
)
def test_ages_are_months_or_years(tmp_path: Path, cell: str, unit: str, months: float) -> None:
    how = Columns(unit=unit)  # type: ignore[arg-type]

    assert values(tmp_path, f"id,age_months\n1,{cell}\n", how) == [{"age_months": months}]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("12 y", "is '12 y', but must be a number of months"),
        ("1_2", "must be a number of months"),
        ("１２", "must be a number of months"),
        ("nan", "must be a number of months"),
        ("inf", "must be a number of months"),
        ("1e999", "finite"),
        ('"12,5"', "must be a number of months"),
        ("-0.5", "must lie in 0 to 240 months"),
        ("240.1", "must lie in 0 to 240 months"),
    ],
)
def test_what_is_no_age_is_refused(tmp_path: Path, cell: str, reason: str) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        values(tmp_path, f"id,age_months\n1,{cell}\n")


def test_a_comma_is_decimal_where_it_does_not_separate_cells(tmp_path: Path) -> None:
    assert values(tmp_path, "id;age_months\n1;12,5\n") == [{"age_months": 12.5}]
    with pytest.raises(InvalidInputError, match="number of months"):
        values(tmp_path, "id;age_months\n1;1,2,5\n")


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (Columns({"age_months": "alter"}), "no column alter .*its columns are id, sex"),
        (Columns({"age": "sex"}), "no target 'age'; its targets are age_months, sex"),
        (Columns(spellings={("colour", "x"): "red"}), "no target 'colour'"),
        (Columns(spellings={("sex", "w"): "girl"}), "'w' cannot mean 'girl': sex is one of female"),
    ],
    ids=["column", "target of a column", "target of a word", "choice"],
)
def test_a_wrong_option_is_one_sentence(tmp_path: Path, how: Columns, reason: str) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        values(tmp_path, "id,sex\n1,male\n", how)
