"""Everything that is known of one radiograph, gathered for the page that shows it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from data.domain import LabelledRadiograph, Prediction, Radiograph, Reading, TaskSpec
from data.errors import CarpalError, NotFoundError
from data.ledger.cases import CaseRows
from data.ledger.ledger import Ledger
from data.ledger.predictions import prediction_id
from data.readers.consensus import consensus, live_readings, reader_keys
from data.readers.disagreements import disputed_targets
from workers.bootstrap import project_handle
from workers.case_input import KnownInput, known_input
from workers.explaining import Lineage, VersionRows, explain
from workers.recorded import input_of
from workers.standards import Standard, Standards, primary_number


@dataclass(frozen=True, slots=True)
class PastPrediction:
    """One thing that a model has said of the radiograph.

    Attributes:
        id: By which it can be explained for ever.
        prediction: What was said.
        made_at: When it was recorded, UTC.
        serves: The model serves now.
        error: Predicted minus labelled primary number, in its unit; None: either is missing.
    """

    id: str
    prediction: Prediction
    made_at: datetime
    serves: bool
    error: float | None


@dataclass(frozen=True, slots=True)
class Case:
    """One radiograph and all that was said of it.

    Attributes:
        radiograph: The film.
        project: Label Studio's project; 0: there is none.
        task: The Label Studio task that shows the film; None: there is none.
        label: What its readers agree on, or the reference; None: nobody has read it.
        disputed: Targets on which its readers are beyond tolerance and nobody has settled.
        readings: By time, withdrawn ones included.
        independent: What readers and references say was left out.
        shown: The prediction of the model that serves, or else the newest; None: there is none.
        predictions: All of them, the newest first.
        input: What became of the task's input; None: the task has none.
        standards: Nearest to the predicted value, or to the label where nothing is predicted.
        near: The value that the standards are nearest to; None: there is none.
        near_choice: The input target's value that they share, such as the sex; empty: any.
        tasks: Radiograph -> task of the films that the page leads to.
        lineage: What stands behind `shown`; None without it.
        lineage_error: Why the lineage cannot be told; empty: it can.
    """

    radiograph: Radiograph
    project: int
    task: int | None
    label: LabelledRadiograph | None
    disputed: tuple[str, ...]
    readings: tuple[Reading, ...]
    independent: bool
    shown: PastPrediction | None
    predictions: tuple[PastPrediction, ...]
    input: KnownInput | None
    standards: tuple[Standard, ...]
    near: float | None
    near_choice: str
    tasks: Mapping[str, int]
    lineage: Lineage | None
    lineage_error: str


@dataclass(frozen=True, slots=True)
class CaseSources:
    """Where cases are gathered from.

    Attributes:
        ledger: Open ledger.
        spec: The task.
        versions: The dataset versions.
        adjudicators: Readers whose reading settles a disagreement.
    """

    ledger: Ledger
    spec: TaskSpec
    versions: VersionRows
    adjudicators: Collection[str] = ()


def radiograph_of_task(ledger: Ledger, task: int) -> str:
    """Returns the id of the radiograph that a task of the workspace's project shows.

    Raises:
        NotFoundError: There is no such task, or no project yet.
    """
    found = ledger.radiograph_of_task(project_handle(ledger).id, task)
    if found is None:
        raise NotFoundError(f"Label Studio's task {task} shows no radiograph of this workspace.")
    return found


def gather_case(
    sources: CaseSources,
    standards: Standards,
    radiograph_id: str,
    serving: str,
    *,
    independent: bool = False,
) -> Case:
    """Gathers what is known of a radiograph.

    Args:
        sources: Where from.
        standards: Those of the ledger.
        radiograph_id: See `Radiograph.id`.
        serving: Version of the model that serves; empty: there is none.
        independent: Leave out what readers and references say, and all that follows from it: for
            a reader who has not submitted yet.

    Raises:
        NotFoundError: There is no such radiograph.
        LedgerError: The ledger cannot be read.
    """
    rows = sources.ledger.case(radiograph_id)
    if rows is None:
        raise NotFoundError(f"There is no radiograph {radiograph_id[:16]!r} in this workspace.")
    if independent:
        rows = replace(rows, readings=())
    spec, label = sources.spec, _label(rows, sources)
    past = _past(rows, spec, label, serving)
    shown = next((one for one in past if one.serves), next(iter(past), None))
    known = known_input(spec, rows.radiograph, shown.prediction if shown else None, label)
    near = _near(spec, shown, label)
    choice = _choice(spec, known, label, shown)
    found: tuple[Standard, ...] = ()
    if near is not None:
        found = standards.nearest(near, choice or None, rows.radiograph.patient)
    project = _project(sources.ledger)
    films = [radiograph_id, *(standard.radiograph.id for standard in found)]
    tasks = sources.ledger.tasks_showing(project, films) if project else {}
    lineage, lineage_error = _lineage(sources, shown)
    return Case(
        radiograph=rows.radiograph,
        project=project,
        task=tasks.get(radiograph_id),
        label=label,
        disputed=_disputed(rows, sources),
        readings=rows.readings,
        independent=independent,
        shown=shown,
        predictions=tuple(past),
        input=known,
        standards=found,
        near=near,
        near_choice=choice,
        tasks=tasks,
        lineage=lineage,
        lineage_error=lineage_error,
    )


def _label(rows: CaseRows, sources: CaseSources) -> LabelledRadiograph | None:
    found = consensus([rows.radiograph], rows.readings, sources.spec, sources.adjudicators)
    return found[0] if found else None


def _disputed(rows: CaseRows, sources: CaseSources) -> tuple[str, ...]:
    live = live_readings(rows.readings).get(rows.radiograph.id, [])
    settling = reader_keys(sources.adjudicators)
    return tuple(target.name for target in disputed_targets(live, sources.spec, settling))


def _past(
    rows: CaseRows, spec: TaskSpec, label: LabelledRadiograph | None, serving: str
) -> list[PastPrediction]:
    """Returns all predictions, the newest first."""
    target = primary_number(spec)
    name = target.name if target else ""
    truth = label.values.get(name) if label else None
    past = []
    for made_at, said in reversed(rows.predictions):
        value = said.values.get(name)
        past.append(
            PastPrediction(
                id=prediction_id(said.radiograph_id, said.model_version),
                prediction=said,
                made_at=made_at,
                serves=said.model_version == serving,
                error=None if value is None or truth is None else float(value) - float(truth),
            )
        )
    return past


def _near(
    spec: TaskSpec, shown: PastPrediction | None, label: LabelledRadiograph | None
) -> float | None:
    """Returns the value that standards are looked for around."""
    target = primary_number(spec)
    if target is None:
        return None
    for values in (shown.prediction.values if shown else {}, label.values if label else {}):
        if target.name in values:
            return float(values[target.name])
    return None


def _choice(
    spec: TaskSpec,
    known: KnownInput | None,
    label: LabelledRadiograph | None,
    shown: PastPrediction | None,
) -> str:
    """Returns the sex that the prediction was made with, else what was read, else predicted."""
    if known is None:
        return ""
    read = str(label.values.get(known.name, "")) if label else ""
    told = input_of(spec, shown.prediction) if shown else ""
    return known.value or known.recorded or read or told


def _project(ledger: Ledger) -> int:
    try:
        return project_handle(ledger).id
    except NotFoundError:
        return 0


def _lineage(sources: CaseSources, shown: PastPrediction | None) -> tuple[Lineage | None, str]:
    """Returns what stands behind a prediction, or why that cannot be told."""
    if shown is None:
        return None, ""
    try:
        return explain(sources.ledger, sources.versions, shown.prediction), ""
    except CarpalError as error:
        return None, str(error)
