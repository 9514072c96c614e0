"""What happened last, in words: the end of the ledger's chain for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from data.domain import REFERENCE_READER
from data.ledger.events import Event, EventKind
from data.runs import RunState

SHOWN = 12
"""Lines."""
LOOKED_AT = 600
"""Events at the end of the chain that the lines are made of."""
STATES: Mapping[str, str] = {
    RunState.QUEUED: "was queued",
    RunState.RUNNING: "began",
    RunState.SUCCEEDED: "succeeded",
    RunState.FAILED: "failed",
    RunState.LOST: "stopped answering and starts again",
}
TOLD = tuple(kind for kind in EventKind if kind is not EventKind.HINT)
"""A webhook says only where to look."""


@dataclass(frozen=True, slots=True)
class EventLine:
    """One line.

    Attributes:
        at: When it was recorded, UTC; of several, the last.
        sentence: What happened.
        link: Page of ours that shows it; empty: none.
        labels: Reader -> labels that this line counts; empty: it is no line of labels.
    """

    at: datetime
    sentence: str
    link: str = ""
    labels: Mapping[str, int] = field(default_factory=dict)


def last_events(events: Iterable[Event]) -> tuple[EventLine, ...]:
    """Returns the last lines, the newest first; labels in a row are one line.

    Args:
        events: In the order of the chain; webhooks are left out.
    """
    lines: list[EventLine] = []
    for event in events:
        if event.kind is EventKind.HINT:
            continue
        if event.kind is EventKind.LABEL:
            counts = Counter({str(event.payload["new"]["reader"]): 1})
            if lines and lines[-1].labels:
                counts.update(lines.pop().labels)
            lines.append(EventLine(event.at, _labels(counts), labels=dict(counts)))
        else:
            lines.append(EventLine(event.at, _sentence(event), _link(event)))
    return tuple(reversed(lines[-SHOWN:]))


def _labels(counts: Mapping[str, int]) -> str:
    who = ", ".join(
        f"{'the reference' if reader == REFERENCE_READER else reader} {count}"
        for reader, count in sorted(counts.items())
    )
    return f"Labels came or changed: {who}."


def _link(event: Event) -> str:
    if event.kind is EventKind.COMMITTED:
        return f"/versions/{event.subject}"
    return "/#trainings" if event.kind in (EventKind.RUN, EventKind.GATE) else ""


def _sentence(event: Event) -> str:
    facts = event.payload
    match event.kind:
        case EventKind.TRAIN_REQUESTED:
            return f"{event.subject} asked for a training."
        case EventKind.COMMITTED:
            return f"{event.subject} was committed: {facts.get('labels', '?')} labels."
        case EventKind.RUN:
            state = str(facts.get("state", ""))
            return f"Training {event.subject} {STATES.get(state, state)}."
        case EventKind.GATE:
            passed = "passed the gate" if facts.get("promote") else "did not pass the gate"
            return f"{event.subject} {passed}. {facts.get('reason', '')}".rstrip()
        case EventKind.PROMOTED:
            return f"{event.subject} serves from now on."
        case EventKind.ROLLED_BACK:
            return f"{event.subject} serves again. {facts.get('reason', '')}".rstrip()
        case EventKind.OVERRIDE:
            why = facts.get("why", "")
            return f"{facts.get('by', 'Somebody')} took a decision against the rules: {why}"
        case _:
            return f"{event.kind.value}: {event.subject}."
