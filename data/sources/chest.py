"""The paediatric chest radiographs of Kermany et al. (Cell 2018, Mendeley Data rscbjbr9sj)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from data.domain import Value
from data.errors import NotFoundError
from data.sources.files import FoundFile, files_below
from data.sources.item import SourceItem, refused
from data.sources.known_targets import CAUSE, DIAGNOSIS

NORMAL, PNEUMONIA = "NORMAL", "PNEUMONIA"
CAUSES = {"bacteria": "bacterial", "virus": "viral"}
PERSON = re.compile(r"person(?P<number>\d+)_(?P<cause>bacteria|virus)_\d+", re.IGNORECASE)
"""Kaggle's names of pneumonias; the number before the cause is the patient."""
STUDY = re.compile(r"(NORMAL\d*-)?IM-(?P<number>\d+)-\d+", re.IGNORECASE)
"""Kaggle's names of normal films; further numbers count the films of one patient."""
RANDOMISED = re.compile(r"(?P<kind>NORMAL|BACTERIA|VIRUS)-(?P<number>\d+)-\d+", re.IGNORECASE)
"""Names of the later edition: kind, number of the patient, number of the film."""


def read_chest(folder: Path) -> Iterator[SourceItem]:
    """Yields every image in a folder NORMAL or PNEUMONIA, at any depth.

    The published parts (train, test, val) are not by patient and are not used. The same number
    means the same patient in every part, for both causes, and with or without `NORMAL2-`: where
    two people share a number, they only share a split; were one person taken for two, test films
    could reach the training.

    Args:
        folder: Where the data were unpacked.

    Raises:
        NotFoundError: There is no such folder, or none of the two in it.
        InvalidInputError: It cannot be read.
    """
    found = False
    for file in files_below(folder):
        kind = _kind(folder, file)
        if kind:
            found = True
            yield _item(file, kind)
        elif file.problem:
            yield refused(file.name, file.problem)
    if not found:
        raise NotFoundError(
            f"{folder} holds no images in folders {NORMAL} and {PNEUMONIA}, "
            "as the chest radiographs of Kermany et al. have them."
        )


def _kind(folder: Path, file: FoundFile) -> str:
    kind = PurePosixPath(folder.name, file.name).parent.name.upper()
    return kind if kind in (NORMAL, PNEUMONIA) else ""


def _item(file: FoundFile, kind: str) -> SourceItem:
    if file.problem:
        return refused(file.name, file.problem)
    stem = PurePosixPath(file.name).stem
    person, study, randomised = PERSON.match(stem), STUDY.match(stem), RANDOMISED.match(stem)
    if kind == PNEUMONIA and person:
        patient, cause = f"person{int(person['number'])}", CAUSES[person["cause"].lower()]
    elif kind == NORMAL and study:
        patient, cause = f"IM-{int(study['number'])}", ""
    elif randomised and (randomised["kind"].upper() == NORMAL) == (kind == NORMAL):
        patient = randomised["number"]
        cause = CAUSES.get(randomised["kind"].lower(), "")
    else:
        return refused(file.name, f"The file name does not say the patient as names in {kind} do.")
    values: dict[str, Value] = {DIAGNOSIS.name: kind.lower()}
    if cause:
        values[CAUSE.name] = cause
    return SourceItem(file.name, file.path, f"chest-{patient}", values, stamp=file.stamp)
