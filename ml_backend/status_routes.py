"""`/metrics` for Prometheus, and `/`, the page that shows the loop to a person."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, render_template

from data.runs import RunState
from ml_backend.metrics import CONTENT_TYPE, sample
from ml_backend.services import Services

SHOWN_RUNS = 10
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


def status_routes(services: Services) -> Blueprint:
    """Returns the routes that show how the loop is doing."""
    routes = Blueprint("status", __name__)

    @routes.get("/metrics")
    def metrics() -> Response:
        lines = [*services.counters.lines(), *_ledger_lines(services)]
        return Response("\n".join(lines) + "\n", content_type=CONTENT_TYPE)

    @routes.get("/")
    def page() -> Response:
        view = services.overview()
        answer = make_response(
            render_template(
                "status.html",
                spec=services.spec,
                served=services.models.served,
                view=view,
                runs=view.runs[: -SHOWN_RUNS - 1 : -1],
                label_studio=services.settings.label_studio,
            )
        )
        answer.headers["Content-Security-Policy"] = PAGE_POLICY
        return answer

    return routes


def _ledger_lines(services: Services) -> list[str]:
    version = services.ledger.latest_version()
    runs = services.ledger.runs()
    lines = [
        "# HELP carpal_ledger_events Events in the ledger.",
        "# TYPE carpal_ledger_events gauge",
        sample("carpal_ledger_events", {}, services.ledger.head()[0]),
        "# HELP carpal_dataset_labels Labelled radiographs in the newest dataset version.",
        "# TYPE carpal_dataset_labels gauge",
        sample("carpal_dataset_labels", {}, version.labels if version else 0),
        "# HELP carpal_training_runs Training runs by state.",
        "# TYPE carpal_training_runs gauge",
    ]
    for state in RunState:
        count = sum(run.state is state for run in runs)
        lines.append(sample("carpal_training_runs", {"state": state.value}, count))
    return lines
