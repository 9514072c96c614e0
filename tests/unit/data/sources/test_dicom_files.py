"""DICOM files and folders of them as a source."""

from __future__ import annotations

import os
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.dicom.choice import DicomChoice, left_out_sentence
from data.errors import ImageError, InvalidInputError, NotFoundError
from data.images.decoding import decode
from data.sources.dicom_files import read_dicom
from data.sources.item import SourceItem
from tests.unit.data.dicom_cases import RAMP, SALT, a_file

EVERYTHING = DicomChoice()


def put(path: Path, number: int = 1, **elements: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(a_file(RAMP, number=number, **elements))
    return path


def found(
    *paths: Path, choice: DicomChoice = EVERYTHING, left_out: Counter[str] | None = None
) -> list[SourceItem]:
    counts = Counter[str]() if left_out is None else left_out
    return list(read_dicom(paths, SALT, choice, counts))


def test_files_are_found_at_any_depth_whatever_they_are_called(tmp_path: Path) -> None:
    for name in ("b/IM0001", "a.dcm", "b/1.2.840.113619", "b/film.jpg"):
        put(tmp_path / name)

    names = [item.name for item in found(tmp_path)]

    assert names == ["a.dcm", "b/1.2.840.113619", "b/IM0001", "b/film.jpg"]


def test_an_item_delivers_the_image_and_what_may_be_known(tmp_path: Path) -> None:
    put(tmp_path / "film", PatientSex="F", Laterality="L", PatientID="4711")

    (item,) = found(tmp_path)

    assert item.values == {"sex": "female"}
    assert item.metadata["laterality"] == "left"
    assert decode(item.read().payload).tolist() == [[0, 85, 170, 255]]


def test_an_item_can_be_sent_to_another_process(tmp_path: Path) -> None:
    put(tmp_path / "film")

    (item,) = found(tmp_path)

    assert pickle.loads(pickle.dumps(item)).read() == item.read()


def test_images_of_one_patient_have_one_patient(tmp_path: Path) -> None:
    put(tmp_path / "left", 1, PatientID="4711")
    put(tmp_path / "right", 2, PatientID="4711")
    put(tmp_path / "somebody else", 3, PatientID="4712")

    left, right, other = found(tmp_path)

    assert left.patient == right.patient != other.patient


def test_one_bad_file_does_not_stop_the_rest(tmp_path: Path) -> None:
    put(tmp_path / "1.dcm")
    (tmp_path / "2.dcm").write_bytes(b"no DICOM")
    (tmp_path / "3.dcm").write_bytes(a_file(RAMP)[:-20])
    put(tmp_path / "4.dcm", NumberOfFrames=2)
    put(tmp_path / "5.dcm")

    items = found(tmp_path)

    assert [bool(item.problem) for item in items] == [False, True, True, True, False]


def test_what_else_lies_in_a_folder_is_counted_and_left_out(tmp_path: Path) -> None:
    put(tmp_path / "film")
    put(tmp_path / "DICOMDIR")
    put(tmp_path / ".hidden")
    for name in ("viewer.exe", "README", "films.zip"):
        (tmp_path / name).write_bytes(b"PK\x03\x04")
    left_out = Counter[str]()

    items = found(tmp_path, left_out=left_out)

    assert [item.name for item in items] == ["film"]
    assert left_out == {"no DICOM file": 3}


def test_a_zip_archive_that_is_asked_for_is_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "films.zip"
    path.write_bytes(b"PK\x03\x04" + b"\0" * 200)

    (item,) = found(path)

    assert item.problem == "This is a zip archive: unpack it and import the folder."


def test_files_and_folders_may_be_mixed(tmp_path: Path) -> None:
    one, two = put(tmp_path / "a" / "film"), put(tmp_path / "b" / "film", 2)

    names = [item.name for item in found(one, two.parent)]

    assert names == [one.as_posix(), two.as_posix()]


def test_the_stamp_changes_with_the_file(tmp_path: Path) -> None:
    path = put(tmp_path / "film")
    (first,), (second,) = found(tmp_path), found(tmp_path)
    os.utime(path, ns=(1, 1))
    (third,) = found(tmp_path)

    assert first.stamp == second.stamp != third.stamp


def test_a_file_that_becomes_another_patients_during_the_import_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "film", PatientID="4711")
    (item,) = found(tmp_path)
    put(path, PatientID="4712")

    with pytest.raises(ImageError, match="was changed while it was imported"):
        item.read()


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nothing"):
        found(tmp_path / "nothing")


def test_a_path_that_is_too_long_is_said_to_be_unreadable() -> None:
    with pytest.raises(InvalidInputError, match=r"cannot be read: File name too long\.$"):
        found(Path("a" * 300))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_must_not_be_read_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "film").chmod(0)

    (item,) = found(tmp_path)

    assert "cannot be read" in item.problem


@pytest.mark.parametrize(
    ("choice", "names", "counts"),
    [
        (
            DicomChoice.read(laterality="left"),
            ["hand left"],
            {"another laterality": 1, "laterality unknown": 1},
        ),
        (
            DicomChoice.read(body_part="hand, wrist"),
            ["hand left", "hand right"],
            {"another body part": 1},
        ),
        (DicomChoice.read(modality="dx"), ["knee"], {"another modality": 2}),
    ],
    ids=["laterality", "body part", "modality"],
)
def test_a_choice_leaves_out_the_others_and_counts_them(
    tmp_path: Path, choice: DicomChoice, names: list[str], counts: dict[str, int]
) -> None:
    put(tmp_path / "hand left", 1, BodyPartExamined="HAND", ImageLaterality="L")
    put(tmp_path / "hand right", 2, BodyPartExamined="HAND", Laterality="R")
    put(tmp_path / "knee", 3, BodyPartExamined="KNEE", Modality="DX")
    left_out = Counter[str]()

    items = found(tmp_path, choice=choice, left_out=left_out)

    assert [item.name for item in items] == names
    assert left_out == counts


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"body_part": "HANDS"}, "HANDS is no body part that DICOM defines.*HAND"),
        ({"modality": "XR"}, "XR is no modality that DICOM defines"),
        ({"laterality": "lft"}, "lft is no laterality: both, left, right, unpaired."),
    ],
    ids=["body part", "modality", "laterality"],
)
def test_a_term_that_is_none_is_named(words: dict[str, str], sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=sentence):
        DicomChoice.read(**words)


def test_what_was_left_out_is_said_in_one_sentence() -> None:
    counts = Counter({"another modality": 2, "no DICOM file": 5})

    assert left_out_sentence(counts) == (
        "Left out, not wanted: 5 (no DICOM file), 2 (another modality)."
    )


def test_a_refused_file_does_not_carry_what_it_says_of_people(tmp_path: Path) -> None:
    put(tmp_path / "film", PatientID="4711", NumberOfFrames=9, BodyPartExamined="DOE")

    (item,) = found(tmp_path)

    assert item.problem
    assert not item.patient
    assert "4711" not in repr(item)


def test_pixels_are_not_read_before_they_are_wanted(tmp_path: Path) -> None:
    path = tmp_path / "film"
    whole = a_file(np.zeros((600, 600), np.uint16))
    path.write_bytes(whole[:-1000])

    (item,) = found(tmp_path)

    assert not item.problem
    with pytest.raises(ImageError, match="cut off"):
        item.read()


def test_a_pipe_is_refused_and_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "film.dcm")

    (item,) = read_dicom([tmp_path / "film.dcm"], SALT, DicomChoice(), Counter())

    assert item.problem == "It is a pipe, a socket or a device, and no file."
