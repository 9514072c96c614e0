"""Work out from the ledger's events alone what the labels were at an earlier event."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from data.domain import LabelledRadiograph, Radiograph, Reading, TaskSpec
from data.errors import LedgerError
from data.ledger.events import Event, EventKind, utc_time
from data.ledger.ledger import Ledger
from data.readers.consensus import consensus


def replay_labels(
    ledger: Ledger,
    heads: Sequence[int],
    radiographs: Collection[Radiograph],
    spec: TaskSpec,
    adjudicators: Collection[str] = (),
) -> Iterator[tuple[int, list[LabelledRadiograph]]]:
    """Yields each of `heads` with the labels as they stood right after that event.

    Nothing but the `label` events is used, not what the ledger holds as true now: so where the
    result is what was committed, neither the tables of the ledger nor those of git were altered.

    Args:
        ledger: The ledger.
        heads: Sequence numbers, ascending.
        radiographs: That may be labelled.
        spec: The task.
        adjudicators: As they were when the labels were made.

    Raises:
        LedgerError: An event is no reading: it was altered.
    """
    told: dict[str, Reading] = {}
    events = ledger.events(kinds=[EventKind.LABEL])
    event = next(events, None)
    for head in heads:
        while event is not None and event.seq <= head:
            told[event.payload["reading"]] = _reading(event)
            event = next(events, None)
        yield head, consensus(radiographs, told.values(), spec, adjudicators)


def _reading(event: Event) -> Reading:
    try:
        key, facts = event.payload["reading"], event.payload["new"]
        return Reading(
            radiograph_id=facts["radiograph"],
            reader=facts["reader"],
            values=facts["values"],
            read_at=utc_time(facts["read_at"]),
            annotation="" if key.startswith("reference:") else key,
            origin=facts["origin"],
            withdrawn=facts["withdrawn"],
            lead_time_s=facts["lead_time_s"],
            unreadable=facts.get("unreadable", ""),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LedgerError(f"The ledger is broken: event {event.seq} is no reading.") from error
