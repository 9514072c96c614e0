"""One radiograph as a source delivers it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data.domain import Split, Value
from data.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Delivered:
    """An image file and what its source's file says of it.

    Attributes:
        payload: Bytes of an image file that `data.images.decoding` decodes.
        metadata: Allowed facts, such as `laterality`; never what identifies a person.
    """

    payload: bytes
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceItem:
    """One radiograph as its source delivers it; can be sent to another process.

    Attributes:
        name: What the source calls it, unique in the source; reports use it.
        path: The image file; None where `load` fetches or converts it.
        patient: The patient as the source names him or her; never stored in this form.
        values: Target name -> value of the source's reference standard; may be empty.
        metadata: Allowed facts that the source tells beside the image, such as `laterality`.
        problem: Why the source cannot deliver this radiograph; empty if it can.
        load: Makes the image file where `path` is none: draws, converts or fetches it.
        stamp: Another one whenever the source's copy is another one (size and time, ETag): an
            import that has seen name and stamp need not read it again; empty: always read.
        split: The split that the source's publisher assigned to the patient; taken for patients
            who are new.
    """

    name: str
    path: Path | None = None
    patient: str = ""
    values: Mapping[str, Value] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    load: Callable[[], Delivered] | None = None
    stamp: str = ""
    split: Split | None = None

    def read(self) -> Delivered:
        """Returns the image file and all that is told of it.

        Raises:
            InvalidInputError: There is a `problem`, or the file cannot be read or converted.
            ServiceUnavailableError: The server that holds it does not answer.
        """
        if self.problem:
            raise InvalidInputError(self.problem)
        if self.load is not None:
            loaded = self.load()
            return Delivered(loaded.payload, {**self.metadata, **loaded.metadata})
        if self.path is None:
            raise InvalidInputError("The source delivers no image.")
        try:
            return Delivered(self.path.read_bytes(), self.metadata)
        except OSError as error:
            raise InvalidInputError(
                f"{self.path} cannot be read: {error.strerror or error}."
            ) from error


def refused_row(name: str, place: str, problem: str) -> SourceItem:
    """Returns the item for a row of a table that cannot be taken.

    Args:
        name: Of its image, as the row says it; empty: the place stands for it.
        place: See `TableRow.place`.
        problem: Why.
    """
    return refused(name, f"{place}: {problem}") if name else refused(place, problem)


def refused(name: str, problem: str) -> SourceItem:
    """Returns the item for a radiograph that cannot be delivered, with the reason."""
    return SourceItem(name, problem=problem)
