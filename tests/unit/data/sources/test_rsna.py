from __future__ import annotations

from pathlib import Path

import pytest

from data.errors import NotFoundError
from data.images.decoding import decode
from data.sources.rsna import read_rsna
from tests.unit.data.sources.layouts import delivered, problems, write_image, write_images

KAGGLE = "boneage-training-dataset"


def a_kaggle_folder(folder: Path, table: str, numbers: tuple[str, ...] = ("1", "2", "3")) -> Path:
    write_images(folder / KAGGLE / KAGGLE, *(f"{number}.png" for number in numbers))
    (folder / f"{KAGGLE}.csv").write_text(table)
    return folder


def test_the_kaggle_layout_is_read(tmp_path: Path) -> None:
    folder = a_kaggle_folder(tmp_path, "id,boneage,male\n1,180,False\n2,12,True\n")

    first, second = read_rsna(folder)

    assert first.name == "rsna-1"
    assert first.patient == "rsna-1"
    assert first.values == {"age_months": 180.0, "sex": "female"}
    assert second.values == {"age_months": 12.0, "sex": "male"}
    assert decode(second.read().payload).shape == (40, 30)
    assert first.stamp
    assert first.stamp != second.stamp


@pytest.mark.parametrize(
    ("table", "folder", "values"),
    [
        (
            "\ufeffImage ID,male,Bone Age (months)\n1,TRUE,165.47\n",
            "boneage-validation-dataset-1",
            {"age_months": 165.47, "sex": "male"},
        ),
        (
            "Case ID,Sex,Ground truth bone age (months)\n1,F,168.93\n",
            "test set",
            {"age_months": 168.93, "sex": "female"},
        ),
        ("Case ID,Sex\n1,M\n", "boneage-test-dataset/boneage-test-dataset", {"sex": "male"}),
        ("id;boneage;male\n1;12,5;1\n", "images", {"age_months": 12.5, "sex": "male"}),
    ],
    ids=["validation", "test with truth", "test", "semicolons"],
)
def test_every_published_table_is_read(
    tmp_path: Path, table: str, folder: str, values: dict[str, object]
) -> None:
    write_image(tmp_path / folder / "1.png")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "table.csv").write_text(table)

    (item,) = read_rsna(tmp_path)

    assert item.values == values


def test_all_tables_of_the_challenge_are_read_together(tmp_path: Path) -> None:
    folder = a_kaggle_folder(tmp_path, "id,boneage,male\n1,180,False\n", ("1",))
    write_images(folder / "validation-1", "2.png")
    write_images(folder / "validation-2", "3.png")
    (folder / "Validation Dataset.csv").write_text(
        "Image ID,male,Bone Age (months)\n2,True,9\n3,False,10\n"
    )
    (folder / "notes.csv").write_text("who,what\nada,nothing\n")

    assert delivered(read_rsna(folder)) == ["rsna-1", "rsna-2", "rsna-3"]


def test_a_number_that_is_there_in_two_parts_gets_the_image_of_its_own_part(
    tmp_path: Path,
) -> None:
    folder = a_kaggle_folder(tmp_path, "id,boneage,male\n7,180,False\n", ("7",))
    write_image(folder / "boneage-test-dataset" / "7.png", seed=99)
    (folder / "boneage-test-dataset.csv").write_text("Case ID,Sex\n7,M\n")

    training, test = read_rsna(folder)

    assert (training.name, test.name) == ("rsna-7", "rsna-test-7")
    assert training.path == folder / KAGGLE / KAGGLE / "7.png"
    assert test.path == folder / "boneage-test-dataset" / "7.png"
    assert training.patient != test.patient


def test_a_row_never_gets_the_image_of_another_part(tmp_path: Path) -> None:
    folder = a_kaggle_folder(tmp_path, "id,boneage,male\n1,180,False\n", ("1", "7"))
    (folder / "test.csv").write_text("Case ID,Sex\n7,M\n")

    items = list(read_rsna(folder))

    assert delivered(items) == ["rsna-1"]
    assert "only in boneage-training-dataset" in problems(items)["rsna-7"]


def test_a_folder_whose_name_merely_holds_such_a_word_is_of_no_part(tmp_path: Path) -> None:
    write_image(tmp_path / "latest-restrained" / "1.png")
    (tmp_path / "train.csv").write_text("id,boneage,male\n1,180,False\n")

    assert delivered(read_rsna(tmp_path)) == ["rsna-1"]


def test_two_images_of_one_number_are_not_chosen_from(tmp_path: Path) -> None:
    write_images(tmp_path, "train-1/1.png", "train-2/1.png", "train-1/2.png")
    (tmp_path / "train.csv").write_text("id,boneage,male\n1,180,False\n2,12,True\n")

    items = list(read_rsna(tmp_path))

    assert delivered(items) == ["rsna-2"]
    assert "may be any of 2 images" in problems(items)["rsna-1"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2,ten,True", "age_months is 'ten'"),
        ("2,12 y,True", "age_months is '12 y', but must be a number of months"),
        ("2,,True", "age_months is ''"),
        ("2,nan,True", "must be a number of months"),
        ("2,-3,True", "must lie in 0 to 240 months"),
        ("2,241,True", "must lie in 0 to 240 months"),
        ("2,120,maybe", "male is 'maybe'"),
        ("2,120", "male is ''"),
        ("2,120,True,x", "4 cells"),
        ("9,120,True", "there is no image 9"),
        ("../2,120,True", "leaves the folder"),
        ("1,120,True", "has a row already"),
        (",120,True", "no image is named"),
    ],
    ids=[
        "no number",
        "years",
        "empty",
        "nan",
        "negative",
        "too old",
        "sex",
        "short",
        "long",
        "image",
        "path",
        "doubled",
        "no id",
    ],
)
def test_a_bad_row_is_refused_with_its_line_and_the_rest_goes_on(
    tmp_path: Path, row: str, reason: str
) -> None:
    folder = a_kaggle_folder(tmp_path, f"id,boneage,male\n1,180,False\n{row}\n3,36,True\n")

    items = list(read_rsna(folder))

    assert delivered(items) == ["rsna-1", "rsna-3"]
    ((name, problem),) = problems(items).items()
    assert reason in problem
    assert f"{KAGGLE}.csv, line 3: " in f"{name}: {problem}"


def test_empty_lines_are_no_rows(tmp_path: Path) -> None:
    folder = a_kaggle_folder(tmp_path, "id,boneage,male\n1,180,False\n\n,,\n2,12,True\n\n")

    items = list(read_rsna(folder))

    assert delivered(items) == ["rsna-1", "rsna-2"]
    assert problems(items) == {}


def test_a_limit_draws_at_random_and_the_same_ones_for_the_same_seed(tmp_path: Path) -> None:
    numbers = tuple(str(number) for number in range(1, 21))
    rows = "".join(f"{number},100,True\n" for number in numbers)
    folder = a_kaggle_folder(tmp_path, "id,boneage,male\n" + rows, numbers)

    draws = [delivered(read_rsna(folder, limit=5, seed=seed)) for seed in (1, 1, 2)]

    assert draws[0] == draws[1]
    assert draws[0] != draws[2]
    assert len(set(draws[0])) == 5
    assert draws[0] != [f"rsna-{number}" for number in range(1, 6)]


def test_a_limit_above_what_is_there_delivers_all(tmp_path: Path) -> None:
    folder = a_kaggle_folder(tmp_path, "id,boneage,male\n1,180,False\n")

    assert len(list(read_rsna(folder, limit=10))) == 1


def test_a_folder_without_the_table_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,age\na,1\n")

    with pytest.raises(NotFoundError, match="no table of the RSNA challenge"):
        list(read_rsna(tmp_path))


def test_a_table_that_is_no_text_is_refused_by_name_and_the_others_are_read(
    tmp_path: Path,
) -> None:
    folder = a_kaggle_folder(tmp_path, "id,boneage,male\n1,180,False\n")
    (folder / "Bone age ground truth.csv").write_bytes(b"PK\x03\x04 a workbook")

    items = list(read_rsna(folder))

    assert delivered(items) == ["rsna-1"]
    assert "save the sheet as CSV" in problems(items)["Bone age ground truth.csv"]


def test_where_only_a_broken_table_is_there_the_sentence_says_why(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(b"\xff\xfe\x00id")

    with pytest.raises(NotFoundError, match=r"no table of the RSNA challenge.*no text table"):
        list(read_rsna(tmp_path))


def test_links_out_of_the_folder_are_refused_once(tmp_path: Path) -> None:
    outside = write_image(tmp_path / "outside.png")
    folder = a_kaggle_folder(tmp_path / "in", "id,boneage,male\n1,180,False\n4,12,True\n")
    (folder / KAGGLE / "4.png").symlink_to(outside)
    (folder / KAGGLE / "5.png").symlink_to(outside)

    items = list(read_rsna(folder))

    assert delivered(items) == ["rsna-1"]
    assert set(problems(items)) == {"rsna-4", f"{KAGGLE}/5.png"}
    assert "leaves the folder" in problems(items)["rsna-4"]


@pytest.mark.real_data
def test_the_real_table_is_read_without_loss(real_data: Path) -> None:
    items = list(read_rsna(real_data / "rsna"))

    assert len(items) == 12_611
    assert problems(items) == {}
    by_name = {item.name: item for item in items}
    assert by_name["rsna-1377"].values == {"age_months": 180.0, "sex": "female"}
