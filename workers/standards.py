"""The adjudicated radiographs that a film is held against, as against the plates of an atlas.

A reader of bone age looks for the plates just younger, alike and just older than the film. Here
the plates are the dataset's own films of the same sex whose age is settled.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self, TypeAlias

from data.domain import REFERENCE_READER, Radiograph, Reading, Split, Target, TaskSpec
from data.importing.records import NearDuplicate
from data.ledger.ledger import Ledger
from data.readers.consensus import (
    agrees,
    consensus_values,
    live_readings,
    reader_keys,
    settled_values,
)
from data.readers.disagreements import disputed_targets
from workers.shelf import Shelf

Place: TypeAlias = Literal["younger", "same", "older"]


@dataclass(frozen=True, slots=True)
class Standard:
    """A film whose value is settled, and where it lies from the value that was asked for.

    Attributes:
        radiograph: The film, never of the test split.
        value: Consensus of the primary number target, in its unit.
        choice: Consensus of the task's input target, such as the sex; empty: it has none.
        readers: Experts who have given the value; a source's reference is none.
        agreeing: Of these, how many lie within the target's tolerance of `value`.
        reference: The value is its source's reference standard.
        place: `same`: within tolerance of what was asked for; else `younger` or `older`.
    """

    radiograph: Radiograph
    value: float
    choice: str
    readers: int
    agreeing: int
    reference: bool
    place: Place


class Standards:
    """All settled films, ready to be searched.

    Args:
        standards: Whatever their place.
        tolerance: Values this near agree, in the unit of the target.
        same_film: Patient -> patients under whose pseudonyms one of the patient's films lies too.
    """

    def __init__(
        self,
        standards: Iterable[Standard],
        tolerance: float,
        same_film: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        self._tolerance = tolerance
        self._same_film = same_film or {}
        everything = sorted(standards, key=lambda standard: standard.radiograph.id)
        self._of_film = {standard.radiograph.id: standard for standard in everything}
        self._shelves: dict[str | None, Shelf[Standard]] = {None: _shelf(everything)}
        for choice in {standard.choice for standard in everything} - {""}:
            self._shelves[choice] = _shelf(s for s in everything if s.choice == choice)
        self._has_choices = len(self._shelves) > 1

    @classmethod
    def load(cls, ledger: Ledger, spec: TaskSpec, adjudicators: Collection[str] = ()) -> Self:
        """Reads the settled films of a ledger.

        A film is settled by a reference or an adjudicator who gives the value, or by two or more
        readers who do, all within tolerance of each other. A film of which readers dispute the
        input target (sex), or whether it can be read, is none. Films of the test split are none.

        Args:
            ledger: Open ledger.
            spec: The task; one without a number target has no standards.
            adjudicators: Readers whose reading settles a disagreement.

        Raises:
            LedgerError: The ledger cannot be read.
        """
        target = primary_number(spec)
        if target is None:
            return cls((), 0.0)
        pairs = ledger.near_duplicates()  # Before the films: those of a pair are there, then.
        _, radiographs, readings = ledger.snapshot()
        films = {film.id: film for film in radiographs if film.split is not Split.TEST}
        live = live_readings(reading for reading in readings if reading.radiograph_id in films)
        settling = reader_keys(adjudicators)
        found = (_standard(films[key], live[key], spec, target, settling) for key in sorted(live))
        return cls(
            (standard for standard in found if standard is not None),
            target.tolerance or 0.0,
            _patients_of_one_film(pairs, radiographs),
        )

    def __len__(self) -> int:
        return len(self._of_film)

    def __iter__(self) -> Iterator[Standard]:
        """Yields all of them, sorted by radiograph; their place means nothing."""
        return iter(self._of_film.values())

    def of_film(self, radiograph_id: str) -> Standard | None:
        """Returns the standard that a film is; its place means nothing."""
        return self._of_film.get(radiograph_id)

    def training_films(self) -> dict[str, Radiograph]:
        """Returns id -> film of those in the training split, sorted by id."""
        return {
            key: standard.radiograph
            for key, standard in self._of_film.items()
            if standard.radiograph.split is Split.TRAIN
        }

    def patients_of(self, patient: str) -> frozenset[str]:
        """Returns a patient's pseudonym and those under which one of the films lies too."""
        return self._same_film.get(patient, frozenset()) | {patient}

    def nearest(self, value: float, choice: str | None, patient: str) -> tuple[Standard, ...]:
        """Returns the standards just younger, alike and just older than a value.

        Alike is the nearest one within tolerance; younger and older are the nearest ones beyond.
        Of several with one value, a reference comes first, then what most readers agree on: the
        same question gets the same films.

        Args:
            value: In the unit of the target.
            choice: Only standards of this choice (sex); None: all. Where no standard has a choice
                because the task asks for none, it does not matter.
            patient: Pseudonym of the patient who is never among them.

        Returns:
            None to three, the youngest first; no film twice.
        """
        shelf = self._shelves.get(choice if self._has_choices else None)
        if shelf is None or not math.isfinite(value):
            return ()
        avoided = self.patients_of(patient)
        low, high = value - self._tolerance, value + self._tolerance
        taken: list[Standard] = []
        searched: tuple[tuple[Place, Iterator[Standard]], ...] = (
            ("same", shelf.around(value, low, high)),
            ("younger", shelf.below(low)),
            ("older", shelf.above(high)),
        )
        for place, candidates in searched:
            found = self._first(candidates, avoided, taken)
            if found is not None:
                taken.append(replace(found, place=place))
        return tuple(sorted(taken, key=lambda standard: standard.value))

    def _first(
        self, candidates: Iterator[Standard], avoided: frozenset[str], taken: Sequence[Standard]
    ) -> Standard | None:
        """Returns the first of another patient than those avoided; no two show one film."""
        shown = [standard.radiograph.patient for standard in taken]
        for candidate in candidates:
            patient = candidate.radiograph.patient
            others = self._same_film.get(patient, frozenset())
            if patient not in avoided and others.isdisjoint(shown):
                return candidate
        return None


def primary_number(spec: TaskSpec) -> Target | None:
    """Returns the number that a task is about: the gate's, else its first one; None: it has none.

    The gate of a task without a number names a choice.
    """
    numbers = [target for target in spec.targets if target.kind == "number"]
    return next((t for t in numbers if t.name == spec.gate.target), next(iter(numbers), None))


def _shelf(standards: Iterable[Standard]) -> Shelf[Standard]:
    ranked = sorted(standards, key=_value_and_rank)
    return Shelf.of((standard.value, standard) for standard in ranked)


def _value_and_rank(standard: Standard) -> tuple[float, bool, int, str]:
    return standard.value, not standard.reference, -standard.agreeing, standard.radiograph.id


def _standard(
    film: Radiograph,
    readings: Sequence[Reading],
    spec: TaskSpec,
    target: Target,
    adjudicators: frozenset[str],
) -> Standard | None:
    """Returns the standard that a film is, or None if its live readings do not settle it."""
    given = [reading for reading in readings if target.name in reading.values]
    is_settled = target.name in settled_values(given, adjudicators)
    if not is_settled and len(given) < 2:
        return None
    disputed = {each.name for each in disputed_targets(readings, spec, adjudicators)}
    values = consensus_values(readings, spec, adjudicators)
    decisive = {target.name, spec.input, spec.unreadable.name if spec.unreadable else None}
    if disputed & decisive or target.name not in values:
        return None
    value = float(values[target.name])
    experts = [r.values[target.name] for r in given if r.reader != REFERENCE_READER]
    return Standard(
        radiograph=film,
        value=value,
        choice=str(values.get(spec.input, "")) if spec.input else "",
        readers=len(experts),
        agreeing=sum(agrees(target, one, value) for one in experts),
        reference=len(experts) < len(given),
        place="same",
    )


def _patients_of_one_film(
    pairs: Iterable[NearDuplicate], radiographs: Iterable[Radiograph]
) -> dict[str, frozenset[str]]:
    """Returns patient -> all patients, itself included, who share a film with it."""
    patients = {film.id: film.patient for film in radiographs}
    groups: dict[str, frozenset[str]] = {}
    for pair in pairs:
        one, other = patients[pair.one], patients[pair.other]
        group = groups.get(one, frozenset({one})) | groups.get(other, frozenset({other}))
        groups |= dict.fromkeys(group, group)
    return groups
