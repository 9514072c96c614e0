"""DICOM files to images and facts; numbers worked out by hand from the standard."""

from __future__ import annotations

import logging
import struct
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    MPEG2MPML,
    UID,
    BasicTextSRStorage,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRBigEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    RLELossless,
)

from data.dicom.reading import facts_from_json, read_header, to_image
from data.errors import ImageError
from data.images.decoding import ImageLimits, decode
from tests.unit.data.dicom_cases import (
    RAMP,
    SALT,
    a_dataset,
    a_deflated_bomb,
    a_file,
    a_table,
    element,
    padded,
    written,
)

SMALL = ImageLimits(max_bytes=1_000_000, max_pixels=10_000)
NAME = "DOE^JANE"


def seen(payload: bytes) -> list[list[int]]:
    """The pixels that the image shows."""
    pixels: list[list[int]] = decode(to_image(payload, SALT).payload).tolist()
    return pixels


def metadata(**elements: Any) -> dict[str, str]:
    return dict(to_image(a_file(RAMP, **elements), SALT).metadata)


def refusal(payload: bytes, limits: ImageLimits = SMALL) -> str:
    """Why the file is not taken."""
    with pytest.raises(ImageError) as caught:
        to_image(payload, SALT, limits)
    return str(caught.value)


@pytest.mark.parametrize(
    ("values", "bits"),
    [
        (np.array([[0, 128, 255]], np.uint8), 8),
        (np.array([[0, 512, 1023]], np.uint16), 10),
        (np.array([[0, 2048, 4095]], np.uint16), 12),
        (np.array([[0, 32768, 65535]], np.uint16), 16),
        (np.array([[-128, 0, 127]], np.int8), 8),
        (np.array([[-2048, 0, 2047]], np.int16), 12),
        (np.array([[-32768, 0, 32767]], np.int16), 16),
    ],
    ids=["8", "10", "12", "16", "8 signed", "12 signed", "16 signed"],
)
@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
    ids=["implicit", "big endian", "deflated"],
)
def test_every_bit_depth_and_sign_is_read(values: NDArray[Any], bits: int, syntax: UID) -> None:
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    cells = (values.astype(int) & ((1 << bits) - 1)).astype(f"{order}u{values.dtype.itemsize}")
    pixels = padded(cells.tobytes())
    dataset = a_dataset(values, syntax, BitsStored=bits, HighBit=bits - 1, PixelData=pixels)

    assert seen(written(dataset)) == [[0, 128, 255]]


def test_bits_above_the_value_are_no_part_of_it() -> None:
    overlay = np.array([[0, 512, 1023]], np.uint16) | 0xF000

    assert seen(a_file(overlay, BitsStored=10, HighBit=9)) == [[0, 128, 255]]


def test_a_value_in_the_high_bits_is_shifted() -> None:
    shifted = np.array([[0, 512, 1023]], np.uint16) << 6

    # A window of 1024 around 512: x / 1023
    payload = a_file(shifted, BitsStored=10, HighBit=15, WindowCenter=512, WindowWidth=1024)

    assert seen(payload) == [[0, 128, 255]]


def test_monochrome1_is_inverted() -> None:
    assert seen(a_file(RAMP, PhotometricInterpretation="MONOCHROME1")) == [[255, 170, 85, 0]]


@pytest.mark.parametrize(
    ("photometric", "shape", "pixels"),
    [
        ("MONOCHROME1", "INVERSE", [255, 170, 85, 0]),
        ("MONOCHROME2", "IDENTITY", [0, 85, 170, 255]),
        ("MONOCHROME2", "INVERSE", [255, 170, 85, 0]),
    ],
)
def test_the_presentation_shape_inverts_once(
    photometric: str, shape: str, pixels: list[int]
) -> None:
    payload = a_file(RAMP, PhotometricInterpretation=photometric, PresentationLUTShape=shape)

    assert seen(payload) == [pixels]


def test_the_first_of_several_windows_counts() -> None:
    payload = a_file(RAMP, WindowCenter=[2, 100], WindowWidth=[4, 200])

    # (x - 1.5) / 3 + 0.5
    assert seen(payload) == [[0, 85, 170, 255]]


def test_the_window_applies_after_the_rescale() -> None:
    elements = {"RescaleSlope": 2, "RescaleIntercept": -3, "VOILUTFunction": "LINEAR_EXACT"}

    # -3, -1, 1, 3 of a window from -3 to 3
    assert seen(a_file(RAMP, WindowCenter=0, WindowWidth=6, **elements)) == [[0, 85, 170, 255]]


def test_a_voi_table_comes_before_a_window() -> None:
    table = a_table([0, 255, 100], first=1, bits=8)

    assert seen(a_file(RAMP, VOILUTSequence=table, WindowCenter=2, WindowWidth=4)) == [
        [0, 0, 255, 100]
    ]


def test_a_table_for_signed_values_may_begin_below_zero() -> None:
    values = np.array([[-2, -1, 0]], np.int16)

    assert seen(a_file(values, VOILUTSequence=a_table([10, 20, 30], -2, 8))) == [[10, 20, 30]]


def test_a_modality_table_is_applied() -> None:
    table = a_table([300, 200, 100, 0], first=0, bits=16)

    assert seen(a_file(RAMP, ModalityLUTSequence=table)) == [[255, 170, 85, 0]]


def test_padding_is_black_and_left_out_of_the_range() -> None:
    values = np.array([[5000, 0, 1, 2]], np.uint16)

    assert seen(a_file(values, PixelPaddingValue=5000)) == [[0, 0, 128, 255]]


@pytest.mark.parametrize(
    ("photometric", "sample"),
    # 0.299 * 255 = 76.2; Y is the luminance already
    [("RGB", (255, 0, 0)), ("YBR_FULL", (76, 85, 255))],
)
def test_colours_become_luminance(photometric: str, sample: tuple[int, int, int]) -> None:
    values = np.array([[sample]], np.uint8)

    (pixels,) = seen(a_file(values, PhotometricInterpretation=photometric))

    assert abs(pixels[0] - 76) <= 1


def test_a_palette_becomes_luminance() -> None:
    palette = {
        f"{colour}PaletteColorLookupTableDescriptor": [2, 0, 16]
        for colour in ("Red", "Green", "Blue")
    }
    data = {
        "RedPaletteColorLookupTableData": struct.pack("<2H", 0, 65535),
        "GreenPaletteColorLookupTableData": struct.pack("<2H", 0, 0),
        "BluePaletteColorLookupTableData": struct.pack("<2H", 0, 0),
    }
    values = np.array([[0, 1]], np.uint8)

    payload = a_file(values, PhotometricInterpretation="PALETTE COLOR", **palette, **data)

    assert seen(payload) == [[0, 76]]


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


@pytest.mark.parametrize(
    ("elements", "sentence"),
    [
        ({"NumberOfFrames": 12}, "The image has 12 frames: give one radiograph per file."),
        (
            {"SOPClassUID": BasicTextSRStorage},
            "This DICOM object is no radiograph: its class is Basic Text SR Storage.",
        ),
        (
            {"SOPClassUID": GrayscaleSoftcopyPresentationStateStorage},
            "This DICOM object is no radiograph: its class is Grayscale Softcopy Presentation "
            "State Storage.",
        ),
        (
            {"SOPClassUID": CTImageStorage},
            "This DICOM object is no radiograph: its class is CT Image Storage.",
        ),
        (
            {"SOPClassUID": "1.2.3.4"},
            "This DICOM object is no radiograph: its class is a private or unknown one.",
        ),
        (
            {"SOPClassUID": DigitalXRayImageStorageForProcessing},
            "The image is raw data for processing: import the image for presentation instead.",
        ),
        (
            {"Rows": 200, "Columns": 100},
            "The image has 100 x 200 pixels, more than the 10000 that are read.",
        ),
        (
            {"PixelData": None},
            "The file ends before any pixel data: it is cut off or holds no image.",
        ),
        ({"Rows": None}, "The file does not say how its pixels are stored."),
        ({"Rows": 2}, "The pixel data is cut off."),
        (
            {"PhotometricInterpretation": "HSV"},
            "The photometric interpretation of the image is none that is read.",
        ),
        ({"BitsStored": 17}, "What the file says of its pixels contradicts itself."),
        ({"SamplesPerPixel": 3}, "What the file says of its pixels contradicts itself."),
        (
            {"VOILUTFunction": "CUBIC", "WindowCenter": 1, "WindowWidth": 1},
            "The VOI LUT function of the image is none that DICOM defines.",
        ),
        ({"RescaleSlope": 0}, "The rescale slope of the image is no number that can be used."),
    ],
    ids=lambda case: (
        next(iter(case)) + "=" + str(next(iter(case.values()))) if isinstance(case, dict) else ""
    ),
)
def test_what_is_no_radiograph_is_refused_in_one_sentence(
    elements: dict[str, Any], sentence: str
) -> None:
    dataset = a_dataset(RAMP, **{k: v for k, v in elements.items() if k != "PixelData"})
    if "PixelData" in elements:
        del dataset.PixelData

    assert refusal(written(dataset)) == sentence


def test_an_image_for_presentation_is_taken() -> None:
    payload = a_file(RAMP, SOPClassUID=DigitalXRayImageStorageForPresentation)

    assert seen(payload) == [[0, 85, 170, 255]]


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        (b"", "This is not a DICOM file."),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 200, "This is not a DICOM file."),
        (b"PK\x03\x04" + b"\0" * 200, "This is a zip archive: unpack it and import the folder."),
        (a_file(RAMP)[:300], "An element of the DICOM file claims to be longer than the file."),
        (
            b"\0" * 1_000_001,
            "The file has 1000001 bytes, more than the 1000000 that are read.",
        ),
        (a_deflated_bomb(2), "The file inflates to more than the 1000000 bytes that are read."),
    ],
    ids=["empty", "PNG", "zip", "cut in the header", "too large", "deflated bomb"],
)
def test_what_is_no_dicom_file_is_refused_in_one_sentence(payload: bytes, sentence: str) -> None:
    assert refusal(payload) == sentence


@pytest.mark.parametrize("length", [0xFFFFFFF0, 0x7FFFFFFF, 100_000])
def test_an_element_that_claims_to_be_longer_than_the_file_is_refused(length: int) -> None:
    whole = a_file(RAMP)
    at = whole.index(b"\x28\x00\x02\x00")
    lie = element((0x0019, 0x1010), b"OB", b"xx", length)

    problem = refusal(whole[:at] + lie + whole[at:])

    assert problem == "An element of the DICOM file claims to be longer than the file."


def test_a_thousand_nested_sequences_do_not_overflow_the_stack() -> None:
    whole = a_file(RAMP)
    at = whole.index(b"\x28\x00\x02\x00")
    nest = element((0x0008, 0x1140), b"SQ", b"", 0xFFFFFFFF) + struct.pack(
        "<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF
    )

    assert "damaged" in refusal(whole[:at] + nest * 2000 + whole[at:])


def test_pixels_that_are_cut_off_are_refused() -> None:
    assert refusal(a_file(np.zeros((50, 50), np.uint16))[:-100]) == "The pixel data is cut off."


def a_compressed_file(syntax: UID, frame: bytes, **elements: Any) -> bytes:
    dataset = a_dataset(np.zeros((10, 10), np.uint8), **elements)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return written(dataset)


def a_jpeg_header(height: int, width: int) -> bytes:
    frame = struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00"
    return b"\xff\xd8\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + b"\xff\xd9"


def a_jpeg_2000_header(height: int, width: int) -> bytes:
    size = struct.pack(">HH8LH", 41, 0, width, height, 0, 0, width, height, 0, 0, 1)
    return b"\xff\x4f\xff\x51" + size + b"\x07\x01\x01\xff\xd9"


@pytest.mark.parametrize(
    ("syntax", "frame"),
    [
        (JPEGBaseline8Bit, a_jpeg_header(60_000, 60_000)),
        (JPEGLossless, a_jpeg_header(60_000, 60_000)),
        (JPEG2000Lossless, a_jpeg_2000_header(60_000, 60_000)),
    ],
    ids=["JPEG", "JPEG lossless", "JPEG 2000"],
)
def test_a_compressed_image_that_is_larger_than_it_says_is_not_decoded(
    syntax: UID, frame: bytes
) -> None:
    problem = refusal(a_compressed_file(syntax, frame))

    assert problem == "The compressed image has another size than the file says."


@pytest.mark.parametrize(
    "segment",
    [b"\x81\x00" * 50_000, b"\x00", b"\x81"],
    ids=["64 times too long", "too short", "cut off"],
)
def test_run_lengths_that_do_not_fit_are_not_decoded(segment: bytes) -> None:
    frame = struct.pack("<16L", 1, 64, *[0] * 14) + segment

    assert "pixel data" in refusal(a_compressed_file(RLELossless, frame))


def test_run_lengths_are_decoded() -> None:
    # 100 pixels: 50 of 0, then 50 of 200
    frame = struct.pack("<16L", 1, 64, *[0] * 14) + b"\xcf\x00\xcf\xc8"

    assert seen(a_compressed_file(RLELossless, frame)) == [[0] * 10] * 5 + [[255] * 10] * 5


def test_a_transfer_syntax_without_a_decoder_is_named_in_words() -> None:
    problem = read_header(a_compressed_file(MPEG2MPML, b"\0\0")).problem

    assert problem == (
        "There is no decoder for its transfer syntax, MPEG2 Main Profile / Main Level."
    )


def test_an_unknown_transfer_syntax_is_not_quoted() -> None:
    whole = a_file(RAMP).replace(b"1.2.840.10008.1.2.1\0", b"1.2.3.4711.471147.11")

    assert refusal(whole) in (
        "There is no decoder for its transfer syntax, a private or unknown one.",
        "The DICOM file is cut off or damaged.",
    )


def test_damaged_files_give_sentences_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    whole = a_file(
        np.arange(100, dtype=np.uint16).reshape(10, 10),
        WindowCenter=50,
        WindowWidth=100,
        VOILUTSequence=a_table([1, 2, 3], 0, 8),
        PatientName=NAME,
    )

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(300):
            damaged = bytearray(whole)
            for at in rng.integers(132, len(whole), 4):
                damaged[at] = rng.integers(0, 256)
            try:
                to_image(bytes(damaged), SALT, SMALL)
            except ImageError as error:
                assert NAME not in str(error)
                assert error.__cause__ is None


def test_nothing_of_a_file_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    whole = a_file(RAMP, WindowCenter=2, WindowWidth=4)
    broken = whole.replace(b"DS\x04\x002.0 ", b"DS\x04\x00DOE^")
    assert broken != whole

    with caplog.at_level(logging.DEBUG):
        to_image(broken, SALT)

    assert caplog.text == ""


REAL = {
    "CR_CHEST_rsna-pneumonia_jpeg-baseline_MONO2_8bit": (1024, 1024),
    "CR_EXTREMITY_RG3_jpeg-lossless_MONO1": (1760, 1760),
    "CR_EXTREMITY_RG3_jpeg2000-lossless_MONO1": (1760, 1760),
    "CR_EXTREMITY_RG3_rle_MONO1": (1760, 1760),
    "CR_EXTREMITY_RG3_uncompressed_MONO1_10bit": (1760, 1760),
    "CR_HIP_RG2_jpeg2000-lossy_MONO2": (2140, 1760),
}


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "shape"), REAL.items())
def test_real_files_are_decoded(real_data: Path, name: str, shape: tuple[int, int]) -> None:
    payload = (real_data / "dicom" / f"{name}.dcm").read_bytes()

    image = decode(to_image(payload, SALT).payload)

    assert image.shape == shape
    # On all of these films the ground outside the collimator is white, the air beside it dark.
    assert image.min() < 30
    assert image.max() > 220


@pytest.mark.real_data
def test_lossless_variants_of_a_real_film_show_the_same(real_data: Path) -> None:
    variants = ("jpeg-lossless_MONO1", "jpeg2000-lossless_MONO1", "rle_MONO1")
    folder = real_data / "dicom"
    names = [*variants, "uncompressed_MONO1_10bit"]

    images = {
        to_image((folder / f"CR_EXTREMITY_RG3_{name}.dcm").read_bytes(), SALT).payload
        for name in names
    }

    assert len(images) == 1


@pytest.mark.real_data
def test_a_real_film_is_shown_as_its_window_says(real_data: Path) -> None:
    path = real_data / "dicom" / "CR_EXTREMITY_RG3_uncompressed_MONO1_10bit.dcm"
    stored = pydicom.dcmread(path).pixel_array.astype(float)

    image = decode(to_image(path.read_bytes(), SALT).payload)

    # Window 550 +- 512, LINEAR, then MONOCHROME1
    grey = 1 - np.clip((stored - 549.5) / 1023 + 0.5, 0, 1)
    assert np.abs(image - grey * 255).max() <= 0.5 + 1e-6


@pytest.mark.real_data
def test_a_real_file_that_no_plug_in_decodes_is_refused_with_its_transfer_syntax(
    real_data: Path,
) -> None:
    path = real_data / "dicom" / "CR_EXTREMITY_RG3_jpeg-extended12_MONO1.dcm"

    assert refusal(path.read_bytes(), ImageLimits(2**26, 64_000_000)) == (
        "The pixel data cannot be decoded: its transfer syntax is JPEG Extended (Process 2 and "
        "4), with 10 bits per sample."
    )


@pytest.mark.real_data
@pytest.mark.parametrize("name", [name for name in REAL if "uncompressed" not in name])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_real_compressed_file_that_is_cut_off_is_refused(
    real_data: Path, name: str, share: float
) -> None:
    payload = (real_data / "dicom" / f"{name}.dcm").read_bytes()
    frame_end = payload.rindex(b"\xfe\xff\xdd\xe0")

    with pytest.raises(ImageError):
        to_image(payload[: int(frame_end * share)], SALT)


def test_the_writer_of_these_tests_is_read_by_pydicom() -> None:
    assert pydicom.dcmread(BytesIO(a_file(RAMP))).pixel_array.tolist() == RAMP.tolist()
