"""Which scans of a session, and which files of a scan, are the radiographs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from data.errors import InvalidInputError
from data.sources.files import IMAGE_SUFFIXES
from data.sources.xnat_server import Row

SESSION = "sessiondata"
"""End of the type of every image session: `xnat:crSessionData`, `xnat:dxSessionData`, ..."""
DICOM = "DICOM"
KINDS = (DICOM, "PNG", "JPEG", "JPG", "TIFF", "IMAGE", "IMAGES")
"""Labels or formats of resources with radiographs; the first that there is counts."""
DERIVED = frozenset({"SNAPSHOTS", "SECONDARY"})
"""Labels of resources with small pictures and screen shots."""

Several = Literal["error", "keepfirst", "keeplast"]
"""What to do where several scans of one session match the rule; the first is the lowest id."""


@dataclass(frozen=True, slots=True)
class ScanRule:
    """Picks the scan of a session, and the resource of the scan that holds its image files.

    Attributes:
        scan_type: Regular expression that is searched in the scan's type; empty: any type.
        series: The same for its series description. Capitals and small letters are the same.
        exact: `scan_type` and `series` are whole texts instead of expressions.
        several: What to do where several scans match.
        resource: Label of the resource; empty: DICOM where there is one, else images.

    Raises:
        InvalidInputError: An expression cannot be read.
    """

    scan_type: str = ""
    series: str = ""
    exact: bool = False
    several: Several = "error"
    resource: str = ""

    def __post_init__(self) -> None:
        for text in () if self.exact else (self.scan_type, self.series):
            try:
                re.compile(text)
            except re.error as error:
                raise InvalidInputError(f"{text!r} is no regular expression: {error}.") from error

    def matching(self, scans: Sequence[Row]) -> list[Row]:
        """Returns the scans of a session that are looked for, by id: 2 before 10."""
        found = [
            scan
            for scan in scans
            if self._fits(self.scan_type, scan.get("type", ""))
            and self._fits(self.series, scan.get("series_description", ""))
        ]
        return sorted(found, key=lambda scan: in_numbers(scan["ID"]))

    def resource_of(self, resources: Sequence[Row]) -> Row | None:
        """Returns the resource of a scan that holds its radiographs, or None."""
        if self.resource:
            wanted = self.resource.upper()
            return next((r for r in resources if _upper(r, "label") == wanted), None)
        ranked = [(rank, r) for r in resources if (rank := _rank(r)) is not None]
        return min(ranked, key=lambda pair: pair[0])[1] if ranked else None

    def _fits(self, wanted: str, text: str) -> bool:
        if self.exact:
            return not wanted or wanted.casefold() == text.strip().casefold()
        return re.search(wanted, text, re.IGNORECASE) is not None


def is_dicom(resource: Row) -> bool:
    """Says whether the files of a resource are DICOM."""
    return DICOM in (_upper(resource, "label"), _upper(resource, "format"))


def image_files(resource: Row, files: Sequence[Row]) -> list[Row]:
    """Returns the files of a resource that are images, by name."""
    if is_dicom(resource):
        kept = [file for file in files if _suffix(file) != ".xml"]  # XNAT's own catalogue
    else:
        kept = [file for file in files if _suffix(file) in IMAGE_SUFFIXES]
    return sorted(kept, key=lambda file: in_numbers(file.get("Name", "")))


def in_numbers(text: str) -> tuple[tuple[bool, int, str], ...]:
    """Returns a key that sorts `2` before `10` and `3-CR2` before `3-CR10`."""
    parts = re.findall(r"\d+|\D+", text)
    return tuple((not p.isdecimal(), int(p) if p.isdecimal() else 0, p) for p in parts)


def _rank(resource: Row) -> int | None:
    label, kind = _upper(resource, "label"), _upper(resource, "format")
    if label in DERIVED:
        return None
    return next((rank for rank, known in enumerate(KINDS) if known in (label, kind)), None)


def _upper(row: Row, key: str) -> str:
    return row.get(key, "").upper()


def _suffix(file: Row) -> str:
    return PurePosixPath(file.get("Name", "")).suffix.lower()
