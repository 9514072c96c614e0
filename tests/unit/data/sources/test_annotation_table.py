from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from data.domain import Split
from data.errors import InvalidInputError, NotFoundError
from data.sources.annotation_table import AnnotationFiles, read_annotation_table
from data.sources.cells import Columns
from data.sources.item import SourceItem
from tests.unit.data.dataset_cases import PNEUMONIA, SPEC
from tests.unit.data.sources.layouts import delivered, problems, write_images

HEADER = "image_ID,dir,patient_ID,sex,bone_age\n"
TABLE = HEADER + "1377.png,bone_age,1377,F,180\n1378.png,bone_age,1378,M,12\n00.png,la_dha,77,F,8\n"


def annotated(folder: Path, table: str = TABLE, splits: str = "") -> AnnotationFiles:
    """Writes the table, its images and its splits."""
    images = folder / "images"
    write_images(images, "bone_age/1377.png", "bone_age/1378.png", "la_dha/00.png")
    (folder / "annotation.csv").write_text(table)
    if not splits:
        return AnnotationFiles(images)
    (folder / "splits.csv").write_text(splits)
    return AnnotationFiles(images, folder / "splits.csv")


def read(folder: Path, how: AnnotationFiles) -> list[SourceItem]:
    return list(read_annotation_table(folder / "annotation.csv", how, SPEC.targets))


def splits_of(items: list[SourceItem]) -> dict[str, Split | None]:
    return {item.name: item.split for item in items if not item.problem}


def test_rows_of_several_dirs_are_read_in_order(tmp_path: Path) -> None:
    items = read(tmp_path, annotated(tmp_path))

    assert delivered(items) == ["bone_age/1377.png", "bone_age/1378.png", "la_dha/00.png"]
    assert [item.patient for item in items] == ["1377", "1378", "77"]
    assert items[0].values == {"age_months": 180.0, "sex": "female"}
    assert items[0].stamp
    assert [item.split for item in items] == [None, None, None]


def test_images_without_a_row_and_without_a_suffix_in_the_table(tmp_path: Path) -> None:
    how = annotated(tmp_path, HEADER + "1377,bone_age,1377,F,180\n")

    assert delivered(read(tmp_path, how)) == ["bone_age/1377.png"]


def test_a_table_without_dirs_finds_images_by_name(tmp_path: Path) -> None:
    how = annotated(tmp_path, "image_ID,patient_ID,sex,bone_age\n00.png,7,M,8.5\n")

    (item,) = read(tmp_path, replace(how, columns=Columns(unit="years")))

    assert item.name == "la_dha/00.png"
    assert item.values == {"age_months": 102.0, "sex": "male"}


def test_the_dir_of_a_row_is_taken_at_its_word(tmp_path: Path) -> None:
    how = annotated(tmp_path, HEADER + "00.png,bone_age,77,F,8\n00.png,la_dha,77,F,8\n")

    items = read(tmp_path, how)

    assert delivered(items) == ["la_dha/00.png"]
    assert "there is no image bone_age/00.png" in problems(items)["00.png"]


def test_a_patient_of_two_dirs_is_one_person_unless_told_otherwise(tmp_path: Path) -> None:
    how = annotated(tmp_path, HEADER + "1377.png,bone_age,7,F,8\n00.png,la_dha,7,F,8\n")

    assert [item.patient for item in read(tmp_path, how)] == ["7", "7"]
    apart = replace(how, separate_dirs=True)
    assert [item.patient for item in read(tmp_path, apart)] == ["bone_age/7", "la_dha/7"]


@pytest.mark.parametrize(
    ("splits", "column"),
    [
        ("patient_ID,dir,org_split\n1377,bone_age,train\n1378,bone_age,val\n77,la_dha,test\n", ""),
        ("patient_ID,split\n1377,Training\n1378,validation\n77,TEST\n", ""),
        ("patient_ID,kaggle\n1377,train\n1378,val\n77,test\n", ""),
        ("patient_ID,a,b\n1377,x,train\n1378,x,val\n77,x,test\n", "b"),
    ],
    ids=["by dir", "by patient", "the only other column", "named column"],
)
def test_the_publishers_splits_are_kept(tmp_path: Path, splits: str, column: str) -> None:
    how = replace(annotated(tmp_path, splits=splits), split_column=column)

    assert list(splits_of(read(tmp_path, how)).values()) == [
        Split.TRAIN,
        Split.CALIBRATION,
        Split.TEST,
    ]


def test_a_patient_who_is_in_no_row_of_the_splits_has_no_wish(tmp_path: Path) -> None:
    how = annotated(tmp_path, splits="patient_ID,dir,test\n77,la_dha,test\n1377,la_dha,test\n")

    assert splits_of(read(tmp_path, how)) == {
        "bone_age/1377.png": None,
        "bone_age/1378.png": None,
        "la_dha/00.png": Split.TEST,
    }


@pytest.mark.parametrize(
    "splits",
    [
        "patient_ID,split\n1377,train\n1377,test\n1378,val\n77,test\n",
        "patient_ID,dir,split\n1377,bone_age,train\n1377,la_dha,test\n1378,bone_age,val\n"
        "77,la_dha,test\n",
    ],
    ids=["two rows", "two dirs"],
)
def test_a_patient_who_would_be_in_two_splits_is_refused(tmp_path: Path, splits: str) -> None:
    table = HEADER + "1377.png,bone_age,1377,F,180\n1378.png,bone_age,1378,M,12\n"
    how = annotated(tmp_path, table + "00.png,la_dha,1377,F,8\n", splits)

    items = read(tmp_path, how)

    assert splits_of(items) == {"bone_age/1378.png": Split.CALIBRATION}
    for name in ("1377.png", "00.png"):
        assert "its patient is in two splits: train (splits.csv, line 2)" in problems(items)[name]


def test_dirs_that_are_separate_may_be_split_apart(tmp_path: Path) -> None:
    table = HEADER + "1377.png,bone_age,7,F,180\n00.png,la_dha,7,F,8\n"
    splits = "patient_ID,dir,split\n7,bone_age,train\n7,la_dha,test\n"
    how = replace(annotated(tmp_path, table, splits), separate_dirs=True)

    assert list(splits_of(read(tmp_path, how)).values()) == [Split.TRAIN, Split.TEST]


def test_an_unknown_word_for_a_split_refuses_that_patient_alone(tmp_path: Path) -> None:
    how = annotated(tmp_path, splits="patient_ID,split\n1377,holdout\n1378,train\n")

    items = read(tmp_path, how)

    assert delivered(items) == ["bone_age/1378.png", "la_dha/00.png"]
    assert "the split is 'holdout' (splits.csv, line 2)" in problems(items)["1377.png"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1378.png,bone_age,,M,12", "names no patient"),
        ("1378.png,bone_age,5,X,12", "sex is 'X'"),
        ("1378.png,bone_age,5,M,12 y", "age_months is '12 y'"),
        ("1378.png,bone_age,5,M,241", "must lie in 0 to 240"),
        ("1378.png,../bone_age,5,M,12", "leaves the folder"),
        ("../../1378.png,bone_age,5,M,12", "leaves the folder"),
        ("1378.png,bone_age,5,M,12,x", "6 cells"),
        ("1377.png,bone_age,5,M,12", "has a row already"),
        (",bone_age,5,M,12", "no image is named"),
    ],
    ids=["patient", "sex", "years", "too old", "dir up", "path up", "long", "doubled", "no image"],
)
def test_a_bad_row_is_refused_with_its_line_and_the_rest_goes_on(
    tmp_path: Path, row: str, reason: str
) -> None:
    how = annotated(
        tmp_path, f"{HEADER}1377.png,bone_age,1377,F,180\n{row}\n00.png,la_dha,77,F,8\n"
    )

    items = read(tmp_path, how)

    assert delivered(items) == ["bone_age/1377.png", "la_dha/00.png"]
    ((name, problem),) = problems(items).items()
    assert reason in problem
    assert "annotation.csv, line 3: " in f"{name}: {problem}"


@pytest.mark.parametrize(
    ("table", "splits", "reason"),
    [
        ("file,patient_ID\na,1\n", "", "no column image_ID .*its columns are file, patient_ID"),
        ("image_ID,who\na,1\n", "", "no column patient_ID .*its columns are image_ID, who"),
        ("image_ID,patient_ID,sex\na,1,M\n", "", "no column bone_age"),
        (TABLE, "who,split\n1,train\n", "splits.csv has no column patient_ID"),
        (TABLE, "patient_ID,a,b\n1,train,x\n", "splits.csv has no column split .*--split-column"),
        (TABLE, "patient_ID,split\n1,train,x\n", "splits.csv, line 2: the row has 3 cells"),
    ],
    ids=["image", "patient", "age", "patient of splits", "split", "row of splits"],
)
def test_a_wrong_table_is_one_sentence(
    tmp_path: Path, table: str, splits: str, reason: str
) -> None:
    how = annotated(tmp_path, table, splits)

    with pytest.raises(InvalidInputError, match=reason):
        read(tmp_path, how)


def test_a_wrong_folder_of_images_is_one_sentence(tmp_path: Path) -> None:
    how = annotated(tmp_path)

    with pytest.raises(NotFoundError, match=r"no images in bone_age or la_dha.*--images"):
        read(tmp_path, replace(how, images=how.images / "bone_age"))


def test_a_task_without_bone_age_takes_the_columns_of_its_own_targets(tmp_path: Path) -> None:
    how = annotated(tmp_path, "image_ID,dir,patient_ID,finding\n1377.png,bone_age,1,Pneumonia\n")

    (item,) = read_annotation_table(tmp_path / "annotation.csv", how, PNEUMONIA.targets)

    assert item.values == {"finding": "pneumonia"}
