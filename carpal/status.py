"""`carpal status`: what the loop is doing, on one screen or as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data.runs import ACTIVE, Run
from workers.overview import LoopOverview

SHOWN_RUNS = 5


def as_json(view: LoopOverview) -> dict[str, Any]:
    """Returns the overview as JSON-ready values; times are ISO 8601 in UTC."""
    return {
        "radiographs": view.radiographs,
        "labelled": view.labelled,
        "waiting": view.waiting,
        "new_labels": view.new_labels,
        "training": view.training,
        "champion": view.champion or None,
        "versions": [
            {
                "name": v.name,
                "commit": v.commit,
                "labels": v.labels,
                "expert_labels": v.expert_labels,
                "committed_at": v.committed_at.isoformat(),
            }
            for v in view.versions
        ],
        "runs": [_run_json(run) for run in view.runs],
        "queues": view.queues,
        "attention": view.attention,
    }


def show(view: LoopOverview, console: Console) -> None:
    """Prints the overview for a person."""
    total = sum(view.radiographs.values())
    parts = ", ".join(f"{count} {split}" for split, count in view.radiographs.items())
    facts = Table.grid(padding=(0, 2))
    facts.add_row("Radiographs", f"{total} ({parts})")
    facts.add_row("Labelled", f"{view.labelled} by experts, {view.waiting} waiting")
    facts.add_row("Training", view.training)
    facts.add_row("Champion", view.champion or "none yet: no predictions are shown")
    if view.versions:
        last = view.versions[-1]
        facts.add_row("Dataset", f"{last.name}: {last.labels} labels, {_ago(last.committed_at)}")
    if view.queues is not None:
        waiting = ", ".join(f"{name} {depth}" for name, depth in view.queues.items())
        facts.add_row("Queues", waiting)
    console.print(facts, markup=False)
    if view.runs:
        shown = view.runs[-SHOWN_RUNS:]
        console.print(_runs_table(shown, view.champion))
        for run in _explained(shown):
            said = f"{run.id}: {run.error or run.reason}"
            console.print(said, markup=False, highlight=False)
    for sentence in view.attention:
        console.print(f"[yellow]![/yellow] {escape(sentence)}", highlight=False)


def _explained(runs: list[Run]) -> list[Run]:
    """Returns the newest run and, while that is under way, the newest that has ended before it."""
    ended = [run for run in runs if run.state not in ACTIVE]
    return [run for run in runs if run in (*ended[-1:], runs[-1])]


def _runs_table(runs: list[Run], champion: str) -> Table:
    table = Table(title="Last trainings", title_justify="left", box=SIMPLE_HEAD)
    for name in ("run", "version", "state", "MAE", "model", ""):
        table.add_column(name, no_wrap=True)
    for run in runs:
        state = f"{run.state.value}: {run.stage}" if run.stage else run.state.value
        mae = run.metrics.get("mae")
        serves = run.model_version != "" and run.model_version == champion
        table.add_row(
            run.id,
            run.version or "–",
            state,
            "–" if mae is None else f"{mae:.1f}",
            run.model_version or "–",
            "champion" if serves else "not promoted" if run.promoted is False else "",
        )
    return table


def _run_json(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "trigger": run.trigger,
        "state": run.state.value,
        "stage": run.stage,
        "version": run.version,
        "model_version": run.model_version,
        "promoted": run.promoted,
        "reason": run.reason,
        "error": run.error,
        "attempt": run.attempt,
        "requested_at": _iso(run.requested_at),
        "started_at": _iso(run.started_at),
        "finished_at": _iso(run.finished_at),
        "metrics": dict(run.metrics),
        "seconds": dict(run.seconds),
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _ago(moment: datetime) -> str:
    seconds = (datetime.now(moment.tzinfo) - moment).total_seconds()
    if seconds < 120:
        return f"{seconds:.0f} s ago"
    return f"{seconds / 60:.0f} min ago" if seconds < 7200 else f"{seconds / 3600:.0f} h ago"
