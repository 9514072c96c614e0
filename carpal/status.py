"""`carpal status`: what the loop is doing, on one screen or as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import date, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data.domain import Target
from data.runs import ACTIVE, Run
from workers import loop_sentences as sentences
from workers.overview import LoopFigures, LoopOverview

SHOWN_RUNS = 5


def as_json(view: LoopOverview) -> dict[str, Any]:
    """Returns the overview as JSON-ready values; times are ISO 8601 in UTC."""
    return {
        "radiographs": view.radiographs,
        "labelled": view.labelled,
        "unreadable": view.unreadable,
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
        "queues": None if view.queues is None else view.queues.depths(),
        "workers": [] if view.queues is None else [asdict(one) for one in view.queues.workers],
        "attention": [notice.sentence for notice in view.attention],
        "figures": _figures_json(view.figures),
    }


def show(view: LoopOverview, console: Console, target: Target) -> None:
    """Prints the overview for a person; errors are of `target`."""
    total = sum(view.radiographs.values())
    parts = ", ".join(f"{count} {split}" for split, count in view.radiographs.items())
    facts = Table.grid(padding=(0, 2))
    facts.add_row("Radiographs", f"{total} ({parts})")
    facts.add_row("Labelled", f"{view.labelled} by experts")
    if view.unreadable:
        facts.add_row("", sentences.unreadable_sentence(view.unreadable))
    facts.add_row("Training", view.training)
    facts.add_row("Champion", view.champion or "none yet: no predictions are shown")
    if view.versions:
        last = view.versions[-1]
        facts.add_row("Dataset", f"{last.name}: {last.labels} labels, {_ago(last.committed_at)}")
    for name, said in _sentences(view, target):
        facts.add_row(name, said)
    console.print(facts, markup=False, highlight=False)
    if view.runs:
        shown = view.runs[-SHOWN_RUNS:]
        console.print(_runs_table(shown, view, target))
        for run in _explained(shown):
            said = f"{run.id}: {run.error or run.reason}"
            console.print(said, markup=False, highlight=False)
    for notice in view.attention:
        console.print(f"[yellow]![/yellow] {escape(notice.sentence)}", highlight=False)


def _sentences(view: LoopOverview, target: Target) -> Iterator[tuple[str, str]]:
    """Yields what the status page says, too: (name of a row, sentence)."""
    figures, champion = view.figures, view.champion
    if figures.progress is not None:
        yield "", sentences.progress_sentence(figures.progress)
    yield "Scores", sentences.scores_sentence(view.waiting, figures.behind, champion)
    if champion:
        yield "Live", " ".join(sentences.live_sentences(figures.live, target, champion))
        yield "Shadow", sentences.shadow_sentence(figures.shadow, target, champion)
        yield "Drift", " ".join(sentences.drift_sentences(figures.drift, target))
    if view.queues is None:
        return
    for name, queue in zip(("Queues", ""), view.queues.queues, strict=False):
        yield name, sentences.queue_sentence(queue, view.queues.serving(queue.name))
    for worker in view.queues.workers:
        if worker.job:
            yield "", sentences.worker_sentence(worker)


def _figures_json(figures: LoopFigures) -> dict[str, Any]:
    """Returns the figures for a program; what is not known is null."""
    told = {
        "days": [asdict(day) for day in figures.days],
        "readers": [asdict(reader) for reader in figures.readers],
        "models": [asdict(model) for model in figures.models],
        "budget": [asdict(point) for point in figures.budget],
        "live": asdict(figures.live) if figures.live else None,
        "shadow": asdict(figures.shadow) if figures.shadow else None,
        "drift": asdict(figures.drift) if figures.drift else None,
        "scores_waiting": figures.behind,
    }
    plain: dict[str, Any] = _plain(told)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, date):  # Times are dates, too.
        return value.isoformat()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _explained(runs: list[Run]) -> list[Run]:
    """Returns the newest run and, while that is under way, the newest that has ended before it."""
    ended = [run for run in runs if run.state not in ACTIVE]
    return [run for run in runs if run in (*ended[-1:], runs[-1])]


def _runs_table(runs: list[Run], view: LoopOverview, target: Target) -> Table:
    known = {model.run: model for model in view.figures.models}
    plain = replace(target, unit="")
    table = Table(
        title=f"Last trainings, error in {target.unit or '%'}",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for name in ("run", "version", "state", "error", "model", ""):
        table.add_column(name, no_wrap=True)
    for run in runs:
        told = run.stage and run.state not in ACTIVE  # Of one under way a sentence tells it.
        state = f"{run.state.value}: {run.stage}" if told else run.state.value
        serves = run.model_version != "" and run.model_version == view.champion
        table.add_row(
            run.id,
            run.version or "–",
            state,
            sentences.error_text(known[run.id].error, plain) if run.id in known else "–",
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
