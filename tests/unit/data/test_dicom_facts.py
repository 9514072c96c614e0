"""What is known of a DICOM file besides its pixels, and what is never known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from data.dicom.reading import facts_from_json, read_header, to_image
from tests.unit.data.dicom_cases import (
    RAMP,
    SALT,
    a_dataset,
    a_file,
    written,
)
from tests.unit.data.dicom_reading_cases import NAME, metadata


def test_metadata_keeps_defined_terms_and_pseudonyms_alone() -> None:
    kept = metadata(
        ImageLaterality="L",
        BodyPartExamined="HAND",
        ViewPosition="PA",
        ImagerPixelSpacing=[0.15, 0.15],
        PixelSpacing=[0.2, 0.2],
        LossyImageCompression="01",
        PatientName=NAME,
        PatientAge="012Y",
        Manufacturer="ACME",
    )

    assert len(kept.pop("study")) == 16
    assert kept == {
        "laterality": "left",
        "body_part": "HAND",
        "view": "PA",
        "modality": "CR",
        "pixel_spacing_mm": "0.15 x 0.15",
        "lossy": "yes",
        "contrast": "full range",
    }


@pytest.mark.parametrize("keyword", ["BodyPartExamined", "ViewPosition", "Modality", "Laterality"])
@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
def test_free_text_in_a_field_for_terms_is_dropped(keyword: str) -> None:
    assert NAME not in str(metadata(**{keyword: NAME}))


@pytest.mark.parametrize(
    ("written_as", "expected"), [("M", "male"), ("F", "female"), ("O", None), ("", None)]
)
def test_the_recorded_sex_is_kept_where_it_is_one_that_a_reader_can_choose(
    written_as: str, expected: str | None
) -> None:
    assert metadata(PatientSex=written_as).get("sex") == expected


def test_a_study_has_another_pseudonym_in_another_workspace() -> None:
    ours, theirs = (to_image(a_file(RAMP), salt).metadata["study"] for salt in ("a", "b"))

    assert ours != theirs


def test_the_laterality_of_a_single_frame_is_found() -> None:
    anatomy, group = Dataset(), Dataset()
    anatomy.FrameLaterality = "R"
    group.FrameAnatomySequence = Sequence([anatomy])

    kept = metadata(SharedFunctionalGroupsSequence=Sequence([group]))

    assert kept["laterality"] == "right"


def test_a_pixel_that_is_not_square_is_noted() -> None:
    assert metadata(PixelAspectRatio=[3, 2])["pixel_aspect"] == "1.5"


@pytest.mark.parametrize("spacing", [[0, 0], [1e9, 1e9], [0.1]], ids=["none", "absurd", "single"])
def test_an_impossible_spacing_is_dropped(spacing: list[float]) -> None:
    assert "pixel_spacing_mm" not in metadata(PixelSpacing=spacing)


def test_a_patient_is_issuer_and_number() -> None:
    one, same, other = (
        read_header(a_file(RAMP, number=n, PatientID="4711", IssuerOfPatientID=issuer)).patient
        for n, issuer in ((1, "A"), (2, "A"), (3, "B"))
    )

    assert one == same != other


def test_without_a_number_the_study_stands_for_the_patient() -> None:
    facts = read_header(a_file(RAMP, PatientID=""))

    assert facts.patient
    assert facts.metadata(SALT)["patient"] == "unknown"


def test_without_number_and_study_the_image_is_refused() -> None:
    problem = read_header(a_file(RAMP, PatientID="", StudyInstanceUID=None)).problem

    assert (
        problem == "The file names neither a patient nor a study, so nobody can tell whose it is."
    )


@pytest.mark.parametrize(("recorded", "sex"), [("M", "male"), ("F", "female"), ("O", ""), ("", "")])
def test_the_recorded_sex_is_read(recorded: str, sex: str) -> None:
    assert read_header(a_file(RAMP, PatientSex=recorded)).sex == sex


def test_burned_in_annotation_is_flagged() -> None:
    assert metadata(BurnedInAnnotation="YES")["burned_in_text"] == "possible"


def test_facts_say_nothing_that_identifies_when_they_are_printed() -> None:
    facts = read_header(a_file(RAMP, PatientID="4711"))

    assert "4711" not in repr(facts)
    assert facts.study not in repr(facts)


def test_a_header_is_read_without_the_pixels(tmp_path: Path) -> None:
    path = tmp_path / "film"
    path.write_bytes(a_file(np.zeros((600, 600), np.uint16))[:300_000])

    assert read_header(path).problem == ""


def test_a_header_that_is_longer_than_most_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "film"
    path.write_bytes(a_file(RAMP, RedPaletteColorLookupTableData=b"x" * 300_000, Laterality="L"))

    facts = read_header(path)

    assert (facts.problem, facts.laterality) == ("", "left")


def test_a_server_describes_an_image_as_its_file_does() -> None:
    dataset = a_dataset(RAMP, PatientID="4711", IssuerOfPatientID="A", Laterality="L")
    described = dataset.to_json_dict(bulk_data_threshold=8, bulk_data_element_handler=lambda _: "")

    facts = facts_from_json(described)

    assert facts.patient == read_header(written(dataset)).patient
    assert (facts.laterality, facts.problem) == ("left", "")
