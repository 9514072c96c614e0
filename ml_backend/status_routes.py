"""`/`, the page that shows the loop to a person, and `/metrics`, which shows it to Prometheus."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from flask import Blueprint, Response, request

from data.domain import TaskSpec
from ml_backend.loop_metrics import Gauge, loop_lines, one
from ml_backend.metrics import CONTENT_TYPE
from ml_backend.pages import html_page
from ml_backend.plot_shelf import PlotShelf
from ml_backend.services import Services
from ml_backend.status_plots import Plot, coverage_plot, error_plot, labels_plot
from workers import loop_sentences as sentences
from workers.attention import Notice
from workers.overview import LoopOverview, gate_target
from workers.reader_figures import ReaderFigures

SHOWN_RUNS = 10
SHOWN_NOTICES = 12
REFRESH_S = 10, 3600
"""What `?refresh=` may ask for, seconds."""


def status_routes(services: Services) -> Blueprint:
    """Returns the routes that show how the loop is doing."""
    routes = Blueprint("status", __name__)
    shelf = PlotShelf()

    @routes.get("/metrics")
    def metrics() -> Response:
        events = Gauge(
            "carpal_ledger_events", "Events in the ledger.", one(services.ledger.head()[0])
        )
        loop = loop_lines(services.overview(), services.spec)
        lines = [*services.counters.lines(), *events.lines(), *loop]
        return Response("\n".join(lines) + "\n", content_type=CONTENT_TYPE)

    @routes.get("/")
    def page() -> Response:
        answer = html_page("status.html", services, **_facts(services, shelf))
        if again_s := _refresh(request.args.get("refresh", "")):
            answer.headers["Refresh"] = str(again_s)
        return answer

    return routes


def _facts(services: Services, shelf: PlotShelf) -> dict[str, Any]:
    """Returns what the template shows."""
    view, served = services.overview(), services.models.served
    notices = view.attention
    if served.error:
        said = f"The newest champion does not serve: {served.error}"
        notices = [Notice(said, "/#trainings"), *notices]
    pairs = zip(view.versions, view.versions[1:], strict=False)
    return {
        "view": view,
        "served": served.model_version,
        "target": gate_target(services.spec),
        "notices": notices[:SHOWN_NOTICES],
        "more_notices": max(0, len(notices) - SHOWN_NOTICES),
        "runs": view.runs[: -SHOWN_RUNS - 1 : -1],
        "models": {model.run: model for model in view.figures.models},
        "before": {newer.name: older.name for older, newer in pairs},
        "plots": shelf.get(_plots(view, services.spec)),
        "all_readers": _everybody(view.figures.readers),
        "refresh": _refresh(request.args.get("refresh", "")),
        **_told(view, services.spec),
    }


def _told(view: LoopOverview, spec: TaskSpec) -> dict[str, Any]:
    """Returns the sentences of the page."""
    figures, target, champion = view.figures, gate_target(spec), view.champion
    return {
        "words": sentences,
        "live": sentences.live_sentences(figures.live, target, champion),
        "shadow": sentences.shadow_sentence(figures.shadow, target, champion),
        "drift": sentences.drift_sentences(figures.drift, target),
        "unreadable": sentences.unreadable_sentence(view.unreadable),
        "scores": sentences.scores_sentence(view.waiting, figures.behind, champion),
    }


def _plots(view: LoopOverview, spec: TaskSpec) -> dict[Hashable, Plot]:
    """Returns what each plot shows -> the plot; none of what there is nothing to show of."""
    figures, target = view.figures, gate_target(spec)
    plots: dict[Hashable, Plot] = {}
    if figures.days:
        today, readers = view.at.date(), tuple(reader.reader for reader in figures.readers)
        plots["labels", figures.days, today] = labels_plot(figures.days, readers, today)
    if figures.budget:
        plots["error", figures.budget, view.champion] = error_plot(
            figures.budget, target, view.champion
        )
    if any(model.coverage == model.coverage for model in figures.models):
        plots["coverage", figures.models] = coverage_plot(figures.models)
    return plots


def _everybody(readers: tuple[ReaderFigures, ...]) -> dict[str, int]:
    """Returns the sums over all readers."""
    names = ("labels", "kept", "corrected", "manual", "unreadable", "today")
    return {name: sum(getattr(reader, name) for reader in readers) for name in names}


def _refresh(asked: str) -> int:
    """Returns after how many seconds the page comes again; 0: never."""
    shortest, longest = REFRESH_S
    return min(max(int(asked), shortest), longest) if asked.isascii() and asked.isdigit() else 0
