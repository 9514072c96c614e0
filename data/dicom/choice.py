"""Which radiographs of an archive are wanted, and how many were left out for which reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from data.dicom.facts import DicomFacts
from data.dicom.terms import BODY_PARTS, LATERALITIES, MODALITIES, chosen_terms
from data.errors import InvalidInputError

NOT_DICOM = "no DICOM file"


@dataclass(frozen=True, slots=True)
class DicomChoice:
    """What a user wants; an empty choice wants everything.

    Attributes:
        laterality: `left`, `right` or empty; `both` and unknown sides are left out then.
        body_parts: Defined terms.
        modalities: Defined terms.
    """

    laterality: str = ""
    body_parts: frozenset[str] = frozenset()
    modalities: frozenset[str] = frozenset()

    @classmethod
    def read(cls, laterality: str = "", body_part: str = "", modality: str = "") -> DicomChoice:
        """Reads a choice as a user writes it: terms divided by commas, in any case.

        Raises:
            InvalidInputError: One of the terms is none that DICOM defines.
        """
        side = laterality.strip().lower()
        if side and side not in LATERALITIES.values():
            known = ", ".join(sorted(LATERALITIES.values()))
            raise InvalidInputError(f"{side} is no laterality: {known}.")
        return cls(
            side,
            chosen_terms(body_part, BODY_PARTS, "body part"),
            chosen_terms(modality, MODALITIES, "modality"),
        )

    def unwanted(self, facts: DicomFacts) -> str:
        """Says in a few words why a radiograph is not wanted; empty if it is."""
        for wanted, found, name in (
            (self.modalities, facts.modality, "modality"),
            (self.body_parts, facts.body_part, "body part"),
            ({self.laterality} - {""}, facts.laterality, "laterality"),
        ):
            if wanted and found not in wanted:
                return f"another {name}" if found else f"{name} unknown"
        return ""


def left_out_sentence(left_out: Counter[str]) -> str:
    """Returns the counts in one sentence; empty if nothing was left out."""
    if not left_out:
        return ""
    parts = ", ".join(f"{count} ({reason})" for reason, count in left_out.most_common())
    return f"Left out, not wanted: {parts}."
