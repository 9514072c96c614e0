"""DICOM files and folders of them, as an archive, a CD or a modality writes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from data.dicom.choice import NOT_DICOM, DicomChoice
from data.dicom.file import PREAMBLE_BYTES, is_dicom
from data.dicom.reading import read_file, read_header, to_image
from data.errors import ImageError, InvalidInputError, NotFoundError
from data.images.decoding import DEFAULT_LIMITS, ImageLimits
from data.sources.dicom_item import dicom_item
from data.sources.files import NO_FILE, FoundFile, files_below, printable, stamp_of, status_of
from data.sources.item import Delivered, SourceItem, refused

DICOM_SUFFIXES = frozenset({".dcm", ".dicom"})
DIRECTORY_FILE = "DICOMDIR"


def read_dicom(
    paths: Sequence[Path],
    salt: str,
    choice: DicomChoice,
    left_out: Counter[str],
    limits: ImageLimits = DEFAULT_LIMITS,
) -> Iterator[SourceItem]:
    """Yields the radiographs in DICOM files, each folder in alphabetical order.

    Of each file, the elements before the pixels are read when its turn comes; the pixels are read
    by `SourceItem.read`. In a folder, a file of any name counts if it is in the DICOM file format;
    others are counted in `left_out`, unless they are called `.dcm` or `.dicom`. `DICOMDIR` is
    ignored: the files themselves say all that it says.

    Args:
        paths: Files, or folders that are looked through at any depth.
        salt: The workspace's secret for pseudonyms.
        choice: Which radiographs are wanted.
        left_out: Reason -> number of files that are not wanted; counted up here.
        limits: Largest file and image that are read.

    Raises:
        NotFoundError: One of the paths does not exist.
        InvalidInputError: A folder cannot be read, or a path may not be looked at.
    """
    for path in paths:
        if status_of(path) is None:
            raise NotFoundError(f"There is no file or folder {printable(str(path))}.")
    for path in paths:
        for file, asked_for in _files(path, alone=len(paths) == 1):
            if file.problem:
                yield refused(file.name, file.problem)
            elif not asked_for and not _looks_like_dicom(file.path):
                left_out[NOT_DICOM] += 1
            elif (item := _item(file, salt, choice, left_out, limits)) is not None:
                yield item


def load(path: Path, patient: str, salt: str, limits: ImageLimits) -> Delivered:
    """Reads a file and shows its pixels; see `data.dicom.reading.to_image`.

    Raises:
        ImageError: It is not taken, or is another patient's than when its header was read.
    """
    payload = read_file(path, limits)
    if read_header(payload, limits).patient != patient:
        raise ImageError("The file was changed while it was imported: import it again.")
    return to_image(payload, salt, limits)


def _files(path: Path, alone: bool) -> Iterator[tuple[FoundFile, bool]]:
    """Yields files, and whether a user or their name asks for them to be DICOM."""
    if not path.is_dir():
        name, status = printable(path.as_posix()), path.stat()
        problem = "" if path.is_file() else NO_FILE
        yield FoundFile(path, name, stamp_of(status), problem), True
        return
    for file in files_below(path, None):
        if file.path.name.upper() == DIRECTORY_FILE:
            continue
        name = file.name if alone else f"{printable(path.as_posix())}/{file.name}"
        named_dicom = file.path.suffix.lower() in DICOM_SUFFIXES
        yield FoundFile(file.path, name, file.stamp, file.problem), named_dicom


def _looks_like_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_dicom(file.read(PREAMBLE_BYTES + 4))
    except OSError:
        return True  # it is refused with the reason why it cannot be read


def _item(
    file: FoundFile,
    salt: str,
    choice: DicomChoice,
    left_out: Counter[str],
    limits: ImageLimits,
) -> SourceItem | None:
    try:
        facts = read_header(file.path, limits)
    except InvalidInputError as error:
        return refused(file.name, str(error))
    if reason := choice.unwanted(facts):
        left_out[reason] += 1
        return None
    if facts.problem:
        return refused(file.name, facts.problem)
    loader = partial(load, file.path, facts.patient, salt, limits)
    return dicom_item(file.name, facts, salt, loader, file.stamp)
