from __future__ import annotations

from pathlib import Path

import pytest

from data.errors import InvalidInputError, NotFoundError
from data.sources.dha import AtlasTable, read_dha
from data.sources.item import SourceItem
from tests.unit.data.sources.layouts import delivered, problems, write_images

IMAGES = ("ASIF/ASIF08/5262.jpg", "BLKM/BLKM13/7101.jpg", "HISF/HISF00/7300.jpg")


def an_atlas(folder: Path, table: str = "") -> Path:
    write_images(folder / "JPEGimages", *IMAGES)
    if table:
        (folder / "atlas.csv").write_text(table)
    return folder


def by_number(folder: Path, how: AtlasTable | None = None) -> dict[str, SourceItem]:
    items = list(read_dha(folder, how))
    assert problems(items) == {}
    return {item.patient: item for item in items}


def test_the_folders_tell_the_sex_and_no_age(tmp_path: Path) -> None:
    items = by_number(an_atlas(tmp_path))

    assert {patient: item.values for patient, item in items.items()} == {
        "dha-5262": {"sex": "female"},
        "dha-7101": {"sex": "male"},
        "dha-7300": {"sex": "female"},
    }
    assert items["dha-5262"].name == "JPEGimages/ASIF/ASIF08/5262.jpg"
    assert items["dha-5262"].stamp


def test_the_bone_age_is_the_mean_of_both_readings_in_months(tmp_path: Path) -> None:
    folder = an_atlas(
        tmp_path,
        "Image ID,Race,Sex,Chronological Age,Reading 1,Reading 2\n"
        "5262,ASI,F,8.2,8.5,9\n7101,BLK,M,13.4,,13.25\n7300,HIS,F,0.5,,\n",
    )

    items = by_number(folder)

    assert items["dha-5262"].values == {"sex": "female", "age_months": 105.0}
    assert items["dha-7101"].values == {"sex": "male", "age_months": 159.0}
    assert items["dha-7300"].values == {"sex": "female"}


@pytest.mark.parametrize(
    "columns",
    [
        "id,reader1,reader2",
        "image,Radiologist A,Radiologist B",
        "path,bone_age_1 (years),bone age 2 (years)",
        "number,Reading by reader 1,Reading by reader 2",
        "file,rater #1,rater #2",
    ],
)
def test_columns_of_readings_are_found_by_name(tmp_path: Path, columns: str) -> None:
    folder = an_atlas(tmp_path, f"{columns}\n5262,8,9\n")

    assert by_number(folder)["dha-5262"].values["age_months"] == 102.0


def test_a_column_with_the_united_age_is_read(tmp_path: Path) -> None:
    folder = an_atlas(tmp_path, "id,Chronological age,Bone age (months)\n5262,99,105.96\n")

    assert by_number(folder)["dha-5262"].values["age_months"] == 105.96


def test_a_table_outside_the_folder_is_not_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "outside.csv").write_text("id,reading 1\n5262,8.5\n")
    folder = an_atlas(tmp_path / "atlas")
    (folder / "atlas.csv").symlink_to("../outside.csv")

    items = list(read_dha(folder))

    assert problems(items) == {"atlas.csv": "It is a link that leaves the folder."}
    assert not any("age_months" in item.values for item in items)


def test_the_chronological_age_is_never_taken_for_the_bone_age(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("id,sex,chronological age,age\n5262,F,8.2,8.2\n")
    folder = an_atlas(tmp_path / "atlas")

    assert by_number(folder)["dha-5262"].values == {"sex": "female"}
    with pytest.raises(InvalidInputError, match=r"no column reading 1 .*chronological age"):
        list(read_dha(folder, AtlasTable(table)))


def test_readings_that_cannot_be_years_are_asked_about(tmp_path: Path) -> None:
    folder = an_atlas(tmp_path, "id,reading 1,reading 2\n5262,12,14\n7101,150,156\n")

    with pytest.raises(InvalidInputError, match=r"up to 156.*--unit months"):
        list(read_dha(folder))
    months = by_number(folder, AtlasTable(unit="months"))
    assert months["dha-5262"].values["age_months"] == 13.0


def test_a_table_without_header_is_read_by_column_numbers(tmp_path: Path) -> None:
    folder = an_atlas(tmp_path / "atlas")
    table = tmp_path / "meta.csv"
    table.write_text("JPEGimages/ASIF/ASIF08/5262.jpg,ASI,F,8.1,8.5,9.5\n")

    items = by_number(folder, AtlasTable(table, "1", ("5", "6")))

    assert items["dha-5262"].values == {"sex": "female", "age_months": 108.0}


def test_the_patient_is_the_tables_or_the_image_number(tmp_path: Path) -> None:
    folder = an_atlas(tmp_path, "image,patient id,reading 1\n5262,A1,8\n7101,A1,9\n")

    assert [item.patient for item in read_dha(folder)] == ["dha-A1", "dha-A1", "dha-7300"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("7101,F,12,13", "sex is 'F', but the image lies with male ones"),
        ("7101,?,12,13", "sex is '?', but must be M or F"),
        ("7101,M,12 y,13", "age_months is '12 y'"),
        ("7101,M,-1,13", "must lie in 0 to 240"),
        ("7101,M,12,13,x", "5 cells"),
        ("9999,M,12,13", "there is no image 9999"),
        ("../7101,M,12,13", "leaves the folder"),
        ("5262,F,8,8", "has a row already"),
    ],
    ids=["other sex", "unknown sex", "years", "negative", "long", "image", "path", "doubled"],
)
def test_a_bad_row_is_refused_with_its_line_and_the_rest_goes_on(
    tmp_path: Path, row: str, reason: str
) -> None:
    folder = an_atlas(
        tmp_path, f"image,sex,reading 1,reading 2\n5262,F,8,9\n{row}\n7300,F,0.5,0.5\n"
    )

    items = list(read_dha(folder))

    (problem,) = problems(items).values()
    assert reason in problem
    assert "atlas.csv, line 3: " in problem
    assert {IMAGES[0], IMAGES[2]} <= {name.removeprefix("JPEGimages/") for name in delivered(items)}


def test_a_folder_that_is_no_atlas_is_said_to_be_none(tmp_path: Path) -> None:
    write_images(tmp_path, "1.png")

    with pytest.raises(NotFoundError, match="no folders of the Digital Hand Atlas"):
        list(read_dha(tmp_path))
