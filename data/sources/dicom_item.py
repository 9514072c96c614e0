"""A DICOM radiograph as an item of a source, wherever it lies."""

from __future__ import annotations

from collections.abc import Callable

from data.dicom.facts import DicomFacts, values_of
from data.sources.item import Delivered, SourceItem


def dicom_item(
    name: str, facts: DicomFacts, salt: str, load: Callable[[], Delivered], stamp: str
) -> SourceItem:
    """Returns the item for a radiograph that can be taken.

    Args:
        name: What the source calls it.
        facts: What its header says.
        salt: The workspace's secret for pseudonyms.
        load: Delivers the pixels; can be sent to another process.
        stamp: See `SourceItem.stamp`.
    """
    return SourceItem(
        name,
        patient=facts.patient,
        values=values_of(facts),
        metadata=facts.metadata(salt),
        load=load,
        stamp=stamp,
    )
