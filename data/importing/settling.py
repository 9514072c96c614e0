"""Decide what becomes of items that were read: new, known, the same film again, or refused.

Items are decided one after the other in the order of their source, so the outcome depends neither
on how many processes read nor on where one batch ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.domain import Radiograph, Split
from data.errors import ImageError
from data.images.decoding import ImageLimits, read_grey
from data.images.registration import SAME_FILM, registered_distance
from data.importing.duplicates import Candidate
from data.importing.reading import Taken
from data.importing.records import NearDuplicate


@dataclass(frozen=True, slots=True)
class Film:
    """A film that others are compared with.

    Attributes:
        radiograph: The radiograph that it is.
        file: Says where the image file lies now.
    """

    radiograph: Radiograph
    file: Callable[[], Path]


@dataclass(frozen=True, slots=True)
class NewFilm:
    """A film that no radiograph has byte for byte.

    Attributes:
        taken: What was read.
        patient: Pseudonym.
        source: See `Radiograph.source`.
        file: Says where the image file lies now.
    """

    taken: Taken
    patient: str
    source: str
    file: Callable[[], Path]

    def radiograph(self, split: Split) -> Radiograph:
        """Returns the radiograph that it becomes."""
        return Radiograph(
            id=self.taken.image.id,
            patient=self.patient,
            split=split,
            source=self.source,
            path=self.taken.image.path,
            width=self.taken.width,
            height=self.taken.height,
            imported_at=datetime.now(UTC),
            metadata=self.taken.metadata,
        )


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
    film: NewFilm,
    candidates: Sequence[Candidate],
    known: Mapping[str, Film],
    splits: Splits,
    limits: ImageLimits,
) -> Decision:
    """Decides on one film, and settles its patient's split.

    Args:
        film: The film.
        candidates: Films that may be the same, the likeliest first.
        known: Id -> film of the candidates that were not refused themselves.
        splits: The patients' splits.
        limits: Of images.
    """
    near: list[NearDuplicate] = []
    partners: list[Radiograph] = []
    others = [known[c.radiograph_id] for c in candidates if c.radiograph_id in known]
    pixels = _pixels(film.file(), limits) if others else None
    for other in others:
        theirs = _pixels(other.file(), limits)
        if pixels is None or theirs is None:
            continue
        if np.array_equal(pixels, theirs):
            return Decision(other.radiograph)
        distance = registered_distance(pixels, theirs)
        if distance <= SAME_FILM:
            near.append(NearDuplicate(film.taken.image.id, other.radiograph.id, round(distance, 4)))
            partners.append(other.radiograph)
    return _settle(film, near, partners, splits)


def _settle(
    film: NewFilm,
    near: Sequence[NearDuplicate],
    partners: Sequence[Radiograph],
    splits: Splits,
) -> Decision:
    theirs = sorted({partner.split for partner in partners})
    which = ", ".join(partner.id[:12] for partner in partners)
    if len(theirs) > 1:
        return Decision(
            None,
            refusal=f"It shows the same film as radiographs of the splits {' and '.join(theirs)} "
            f"({which}): no film may be in two splits.",
        )
    own = splits.settled.get(film.patient)
    if own and theirs and own is not theirs[0]:
        return Decision(
            None,
            refusal=f"It shows the same film as a radiograph of the {theirs[0]} split ({which}), "
            f"but its patient is in the {own} split: no film may be in two splits.",
        )
    split = own or (theirs[0] if theirs else splits.of_first_film(film.patient))
    splits.settled[film.patient] = split
    return Decision(film.radiograph(split), new=True, near=near)


def _pixels(file: Path, limits: ImageLimits) -> NDArray[np.uint8] | None:
    try:
        return read_grey(file, limits)
    except ImageError:  # It is gone or damaged: nothing can be said of it.
        return None
