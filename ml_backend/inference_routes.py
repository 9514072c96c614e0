"""The Open Inference Protocol, version 2 (KServe, Triton, MLServer), over HTTP.

The model's name is the task's, its version the one that serves: another version is not there.
https://github.com/kserve/open-inference-protocol
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from flask import Blueprint, Response, jsonify

from data.errors import NotFoundError
from ml_backend.errors import INFERENCE_PATH, problem
from ml_backend.inference_tensors import films_of, input_tensors, output_tensors, outputs_of
from ml_backend.json_body import json_object, text_or_none
from ml_backend.sent_films import predict_films
from ml_backend.services import Services

PLATFORM = "pytorch"
NO_MODEL = "There is no model yet; label radiographs to train one."


def inference_routes(services: Services) -> Blueprint:
    """Returns the routes of inference servers."""
    routes = Blueprint("inference", __name__, url_prefix=INFERENCE_PATH)
    one, of_version = "/models/<name>", "/models/<name>/versions/<model_version>"

    @routes.get("")
    def server_metadata() -> dict[str, Any]:
        return {"name": "carpal", "version": version("carpal"), "extensions": []}

    @routes.get("/health/live")
    def server_live() -> dict[str, bool]:
        return {"live": True}

    @routes.get("/health/ready")
    def server_ready() -> Response:
        if not services.models.served.model_version:
            return problem(503, NO_MODEL, ready=False)
        return jsonify(ready=True)

    @routes.get(one)
    @routes.get(of_version)
    def model_metadata(name: str, model_version: str = "") -> dict[str, Any]:
        serving = _serving(services, name, model_version)
        return {
            "name": name,
            "versions": [serving] if serving else [],
            "platform": PLATFORM,
            "inputs": input_tensors(services.spec),
            "outputs": output_tensors(services.spec),
        }

    @routes.get(f"{one}/ready")
    @routes.get(f"{of_version}/ready")
    def model_ready(name: str, model_version: str = "") -> Response:
        if not _serving(services, name, model_version):
            return problem(503, NO_MODEL, name=name, ready=False)
        return jsonify(name=name, ready=True)

    @routes.post(f"{one}/infer")
    @routes.post(f"{of_version}/infer")
    def infer(name: str, model_version: str = "") -> dict[str, Any]:
        _serving(services, name, model_version)
        body = json_object()
        told = {"id": given} if (given := text_or_none(body, "id")) is not None else {}
        wanted = outputs_of(services.spec, body)
        answers = predict_films(services, films_of(services.spec, body))
        predictions = [answer.prediction for answer in answers]
        return {
            "model_name": name,
            "model_version": predictions[0].model_version,
            **told,
            "outputs": [output.tensor(predictions) for output in wanted],
        }

    return routes


def _serving(services: Services, name: str, model_version: str) -> str:
    """Returns the version that serves; empty: there is none.

    Raises:
        NotFoundError: No model of that name serves, or not in that version.
    """
    serving = services.models.served.model_version
    if name != services.spec.name:
        raise NotFoundError(f"There is no model of that name: {services.spec.name} is served.")
    if model_version and model_version != serving:
        raise NotFoundError(f"That version does not serve: {serving or 'none'} does.")
    return serving
