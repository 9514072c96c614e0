from __future__ import annotations

from pathlib import Path

import pytest

from data.errors import NotFoundError
from data.sources.chest import read_chest
from tests.unit.data.sources.layouts import delivered, problems, write_images


def test_class_cause_and_patient_are_read_from_folders_and_names(tmp_path: Path) -> None:
    write_images(
        tmp_path / "chest_xray",
        "train/NORMAL/IM-0115-0001.jpeg",
        "train/PNEUMONIA/person12_bacteria_47.jpeg",
        "val/PNEUMONIA/person1950_virus_4881.jpeg",
    )

    normal, bacterial, viral = read_chest(tmp_path)

    assert normal.values == {"diagnosis": "normal"}
    assert bacterial.values == {"diagnosis": "pneumonia", "cause": "bacterial"}
    assert viral.values == {"diagnosis": "pneumonia", "cause": "viral"}
    assert [item.patient for item in (normal, bacterial, viral)] == [
        "chest-IM-115",
        "chest-person12",
        "chest-person1950",
    ]
    assert normal.name == "chest_xray/train/NORMAL/IM-0115-0001.jpeg"
    assert normal.stamp


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("train/PNEUMONIA/person1_bacteria_1.jpeg", "test/PNEUMONIA/person1_virus_6.jpeg"),
        ("train/PNEUMONIA/person1_bacteria_1.jpeg", "train/PNEUMONIA/person1_bacteria_2.jpeg"),
        ("train/NORMAL/IM-0429-0001.jpeg", "train/NORMAL/IM-0429-0001-0002.jpeg"),
        ("train/NORMAL/IM-0429-0001.jpeg", "test/NORMAL/NORMAL2-IM-0429-0001.jpeg"),
        ("train/NORMAL/NORMAL-28501-0001.jpeg", "test/PNEUMONIA/VIRUS-28501-0002.jpeg"),
    ],
    ids=["parts and causes", "films", "normal films", "NORMAL2", "later edition"],
)
def test_the_same_number_is_the_same_patient(tmp_path: Path, one: str, other: str) -> None:
    write_images(tmp_path, one, other)

    assert len({item.patient for item in read_chest(tmp_path)}) == 1


def test_numbers_of_normal_films_and_of_pneumonias_are_counted_apart(tmp_path: Path) -> None:
    write_images(tmp_path, "NORMAL/IM-0012-0001.jpeg", "PNEUMONIA/person12_virus_1.jpeg")

    assert len({item.patient for item in read_chest(tmp_path)}) == 2


def test_the_folder_of_one_class_can_be_imported_alone(tmp_path: Path) -> None:
    write_images(tmp_path / "PNEUMONIA", "BACTERIA-1008087-0001.jpeg")

    (item,) = read_chest(tmp_path / "PNEUMONIA")

    assert item.values == {"diagnosis": "pneumonia", "cause": "bacterial"}


@pytest.mark.parametrize(
    "name",
    ["NORMAL/person1_virus_1.jpeg", "PNEUMONIA/IM-0001-0001.jpeg", "NORMAL/VIRUS-1-1.jpeg",
     "NORMAL/copy.jpeg"],
)  # fmt: skip
def test_a_name_that_does_not_tell_the_patient_is_refused_and_the_rest_goes_on(
    tmp_path: Path, name: str
) -> None:
    write_images(tmp_path, name, "NORMAL/IM-0002-0001.jpeg")

    items = list(read_chest(tmp_path))

    assert delivered(items) == ["NORMAL/IM-0002-0001.jpeg"]
    assert "does not say the patient" in problems(items)[name]


def test_other_folders_are_left_out_and_without_the_two_it_is_another_layout(
    tmp_path: Path,
) -> None:
    write_images(tmp_path, "NORMAL/IM-0002-0001.jpeg", "other/x.jpeg")

    assert delivered(read_chest(tmp_path)) == ["NORMAL/IM-0002-0001.jpeg"]
    with pytest.raises(NotFoundError, match="no images in folders NORMAL and PNEUMONIA"):
        list(read_chest(tmp_path / "other"))


@pytest.mark.real_data
def test_every_real_film_tells_its_patient(real_data: Path) -> None:
    items = list(read_chest(real_data / "chest_xray"))

    assert len(items) == 3_382
    assert problems(items) == {}
    assert sum(item.values["diagnosis"] == "normal" for item in items) == 870
    assert sum(item.values.get("cause") == "viral" for item in items) == 896
