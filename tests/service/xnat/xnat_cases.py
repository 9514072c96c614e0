"""Subjects, scans and films that tests put into an XNAT."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset

from data.images.decoding import encode_png
from data.sources.item import SourceItem
from data.sources.xnat_access import XnatAccess
from data.sources.xnat_project import Missing
from tests.service.xnat.fake_xnat import PASSWORD, USER, FakeXnat, Resource, Scan, Session, Subject


@cache
def film(number: int) -> bytes:
    """A PNG, another one for each number."""
    pixels = np.random.default_rng(number).integers(0, 255, (16, 12), dtype=np.uint8)
    return encode_png(pixels)


def png(*numbers: int) -> Resource:
    return Resource("PNG", {f"film{number}.png": film(number) for number in numbers})


def dicom(pixels: np.ndarray[Any, Any]) -> bytes:
    """A small computed radiograph, uncompressed."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    image = FileDataset(io.BytesIO(), {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID, image.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3.4"
    image.PatientID, image.Modality, image.ImageLaterality = "SECRET-7", "CR", "L"
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit, image.PixelRepresentation = 7, 0
    image.PixelData = pixels.tobytes()
    file = io.BytesIO()
    pydicom.dcmwrite(file, image, enforce_file_format=True)
    return file.getvalue()


def one_scan(number: int, **changes: Any) -> Subject:
    """A subject with one session and one scan that holds one film."""
    scan = Scan("1", resources=[png(number)])
    return replace(Subject(f"sub-{number}", [Session(f"ses-{number}", [scan])]), **changes)


def with_scans(*scans: Scan) -> FakeXnat:
    return FakeXnat({"HANDS": [Subject("sub-1", [Session("ses-1", list(scans))])]})


Reader = Callable[..., tuple[list[SourceItem], list[Missing]]]


def account(xnat: FakeXnat, retries: int = 0, **changes: Any) -> XnatAccess:
    return replace(XnatAccess(xnat.url, USER, PASSWORD, retries, first_wait_s=0.0), **changes)


def read_all(items: Sequence[SourceItem]) -> list[bytes]:
    return [item.read().payload for item in items]
