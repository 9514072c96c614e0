"""What the loop is doing, in one place for `carpal status`, the status page and the metrics."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from data.domain import DatasetVersion, Split, Target, TaskSpec
from data.errors import NotFoundError, ServiceUnavailableError
from data.ledger.events import EventKind
from data.ledger.figures import Asked, LedgerFigures, ReaderDay
from data.ledger.ledger import Ledger
from data.runs import Run
from workers.adjudication import unreadable_films
from workers.assembly import retrain_policy, task
from workers.attention import (
    Notice,
    ledger_notices,
    live_notices,
    most_urgent_first,
    queue_notices,
)
from workers.bootstrap import project_handle
from workers.drift_figures import Drift, drift
from workers.live_figures import LAST, LiveFigures, ShadowFigures, live_figures, shadow_figures
from workers.loop_events import LOOKED_AT, TOLD, EventLine, last_events
from workers.loop_figures import (
    BudgetPoint,
    ModelFigures,
    TrainingProgress,
    budget_curve,
    challenger_of,
    model_figures,
    training_progress,
)
from workers.loop_sentences import DRIFT_DAYS
from workers.policy import decide
from workers.promotion import CHAMPION
from workers.queue_state import Queues, queue_state
from workers.reader_figures import ReaderFigures, reader_figures
from workers.rescoring import SCORED, written_key
from workers.scheduling import loop_state
from workers.settings import Settings

NEVER = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LoopFigures:
    """The figures of the loop; see the modules that make them.

    Attributes:
        days: Readings by day and reader.
        readers: What each reader has read.
        models: What each training made, oldest first.
        budget: Error over labels.
        live: The champion on the labels that arrive; None: nothing to tell yet.
        shadow: Challenger against champion; None: there is no challenger.
        drift: Films scored lately against those learnt from; None: none were scored.
        behind: Tasks that wait to be scored by the champion.
        progress: The training under way; None: there is none.
        events: What happened last, the newest first.
    """

    days: tuple[ReaderDay, ...] = ()
    readers: tuple[ReaderFigures, ...] = ()
    models: tuple[ModelFigures, ...] = ()
    budget: tuple[BudgetPoint, ...] = ()
    live: LiveFigures | None = None
    shadow: ShadowFigures | None = None
    drift: Drift | None = None
    behind: int = 0
    progress: TrainingProgress | None = None
    events: tuple[EventLine, ...] = ()


@dataclass(frozen=True, slots=True)
class LoopOverview:
    """One look at the loop.

    Attributes:
        radiographs: Split -> radiographs in the pool.
        labelled: Radiographs with a live expert reading; those that cannot be read are among them.
        waiting: Tasks before the experts that nobody has read.
        new_labels: Radiographs whose label is new or changed since the last trained version.
        training: Why a training starts or does not; one sentence.
        versions: Dataset versions, oldest first.
        runs: Trainings, oldest first.
        champion: The serving model's version, or empty.
        queues: Queues and workers; None: Redis does not answer.
        attention: What a person should look at, the most urgent first.
        figures: The figures of the loop.
        at: When this was looked at, UTC.
        unreadable: Reason -> radiographs that cannot be read and so have no label.
    """

    radiographs: dict[str, int]
    labelled: int
    waiting: int
    new_labels: int
    training: str
    versions: list[DatasetVersion]
    runs: list[Run]
    champion: str
    queues: Queues | None
    attention: list[Notice]
    figures: LoopFigures = field(default_factory=LoopFigures)
    at: datetime = NEVER
    unreadable: dict[str, int] = field(default_factory=dict)


def overview(settings: Settings, ledger: Ledger, now: datetime | None = None) -> LoopOverview:
    """Looks at the ledger and the queues; changes nothing."""
    return with_queues(ledger_overview(settings, ledger, now), settings)


def ledger_overview(
    settings: Settings, ledger: Ledger, now: datetime | None = None
) -> LoopOverview:
    """Looks at the ledger alone; the queues are None."""
    now, spec = now or datetime.now(UTC), task(settings)
    state, runs, versions = loop_state(ledger, now), ledger.runs(), ledger.versions()
    champion = ledger.get_state(CHAMPION) or ""
    sums = ledger.figures(_asked(ledger, runs, champion, now))
    figures = _figures(ledger, spec, runs, versions, sums, now)
    notices = ledger_notices(settings, ledger, runs) + live_notices(figures.live, figures.drift)
    return LoopOverview(
        radiographs={split.value: ledger.count_radiographs(split) for split in Split},
        labelled=sums.labelled,
        waiting=sums.open.waiting,
        new_labels=state.new_labels,
        training=decide(retrain_policy(settings), state).reason,
        versions=versions,
        runs=runs,
        champion=champion,
        queues=None,
        attention=most_urgent_first(notices),
        figures=figures,
        at=now,
        unreadable=unreadable_films(settings, ledger),
    )


def with_queues(view: LoopOverview, settings: Settings) -> LoopOverview:
    """Looks at the queues, too."""
    try:
        queues = queue_state(settings)
    except ServiceUnavailableError as error:
        gone = Notice(f"{error} Start it with 'carpal up'; nothing is lost.")
        return replace(view, attention=most_urgent_first([gone, *view.attention]))
    notices = [*queue_notices(queues), *view.attention]
    return replace(view, queues=queues, attention=most_urgent_first(notices))


def gate_target(spec: TaskSpec) -> Target:
    """Returns the target that all errors of the figures are of."""
    return spec.target(spec.gate.target)


def _asked(ledger: Ledger, runs: list[Run], champion: str, now: datetime) -> Asked:
    try:
        project = project_handle(ledger).id
    except NotFoundError:
        project = None
    scored = ledger.get_state(SCORED) == champion
    return Asked(
        champion=champion,
        challenger=challenger_of(runs, champion),
        project=project,
        written=int(ledger.get_state(written_key(champion)) or 0) if scored else 0,
        since=now - timedelta(days=DRIFT_DAYS),
        last=LAST,
    )


def _figures(
    ledger: Ledger,
    spec: TaskSpec,
    runs: list[Run],
    versions: list[DatasetVersion],
    sums: LedgerFigures,
    now: datetime,
) -> LoopFigures:
    target, champion = gate_target(spec), ledger.get_state(CHAMPION) or ""
    turns = list(ledger.events(kinds=[EventKind.PROMOTED, EventKind.ROLLED_BACK]))
    models = model_figures(runs, versions, turns, champion)
    challenger = challenger_of(runs, champion)
    return LoopFigures(
        days=tuple(sums.days),
        readers=reader_figures(sums.days, sums.origins, sums.lead_times, now.date()),
        models=models,
        budget=budget_curve(models),
        live=live_figures(sums.champion, target),
        shadow=shadow_figures(sums.champion, sums.challenger, challenger, target),
        drift=drift(sums.recent, sums.before, sums.learnt, target),
        behind=sums.open.behind if champion else 0,
        progress=training_progress(runs, now),
        events=last_events(ledger.events(max(0, ledger.head()[0] - LOOKED_AT), TOLD)),
    )
