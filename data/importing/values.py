"""What the source says of its items: kept for every split, and where it is the reference."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from data.domain import REFERENCE_READER, Radiograph, Reading, Split, Value
from data.ledger.ledger import Ledger
from data.sources.item import SourceItem

OTHER_VALUES = "the source says something else of it than of an earlier item with the same image"
"""What is flagged where two items are one film and do not agree: the first one counts."""

OTHER_SPLIT = "it stays in the {} split, though its publisher has it in {}"
"""What is flagged where the patient was known, or the film shows one of another split."""

OTHER_PATIENT = "its film is in the {} split, though its patient is in the {} split"
"""What is flagged where a known film comes again, of a patient whose films are in another split."""

BURNED_IN_TEXT = "burned_in_text"
"""Key of the metadata in which a source says that the picture may show text."""


@dataclass(slots=True)
class Asked:
    """An item of the source and what is known of it before it is read.

    Attributes:
        item: The item.
        key: See `data.splits.origin_key`.
        patient: Pseudonym; empty where it is refused.
        refusal: Why it is refused without being read.
        radiograph_id: The radiograph that it was found to be by an earlier import.
    """

    item: SourceItem
    key: str
    patient: str = ""
    refusal: str = ""
    radiograph_id: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """What an import goes by.

    Attributes:
        source: See `Radiograph.source`.
        split_of_new: Pseudonym -> split of a patient whom nobody knows.
        reference_splits: Splits in which the source's values are the reference.
        targets: Names of the values that are kept.
        reference_needs: Target without which these values are no reference; empty: any will do.
    """

    source: str
    split_of_new: Callable[[str], Split]
    reference_splits: frozenset[Split]
    targets: frozenset[str]
    reference_needs: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the source says of the items of one batch.

    Attributes:
        told: Radiograph id -> values, of those of which this import heard for the first time.
        changed: The part of it that the ledger does not hold.
        references: The references that follow from `changed`.
        flagged: (name, what) of items that somebody should look at.
    """

    told: dict[str, Mapping[str, Value]] = field(default_factory=dict)
    changed: dict[str, Mapping[str, Value]] = field(default_factory=dict)
    references: list[Reading] = field(default_factory=list)
    flagged: list[tuple[str, str]] = field(default_factory=list)


class SourceWords:
    """What the source has said so far in one import.

    Args:
        ledger: Open ledger.
        rules: What the import goes by.
    """

    def __init__(self, ledger: Ledger, rules: Rules) -> None:
        self._ledger = ledger
        self._rules = rules
        self._told: dict[str, Mapping[str, Value]] = {}

    def hear(self, became: Sequence[tuple[Asked, Radiograph]], new: Collection[str]) -> Heard:
        """Returns what the source says of the items of a batch; nothing is remembered yet.

        Of several items with one image the first one is believed, so that a repeated import does
        not move the values to and fro.

        Args:
            became: The items and the radiographs that they are.
            new: Ids of the radiographs that are new.
        """
        heard = Heard()
        flagged = set()
        for asked, one in became:
            values = {k: v for k, v in asked.item.values.items() if k in self._rules.targets}
            if values and values != self._believed(one.id, values, heard.told):
                heard.flagged.append((asked.item.name, OTHER_VALUES))
            if asked.item.split not in (None, one.split):
                what = OTHER_SPLIT.format(one.split, asked.item.split)
                heard.flagged.append((asked.item.name, what))
            if one.metadata.get(BURNED_IN_TEXT) and one.id in new and one.id not in flagged:
                flagged.add(one.id)
                what = f"{one.metadata[BURNED_IN_TEXT]} burned-in text"
                heard.flagged.append((asked.item.name, what))
        before = self._ledger.source_values(heard.told) if heard.told else {}
        heard.changed.update(
            {key: values for key, values in heard.told.items() if before.get(key) != values}
        )
        heard.references.extend(self._references(heard.changed, became, new))
        return heard

    def remember(self, heard: Heard) -> None:
        """Remembers what was written to the ledger."""
        self._told |= heard.told

    def _believed(
        self,
        radiograph_id: str,
        values: Mapping[str, Value],
        told: dict[str, Mapping[str, Value]],
    ) -> Mapping[str, Value]:
        known = self._told.get(radiograph_id)
        return told.setdefault(radiograph_id, values) if known is None else known

    def _references(
        self,
        changed: Mapping[str, Mapping[str, Value]],
        became: Sequence[tuple[Asked, Radiograph]],
        new: Collection[str],
    ) -> list[Reading]:
        radiographs = {one.id: one for _, one in became}
        known = [key for key in changed if key not in new]
        had = self._ledger.with_reference(known) if known else set()
        now = datetime.now(UTC)
        return [
            Reading(
                key, REFERENCE_READER, values, radiographs[key].imported_at if key in new else now
            )
            for key, values in changed.items()
            if (key in had or radiographs[key].split in self._rules.reference_splits)
            and self._rules.reference_needs in (*values, "")
        ]
