"""Radiographs whose readers are beyond tolerance, and who settles them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from data.domain import TaskSpec
from data.errors import NotFoundError
from data.ledger.ledger import Ledger
from data.readers.consensus import live_readings, reader_keys
from data.readers.disagreements import Disagreement, count_disagreements, disagreements
from data.readers.unreadable import unreadable_reasons
from workers.bootstrap import project_handle
from workers.settings import Settings


@dataclass(frozen=True, slots=True)
class OpenDisagreement:
    """A disagreement and where an adjudicator settles it.

    Attributes:
        disagreement: What the readers say.
        task: Number of the task in Label Studio; None: there is none that shows the radiograph.
        link: Address of the task; empty without one.
    """

    disagreement: Disagreement
    task: int | None
    link: str


def adjudicators(settings: Settings) -> frozenset[str]:
    """Returns the readers whose reading settles a disagreement."""
    named = (reader.strip() for reader in settings.adjudicators.split(","))
    return frozenset(reader for reader in named if reader)


def open_disagreements(
    settings: Settings, ledger: Ledger, spec: TaskSpec
) -> list[OpenDisagreement]:
    """Returns what waits for an adjudicator, the widest spread first."""
    _, radiographs, readings = ledger.snapshot()
    found = disagreements(radiographs, readings, spec, adjudicators(settings))
    if not found:
        return []
    project, tasks = _tasks(ledger)
    open_ones = []
    for one in found:
        task = tasks.get(one.label.radiograph.id)
        link = (
            "" if task is None else f"{settings.label_studio}/projects/{project}/data?task={task}"
        )
        open_ones.append(OpenDisagreement(one, task, link))
    return open_ones


def attention(settings: Settings, ledger: Ledger, spec: TaskSpec) -> list[str]:
    """Returns the sentence for `carpal status`, or nothing where no radiograph waits."""
    several = ledger.label_snapshot(after=ledger.head()).several  # Nobody else can disagree.
    count = count_disagreements(several, spec, adjudicators(settings))
    if not count:
        return []
    what = "1 radiograph waits" if count == 1 else f"{count} radiographs wait"
    sentence = f"{what} for an adjudicator: 'carpal disagreements' lists what readers say."
    if not adjudicators(settings):
        sentence += " Nobody is named in CARPAL_ADJUDICATORS yet."
    return [sentence]


def unreadable_films(settings: Settings, ledger: Ledger) -> dict[str, int]:
    """Returns reason -> radiographs that cannot be read and so have no label, sorted by reason."""
    told = ledger.label_snapshot(after=ledger.head()).unreadable
    settling = reader_keys(adjudicators(settings))
    reasons = unreadable_reasons(live_readings(told).values(), settling)
    return dict(sorted(Counter(reasons.values()).items()))


def _tasks(ledger: Ledger) -> tuple[int, Mapping[str, int]]:
    """Returns the project and radiograph id -> its latest task."""
    try:
        project = project_handle(ledger).id
    except NotFoundError:
        return 0, {}
    return project, {key: task for task, key in ledger.task_links(project).items()}
