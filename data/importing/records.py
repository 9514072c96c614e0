"""What an import tells the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from data.domain import Radiograph, Reading, Split, Value


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Two radiographs that show the same film, though their pixels differ.

    Attributes:
        one: Id of the radiograph that came later.
        other: Id of the one that was there before.
        distance: How different their details are, 0..1; see `data.images.registration`.
    """

    one: str
    other: str
    distance: float


@dataclass(frozen=True, slots=True)
class Origin:
    """What became of an item of a source.

    Attributes:
        radiograph_id: The radiograph that it is.
        stamp: `SourceItem.stamp` when it was read last.
    """

    radiograph_id: str
    stamp: str


@dataclass(frozen=True, slots=True)
class ImportBatch:
    """A part of an import, told to the ledger in one transaction.

    Attributes:
        radiographs: New ones.
        fingerprints: Radiograph id -> its fingerprint (`data.images.fingerprint`).
        near_duplicates: Pairs that were found among these and all others.
        origins: Key of the item (`data.splits.origin_key`) -> what it became.
        source_values: Radiograph id -> what its source says of it, whatever its split.
        references: What the source says of radiographs for which its word is the reference.
        patients: Further patients whose split is settled: they share a film with somebody.
    """

    radiographs: Sequence[Radiograph] = ()
    fingerprints: Mapping[str, bytes] = field(default_factory=dict)
    near_duplicates: Sequence[NearDuplicate] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict)
    source_values: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    references: Sequence[Reading] = ()
    patients: Mapping[str, Split] = field(default_factory=dict)
