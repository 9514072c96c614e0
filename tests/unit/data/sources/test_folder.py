from __future__ import annotations

import os
from pathlib import Path

import pytest

from data.errors import InvalidInputError, NotFoundError
from data.sources.cells import Columns
from data.sources.folder import FolderTable, read_folder
from tests.unit.data.dataset_cases import SPEC
from tests.unit.data.sources.layouts import delivered, problems, write_image, write_images

TARGETS = SPEC.targets


def test_every_image_below_a_folder_is_read_in_order(tmp_path: Path) -> None:
    write_images(tmp_path, "b.png", "deep/er/a.PNG", "c.jpeg", ".hidden.png", ".x/d.png")
    (tmp_path / "notes.txt").write_text("no image")

    items = list(read_folder(tmp_path))

    assert [item.name for item in items] == ["b.png", "c.jpeg", "deep/er/a.PNG"]
    assert all(item.values == {} for item in items)
    assert all(item.stamp for item in items)


def test_without_a_table_each_image_is_a_patient(tmp_path: Path) -> None:
    write_images(tmp_path, "1.png", "left/1.png")

    assert [item.patient for item in read_folder(tmp_path)] == ["1", "left/1"]


def test_the_table_says_patient_and_values(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png", "b.png")
    (tmp_path / "labels.csv").write_text(
        "file;Patient;age_months;sex;remark\na.png;4711;120;F;-\nb.png;4711;;male;-\n"
    )

    first, second = read_folder(tmp_path, targets=TARGETS)

    assert first.patient == second.patient == "4711"
    assert first.values == {"age_months": 120.0, "sex": "female"}
    assert second.values == {"sex": "male"}


def test_any_table_can_be_read_by_naming_its_columns(tmp_path: Path) -> None:
    write_images(tmp_path / "images", "left/röntgen.png")
    table = tmp_path / "export.csv"
    table.write_bytes("Bild;Fall;Alter;Geschlecht\nröntgen;7;8,5;W\n".encode("cp1252"))
    columns = Columns(
        {"age_months": "alter", "sex": "Geschlecht"}, {("sex", "w"): "female"}, "years"
    )

    (item,) = read_folder(tmp_path / "images", FolderTable(table, "Bild", "Fall", columns), TARGETS)

    assert item.patient == "7"
    assert item.values == {"age_months": 102.0, "sex": "female"}


@pytest.mark.parametrize(
    "cell", ["left/1.png", "./left/1.png", "left\\1.png", "left/1", "all/of/left/1.png", "1.png"]
)
def test_rows_find_their_image_by_path_or_name(tmp_path: Path, cell: str) -> None:
    write_images(tmp_path, "left/1.png", "left/2.png", "right/2.png")
    (tmp_path / "labels.csv").write_text(f"file,sex\n{cell},male\n")

    by_name = {item.name: item.values for item in read_folder(tmp_path, targets=TARGETS)}

    assert by_name["left/1.png"] == {"sex": "male"}


def test_a_name_is_found_whether_its_accents_are_composed_or_not(tmp_path: Path) -> None:
    write_images(tmp_path, "ro\u0308ntgen.png")
    (tmp_path / "labels.csv").write_text("file,sex\nr\u00f6ntgen.png,male\n")

    (item,) = read_folder(tmp_path, targets=TARGETS)

    assert item.values == {"sex": "male"}


def test_an_image_without_a_patient_is_refused_where_the_others_have_one(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png", "b.png", "c.png")
    (tmp_path / "labels.csv").write_text("file,patient\na.png,1\nb.png,\n")

    items = list(read_folder(tmp_path))

    assert delivered(items) == ["a.png"]
    assert "line 3: the row names no patient" in problems(items)["b.png"]
    assert "labels.csv has no row for it" in problems(items)["c.png"]


@pytest.mark.parametrize(
    ("row", "name", "reason"),
    [
        ("b.png,p,12 y,male", "b.png", "age_months is '12 y', but must be a number of months"),
        ("b.png,p,-1,male", "b.png", "must lie in 0 to 240 months"),
        ("b.png,p,241,male", "b.png", "must lie in 0 to 240 months"),
        ("b.png,p,12,?", "b.png", "sex is '?', but must be one of female, male"),
        ("b.png,p,12,male,x", "b.png", "the row has 5 cells"),
        ("../b.png,p,12,male", "../b.png", "the path '../b.png' leaves the folder"),
        ("/etc/passwd,p,12,male", "/etc/passwd", "leaves the folder"),
        ("C:\\b.png,p,12,male", "C:\\b.png", "leaves the folder"),
        ("\\\\host\\b.png,p,12,male", "\\\\host\\b.png", "leaves the folder"),
        (",p,12,male", "labels.csv, line 3", "no image is named"),
        ("z.png,p,12,male", "z.png", "there is no image z.png"),
        ("2.png,p,12,male", "2.png", "may be any of 2 images: x/2.png, y/2.png"),
        ("a.png,p,12,male", "a.png", "a.png has a row already (labels.csv, line 2)"),
    ],
    ids=[
        "years",
        "negative",
        "too old",
        "sex",
        "long",
        "path up",
        "absolute",
        "drive",
        "share",
        "no file",
        "no image",
        "two images",
        "doubled",
    ],
)
def test_a_bad_row_is_refused_with_its_line_and_the_rest_goes_on(
    tmp_path: Path, row: str, name: str, reason: str
) -> None:
    write_images(tmp_path, "a.png", "b.png", "c.png", "x/2.png", "y/2.png")
    (tmp_path / "labels.csv").write_text(
        f"file,who,age_months,sex\na.png,1,5,male\n{row}\nc.png,3,7,female\n"
    )

    items = list(read_folder(tmp_path, targets=TARGETS))

    assert set(problems(items)) == {name}
    assert reason in problems(items)[name]
    assert "labels.csv, line 3: " in f"{name}: {problems(items)[name]}"
    by_name = {item.name: item.values for item in items if not item.problem}
    assert by_name["c.png"] == {"age_months": 7.0, "sex": "female"}


def test_links_pipes_and_odd_names_are_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    write_image(tmp_path / "outside.png")
    folder = write_images(tmp_path / "in", "a.png")
    (folder / "link.png").symlink_to("../outside.png")
    os.mkfifo(folder / "pipe.png")
    (folder / os.fsdecode(b"\xff.png")).write_bytes(b"")

    items = list(read_folder(folder))

    assert delivered(items) == ["a.png"]
    assert set(problems(items)) == {"link.png", "pipe.png", "\\xff.png"}


def test_a_table_of_another_kind_in_the_folder_is_left_alone(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png")
    (tmp_path / "labels.csv").write_text("who,what\nada,nothing\n")

    assert delivered(read_folder(tmp_path, targets=TARGETS)) == ["a.png"]


def test_a_wrong_table_is_one_sentence_that_lists_its_columns(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png")
    table = tmp_path / "table.csv"
    table.write_text("number,sex\n1,male\n")

    with pytest.raises(InvalidInputError, match=r"no column file .*its columns are number, sex\."):
        list(read_folder(tmp_path, table))
    with pytest.raises(InvalidInputError, match=r"no column fall .*its columns are number, sex\."):
        list(read_folder(tmp_path, FolderTable(table, "number", "fall")))
    with pytest.raises(NotFoundError, match="no table"):
        list(read_folder(tmp_path, tmp_path / "other.csv"))


def test_naming_columns_without_a_table_is_a_mistake(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png")

    with pytest.raises(NotFoundError, match=r"no labels\.csv to read columns from"):
        list(read_folder(tmp_path, FolderTable(patient_column="patient")))


def test_a_missing_folder_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no folder"):
        list(read_folder(tmp_path / "none"))


def test_an_image_that_vanished_is_an_input_error(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png")
    (item,) = read_folder(tmp_path)
    (tmp_path / "a.png").unlink()

    with pytest.raises(InvalidInputError, match="cannot be read"):
        item.read()
