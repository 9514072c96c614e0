from __future__ import annotations

from pathlib import Path

import pytest

from data.errors import InvalidInputError, NotFoundError
from data.images import decode
from data.sources.folder import read_folder
from data.sources.item import SourceItem
from data.sources.phantoms import read_phantoms
from data.sources.rsna import read_rsna
from tests.unit.data.dataset_cases import SPEC, a_film, encoded

KAGGLE = "boneage-training-dataset"


def a_kaggle_folder(folder: Path, table: str, numbers: tuple[str, ...] = ("1", "2", "3")) -> Path:
    images = folder / KAGGLE / KAGGLE
    images.mkdir(parents=True)
    for number in numbers:
        (images / f"{number}.png").write_bytes(encoded(a_film(seed=int(number))))
    (folder / f"{KAGGLE}.csv").write_text(table)
    return folder


def delivered(items: list[SourceItem]) -> list[str]:
    return [item.name for item in items if not item.problem]


def problems(items: list[SourceItem]) -> dict[str, str]:
    return {item.name: item.problem for item in items if item.problem}


# RSNA


def test_the_kaggle_layout_is_read(tmp_path: Path) -> None:
    folder = a_kaggle_folder(tmp_path, "id,boneage,male\n1,180,False\n2,12,True\n")

    first, second = read_rsna(folder)

    assert first.name == "rsna-1"
    assert first.patient == "rsna-1"
    assert first.values == {"age_months": 180.0, "sex": "female"}
    assert second.values == {"age_months": 12.0, "sex": "male"}
    assert decode(second.read().payload).shape == (40, 30)


def test_the_spelling_of_the_validation_table_is_read(tmp_path: Path) -> None:
    table = "\ufeffImage ID,male,Bone Age (months)\n1,TRUE,165.47\n"
    folder = a_kaggle_folder(tmp_path, table)

    (item,) = read_rsna(folder)

    assert item.values == {"age_months": 165.47, "sex": "male"}


def test_both_tables_of_the_challenge_are_read_together(tmp_path: Path) -> None:
    folder = a_kaggle_folder(tmp_path, "id,boneage,male\n1,180,False\n")
    (folder / "validation.csv").write_text("Image ID,male,Bone Age (months)\n2,True,9\n")
    (folder / "notes.csv").write_text("who,what\nada,nothing\n")

    assert delivered(list(read_rsna(folder))) == ["rsna-1", "rsna-2"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2,ten,True", "age_months is 'ten'"),
        ("2,,True", "age_months is ''"),
        ("2,nan,True", "finite"),
        ("2,-3,True", "must lie in 0 to 240 months"),
        ("2,120,maybe", "male is 'maybe'"),
        ("2,120", "male is ''"),
        ("9,120,True", "there is no image 9"),
        ("1,120,True", "has a row already"),
        (",120,True", "there is no image"),
    ],
    ids=["no number", "empty", "nan", "negative", "sex", "short", "image", "doubled", "no id"],
)
def test_a_bad_row_is_refused_with_its_line_and_the_rest_goes_on(
    tmp_path: Path, row: str, reason: str
) -> None:
    folder = a_kaggle_folder(tmp_path, f"id,boneage,male\n1,180,False\n{row}\n3,36,True\n")

    items = list(read_rsna(folder))

    assert delivered(items) == ["rsna-1", "rsna-3"]
    (problem,) = problems(items).values()
    assert reason in problem
    assert f"{KAGGLE}.csv, line 3: " in problem


def test_empty_lines_are_no_rows(tmp_path: Path) -> None:
    folder = a_kaggle_folder(tmp_path, "id,boneage,male\n1,180,False\n\n,,\n2,12,True\n\n")

    items = list(read_rsna(folder))

    assert delivered(items) == ["rsna-1", "rsna-2"]
    assert problems(items) == {}


def test_a_limit_draws_at_random_and_the_same_ones_for_the_same_seed(tmp_path: Path) -> None:
    numbers = tuple(str(number) for number in range(1, 21))
    rows = "".join(f"{number},100,True\n" for number in numbers)
    folder = a_kaggle_folder(tmp_path, "id,boneage,male\n" + rows, numbers)

    draws = [delivered(list(read_rsna(folder, limit=5, seed=seed))) for seed in (1, 1, 2)]

    assert draws[0] == draws[1]
    assert draws[0] != draws[2]
    assert len(set(draws[0])) == 5
    assert draws[0] != [f"rsna-{number}" for number in range(1, 6)]


def test_a_limit_above_what_is_there_delivers_all(tmp_path: Path) -> None:
    folder = a_kaggle_folder(tmp_path, "id,boneage,male\n1,180,False\n")

    assert len(list(read_rsna(folder, limit=10))) == 1


def test_a_folder_without_the_table_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,age\n")

    with pytest.raises(NotFoundError, match="no table of the RSNA challenge"):
        list(read_rsna(tmp_path))


def test_a_table_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(b"\xff\xfe\x00id")

    with pytest.raises(InvalidInputError, match="UTF-8"):
        list(read_rsna(tmp_path))


@pytest.mark.real_data
def test_the_real_table_is_read_without_loss(real_data: Path) -> None:
    items = list(read_rsna(real_data / "rsna"))

    assert len(items) == 12_611
    assert problems(items) == {}
    by_name = {item.name: item for item in items}
    assert by_name["rsna-1377"].values == {"age_months": 180.0, "sex": "female"}


# Folder


def write_image(path: Path, seed: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(a_film(seed=seed)))


def test_every_image_below_a_folder_is_read_in_order(tmp_path: Path) -> None:
    for number, name in enumerate(["b.png", "deep/er/a.PNG", "c.jpeg", ".hidden.png", ".x/d.png"]):
        write_image(tmp_path / name, number)
    (tmp_path / "notes.txt").write_text("no image")

    items = list(read_folder(tmp_path))

    assert [item.name for item in items] == ["b.png", "c.jpeg", "deep/er/a.PNG"]
    assert all(item.values == {} for item in items)


def test_without_a_table_each_image_is_a_patient(tmp_path: Path) -> None:
    for number, name in enumerate(["1.png", "left/1.png"]):
        write_image(tmp_path / name, number)

    assert [item.patient for item in read_folder(tmp_path)] == ["1", "left/1"]


def test_the_table_says_patient_and_values(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "b.png", 2)
    (tmp_path / "labels.csv").write_text(
        "file;Patient;age_months;sex;remark\na.png;4711;120;female;-\nb.png;4711;;male;-\n"
    )

    first, second = read_folder(tmp_path, targets=SPEC.targets)

    assert first.patient == second.patient == "4711"
    assert first.values == {"age_months": 120.0, "sex": "female"}
    assert second.values == {"sex": "male"}


def test_a_bad_value_and_a_missing_image_are_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    for number, name in enumerate(["a.png", "b.png"]):
        write_image(tmp_path / name, number)
    (tmp_path / "labels.csv").write_text("file,sex\na.png,?\nb.png,male\nc.png,male\n")

    items = list(read_folder(tmp_path, targets=SPEC.targets))

    assert delivered(items) == ["b.png"]
    assert "sex is '?'" in problems(items)["a.png"]
    assert "no such image" in problems(items)["c.png"]


def test_a_given_table_must_name_files(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    table = tmp_path / "table.csv"
    table.write_text("id,sex\n1,male\n")

    with pytest.raises(InvalidInputError, match="column `file`"):
        list(read_folder(tmp_path, table))
    with pytest.raises(NotFoundError, match="no table"):
        list(read_folder(tmp_path, tmp_path / "other.csv"))


def test_a_missing_folder_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no folder"):
        list(read_folder(tmp_path / "none"))


def test_an_image_that_vanished_is_an_input_error(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    (item,) = read_folder(tmp_path)
    (tmp_path / "a.png").unlink()

    with pytest.raises(InvalidInputError, match="cannot be read"):
        item.read()


# Phantoms


def test_phantoms_come_with_their_truth_and_are_patients_of_their_own() -> None:
    items = list(read_phantoms(3, seed=5, size=64))

    assert len({item.patient for item in items}) == 3
    for item in items:
        assert set(item.values) == {"age_months", "sex"}
        assert decode(item.read().payload).shape[0] == 64


def test_phantoms_of_another_seed_are_other_patients() -> None:
    (first,), (second,) = read_phantoms(1, seed=1, size=64), read_phantoms(1, seed=2, size=64)

    assert first.patient != second.patient
    assert first.read() != second.read()
