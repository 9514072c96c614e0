"""What may be known of a DICOM image, and whether it is a radiograph that can be taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite

from pydicom import uid
from pydicom.dataset import Dataset

from data import splits
from data.dicom.elements import numbers, text, whole
from data.dicom.frame import Layout, can_decode
from data.dicom.terms import (
    BODY_PARTS,
    LATERALITIES,
    MODALITIES,
    SEXES,
    VIEWS,
    term,
)

RADIOGRAPHS = frozenset(
    {
        uid.ComputedRadiographyImageStorage,
        uid.DigitalXRayImageStorageForPresentation,
        uid.DigitalMammographyXRayImageStorageForPresentation,
        uid.DigitalIntraOralXRayImageStorageForPresentation,
        uid.SecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
        uid.XRayAngiographicImageStorage,
        uid.XRayRadiofluoroscopicImageStorage,
    }
)
"""Storage classes (PS3.4 B.5) that hold projection radiographs; of several frames, only one."""

FOR_PROCESSING = frozenset(
    {
        uid.DigitalXRayImageStorageForProcessing,
        uid.DigitalMammographyXRayImageStorageForProcessing,
        uid.DigitalIntraOralXRayImageStorageForProcessing,
    }
)
GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
COLOURS = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"})
PALETTE = "PALETTE COLOR"
SPACING_MM = (0.01, 10.0)
"""Pixels of a radiograph lie between 0.01 and 10 mm apart; anything else is a mistake."""


@dataclass(frozen=True, slots=True)
class DicomFacts:
    """What an import needs of a DICOM file besides the pixels.

    Attributes:
        patient: Issuer and number of the patient, or the study where there is no number; empty
            where there is neither. Identifies: never stored, printed or logged.
        number: The patient's number alone; empty where there is none. Identifies as well.
        study: Study Instance UID; identifies as well.
        instance: SOP Instance UID; identifies as well.
        sex: `male`, `female` or empty.
        laterality: `left`, `right`, `both`, `unpaired` or empty.
        body_part: Defined term or empty.
        view: Defined term or empty.
        modality: Defined term or empty.
        spacing_mm: Distance of (rows, columns), as text; empty if unknown.
        aspect: Height to width of a pixel where it is not square and no spacing is known.
        burned_in: The file says that there is text in the pixels.
        lossy: The file says that it was compressed with loss.
        layout: Of the pixels; None where it cannot be read.
        problem: Why it is not taken; empty if it can be.
        decodable: No decoder is missing; a server may be asked for another transfer syntax.
    """

    patient: str = field(repr=False)
    number: str = field(repr=False)
    study: str = field(repr=False)
    instance: str = field(repr=False)
    sex: str = ""
    laterality: str = ""
    body_part: str = ""
    view: str = ""
    modality: str = ""
    spacing_mm: str = ""
    aspect: str = ""
    burned_in: bool = False
    lossy: bool = False
    layout: Layout | None = None
    problem: str = ""
    decodable: bool = True

    def with_problem(self, problem: str) -> DicomFacts:
        """Returns the same facts with a reason not to take the image; empty: with none."""
        return replace(self, problem=problem)

    def metadata(self, salt: str) -> dict[str, str]:
        """Returns what may be stored: defined terms, sizes, and pseudonyms.

        Raises:
            InvalidInputError: The salt is empty.
        """
        facts = {
            "patient": "" if self.number else "unknown",
            "study": keyed_hash("study", self.study, salt) if self.study else "",
            "sex": self.sex,
            "laterality": self.laterality,
            "body_part": self.body_part,
            "view": self.view,
            "modality": self.modality,
            "pixel_spacing_mm": self.spacing_mm,
            "pixel_aspect": self.aspect,
            "burned_in_text": "possible" if self.burned_in else "",
            "lossy": "yes" if self.lossy else "",
        }
        return {name: fact for name, fact in facts.items() if fact}


def keyed_hash(kind: str, identifier: str, salt: str) -> str:
    """Returns 16 hexadecimal digits that stand for an identifier: HMAC-SHA256 with the salt.

    Raises:
        InvalidInputError: The salt is empty.
    """
    return splits.keyed_hash(f"dicom {kind}:{identifier}", salt).hex()[: splits.PSEUDONYM_DIGITS]


def facts_of(dataset: Dataset, syntax: uid.UID | None) -> DicomFacts:
    """Judges the elements of a file or of a server's answer.

    Args:
        dataset: The elements of `data.dicom.elements.READ`.
        syntax: Transfer syntax; None where the file is not there yet.

    Raises:
        ImageError: An element cannot be read at all.
    """
    number_of_patient, study = text(dataset, "PatientID"), text(dataset, "StudyInstanceUID")
    patient = f"{text(dataset, 'IssuerOfPatientID')}\n{number_of_patient}"
    decodable = syntax is None or can_decode(syntax)
    layout = _layout(dataset)
    return DicomFacts(
        patient=patient if number_of_patient else f"study\n{study}" if study else "",
        number=number_of_patient,
        study=study,
        instance=text(dataset, "SOPInstanceUID"),
        sex=SEXES.get(text(dataset, "PatientSex").upper(), ""),
        laterality=LATERALITIES.get(_laterality(dataset).upper(), ""),
        body_part=term(text(dataset, "BodyPartExamined"), BODY_PARTS),
        view=term(text(dataset, "ViewPosition"), VIEWS),
        modality=term(text(dataset, "Modality"), MODALITIES),
        spacing_mm=_spacing_mm(dataset),
        aspect=_aspect(dataset),
        burned_in=text(dataset, "BurnedInAnnotation").upper() == "YES",
        lossy=text(dataset, "LossyImageCompression") == "01",
        layout=layout,
        problem=_problem(dataset, layout, study or number_of_patient, syntax, decodable),
        decodable=decodable,
    )


def _problem(
    dataset: Dataset,
    layout: Layout | None,
    identity: str,
    syntax: uid.UID | None,
    decodable: bool,
) -> str:
    if problem := _problem_of_class(text(dataset, "SOPClassUID")):
        return problem
    if not identity:
        return "The file names neither a patient nor a study, so nobody can tell whose it is."
    frames = whole(dataset, "NumberOfFrames", 1)
    if frames != 1:
        return f"The image has {frames} frames: give one radiograph per file."
    if layout is None:
        return "The file does not say how its pixels are stored."
    if problem := _problem_of_layout(layout):
        return problem
    if not decodable and syntax is not None:
        return f"There is no decoder for its transfer syntax, {name_of(syntax)}."
    return ""


def _problem_of_class(sop_class: str) -> str:
    if sop_class in RADIOGRAPHS:
        return ""
    if sop_class in FOR_PROCESSING:
        return "The image is raw data for processing: import the image for presentation instead."
    return f"This DICOM object is no radiograph: its class is {name_of(uid.UID(sop_class))}."


def _problem_of_layout(layout: Layout) -> str:
    colour = layout.photometric in COLOURS
    if not colour and layout.photometric not in GREY | {PALETTE}:
        return "The photometric interpretation of the image is none that is read."
    if layout.samples != (3 if colour else 1) or layout.rows < 1 or layout.columns < 1:
        return "What the file says of its pixels contradicts itself."
    if layout.allocated not in (8, 16):
        return f"The image has {layout.allocated} bits per sample; 8 and 16 are read."
    if not 1 <= layout.stored <= layout.high_bit + 1 <= layout.allocated:
        return "What the file says of its pixels contradicts itself."
    return ""


def name_of(identifier: uid.UID) -> str:
    """Returns the registered name of a UID; one that is not registered is not quoted."""
    name = identifier.name
    return "a private or unknown one" if name == str(identifier) else name


def _layout(dataset: Dataset) -> Layout | None:
    rows, columns = whole(dataset, "Rows", 0), whole(dataset, "Columns", 0)
    allocated = whole(dataset, "BitsAllocated", 0)
    if not rows or not columns or not allocated:
        return None
    stored = whole(dataset, "BitsStored", allocated)
    return Layout(
        rows=rows,
        columns=columns,
        samples=whole(dataset, "SamplesPerPixel", 1),
        photometric=text(dataset, "PhotometricInterpretation").upper(),
        allocated=allocated,
        stored=stored,
        high_bit=whole(dataset, "HighBit", stored - 1),
        signed=whole(dataset, "PixelRepresentation", 0) == 1,
        planar=whole(dataset, "PlanarConfiguration", 0),
    )


def _laterality(dataset: Dataset) -> str:
    """Of the image (0020,0062), else of the series, else of the only frame (0020,9072)."""
    for name in ("ImageLaterality", "Laterality"):
        if found := text(dataset, name):
            return found
    for group in dataset.get("SharedFunctionalGroupsSequence") or []:
        for anatomy in group.get("FrameAnatomySequence") or []:
            return text(anatomy, "FrameLaterality")
    return ""


def _spacing_mm(dataset: Dataset) -> str:
    """At the detector (0018,1164), else in the patient (0028,0030): `rows x columns`."""
    low, high = SPACING_MM
    for name in ("ImagerPixelSpacing", "PixelSpacing"):
        spacing = numbers(dataset, name)
        if len(spacing) == 2 and all(isfinite(s) and low <= s <= high for s in spacing):
            return " x ".join(f"{distance:.4g}" for distance in spacing)
    return ""


def _aspect(dataset: Dataset) -> str:
    ratio = numbers(dataset, "PixelAspectRatio")
    if len(ratio) != 2 or not all(isfinite(part) and 1 <= part <= 10_000 for part in ratio):
        return ""
    quotient = ratio[0] / ratio[1]
    return "" if quotient == 1 or not 0.1 <= quotient <= 10 else f"{quotient:.4g}"


def values_of(facts: DicomFacts) -> Mapping[str, str]:
    """Returns what the file says of the targets of a task: the recorded sex, if there is one."""
    return {"sex": facts.sex} if facts.sex else {}
