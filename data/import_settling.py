"""Decide what becomes of items that were read: new, known, the same film again, or refused.

Items are decided one after the other in the order of their source, so the outcome depends neither
on how many processes read nor on where one batch ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.domain import Radiograph, Split
from data.duplicates import Candidate
from data.errors import ImageError
from data.image_registration import SAME_FILM, registered_distance
from data.images import ImageLimits, read_grey
from data.import_reading import Taken
from data.import_records import NearDuplicate


@dataclass(frozen=True, slots=True)
class Film:
    """A known radiograph, and where its file can be read.

    Attributes:
        radiograph: See `Radiograph`.
        file: The image file.
    """

    radiograph: Radiograph
    file: Path


@dataclass(frozen=True, slots=True)
class Splits:
    """What decides the split of a new patient.

    Attributes:
        of_new: Pseudonym -> split by the salt.
        settled: Pseudonym -> split, of patients who have one; grows.
        shared: The part of `settled` that belongs to patients who only share a film; grows.
        wishes: Pseudonym -> split that the source's publisher assigned; for new patients alone.
    """

    of_new: Callable[[str], Split]
    settled: dict[str, Split]
    shared: dict[str, Split] = field(default_factory=dict)
    wishes: Mapping[str, Split] = field(default_factory=dict)

    def of_first_film(self, patient: str) -> Split:
        """Returns the split of a patient whom nothing else has settled."""
        return self.wishes.get(patient) or self.of_new(patient)

    def share(self, patient: str, split: Split) -> None:
        """Settles a patient whose film is known as somebody's: both may be one person."""
        if patient not in self.settled:
            self.settled[patient] = self.shared[patient] = split


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a film that no radiograph has byte for byte.

    Attributes:
        radiograph: The radiograph that it is; None: it is refused.
        new: Whether that is a new one.
        near: Known radiographs that show the same film.
        refusal: Why it is refused.
    """

    radiograph: Radiograph | None
    new: bool = False
    near: Sequence[NearDuplicate] = ()
    refusal: str = ""


def decide(
    film: Film,
    taken: Taken,
    candidates: Sequence[Candidate],
    known: Mapping[str, Film],
    splits: Splits,
    limits: ImageLimits,
) -> Decision:
    """Decides on one film, and settles its patient's split.

    Args:
        film: The film as the radiograph that it would be; its split is not settled yet.
        taken: What was read.
        candidates: Films that may be the same, the likeliest first.
        known: Id -> film of the candidates that were not refused themselves.
        splits: The patients' splits.
        limits: Of images.
    """
    near: list[NearDuplicate] = []
    partners: list[Film] = []
    others = [known[c.radiograph_id] for c in candidates if c.radiograph_id in known]
    pixels = _pixels(film, limits) if others else None
    for other in others:
        theirs = _pixels(other, limits)
        if pixels is None or theirs is None:
            continue
        if np.array_equal(pixels, theirs):
            splits.share(film.radiograph.patient, other.radiograph.split)
            return Decision(other.radiograph)
        distance = registered_distance(pixels, theirs)
        if distance <= SAME_FILM:
            near.append(NearDuplicate(taken.image.id, other.radiograph.id, round(distance, 4)))
            partners.append(other)
    return _settle(film.radiograph, near, partners, splits)


def _settle(
    draft: Radiograph, near: Sequence[NearDuplicate], partners: Sequence[Film], splits: Splits
) -> Decision:
    theirs = {partner.radiograph.split for partner in partners}
    if len(theirs) > 1:
        first, second = sorted(theirs)[:2]
        return Decision(
            None,
            refusal=f"It shows the same film as radiographs of two splits, {first} and {second} "
            f"({_short(partners)}): no film may be in two splits.",
        )
    own = splits.settled.get(draft.patient)
    split = own or next(iter(theirs), None) or splits.of_first_film(draft.patient)
    if theirs and split not in theirs:
        return Decision(
            None,
            refusal=f"It shows the same film as a radiograph of the {next(iter(theirs))} split "
            f"({_short(partners)}), but its patient is in the {own} split: no film may be in two "
            "splits.",
        )
    splits.settled[draft.patient] = split
    return Decision(replace(draft, split=split), new=True, near=near)


def draft_radiograph(taken: Taken, patient: str, source: str) -> Radiograph:
    """Returns the radiograph that an item would be; its split is settled by `decide`."""
    return Radiograph(
        id=taken.image.id,
        patient=patient,
        split=Split.TRAIN,
        source=source,
        path=taken.image.path,
        width=taken.width,
        height=taken.height,
        imported_at=datetime.now(UTC),
        metadata=taken.metadata,
    )


def _pixels(film: Film, limits: ImageLimits) -> NDArray[np.uint8] | None:
    try:
        return read_grey(film.file, limits)
    except ImageError:  # Its file is gone or damaged: nothing can be said of it.
        return None


def _short(partners: Sequence[Film]) -> str:
    return ", ".join(partner.radiograph.id[:12] for partner in partners)
