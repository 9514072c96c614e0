"""What Label Studio asks of an ML backend (its `ml/api_connector.py` and webhooks).

Label Studio's limits, in seconds: health 1, setup 3, predict 100, webhook 1.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, jsonify

from data.errors import InvalidInputError
from ml_backend.errors import problem, say_in_status_line
from ml_backend.json_body import json_object, text_or_none
from ml_backend.model import CarpalModel
from ml_backend.services import Services
from ml_backend.train_jobs import train_job

MODEL_CLASS = CarpalModel.__name__


def label_studio_routes(services: Services) -> Blueprint:
    """Returns the routes that Label Studio calls."""
    routes = Blueprint("label_studio", __name__)

    @routes.get("/health")
    def health() -> dict[str, str]:
        served = services.models.served
        return {
            "status": "UP",
            "model_class": MODEL_CLASS,
            "model_version": served.model_version,
            "model_state": _state(served.model_version, served.error),
        }

    @routes.post("/setup")
    def setup() -> dict[str, Any]:
        body = json_object()
        model = CarpalModel(_project_id(body), text_or_none(body, "schema"), services)
        return {"model_version": model.get("model_version")}

    @routes.post("/predict")
    def predict() -> dict[str, Any]:
        body = json_object()
        tasks = body.get("tasks")
        if not isinstance(tasks, list):
            raise InvalidInputError("'tasks' must be a list of tasks.")
        model = CarpalModel(_project_id(body), text_or_none(body, "label_config"), services)
        batch = model.answer(tasks)
        answer: dict[str, Any] = {
            "results": [model.as_json(batch, item) for item in batch.answers],
            "model_version": batch.model_version,
        }
        if not batch.model_version:
            answer["detail"] = "There is no model yet."
        return answer

    @routes.post("/webhook")
    def webhook() -> tuple[dict[str, str], int]:
        body = json_object()
        action = text_or_none(body, "action")
        if action is None:
            raise InvalidInputError("The webhook has no 'action'.")
        noted = CarpalModel(services=services).fit(action, body)
        if not noted.journalled:
            return {"status": "ignored"}, 200
        return {"status": "ok", **({"job": noted.job} if noted.job else {})}, 201

    @routes.route("/versions", methods=["GET", "POST"])
    def versions() -> dict[str, list[str]]:
        return {"versions": services.models.versions()}

    @routes.post("/job_status")
    def job_status() -> Response:
        job = train_job(services.ledger, json_object().get("job"))
        if job is None:
            return problem(410, "No training was asked for under this id.")
        return jsonify(asdict(job))

    @routes.after_request
    def say_why(response: Response) -> Response:
        return say_in_status_line(response)

    return routes


def _state(model_version: str, error: str) -> str:
    if error:
        return "not_up_to_date"
    return "serving" if model_version else "none"


def _project_id(body: dict[str, Any]) -> str | None:
    """Returns the number in `<project>.<time of creation>`, the name that Label Studio uses."""
    project = body.get("project")
    if project is None:
        return None
    number = str(project).partition(".")[0] if isinstance(project, str | int | float) else ""
    if not number.isascii() or not number.isdigit():
        raise InvalidInputError("'project' must be the number of a Label Studio project.")
    return number
