"""The application of one workspace; `server.py` puts them together for gunicorn."""

from __future__ import annotations

import time

from flask import Flask, Response, g, request

from ml_backend.auth import protect
from ml_backend.case_routes import case_routes
from ml_backend.errors import register_error_handlers
from ml_backend.inference_routes import inference_routes
from ml_backend.json_body import MAX_JSON_BYTES
from ml_backend.label_studio_routes import label_studio_routes
from ml_backend.logs import access_log, configure_logging
from ml_backend.metrics import REQUESTS, ROUTES, SECONDS, Counters
from ml_backend.openapi import openapi_routes
from ml_backend.prediction_routes import prediction_routes
from ml_backend.services import Services, build_services
from ml_backend.status_routes import status_routes
from ml_backend.version_routes import version_routes
from workers.settings import Settings


def create_app(settings: Settings | None = None, services: Services | None = None) -> Flask:
    """Builds the application of one process.

    Args:
        settings: Read from the environment and the workspace unless given.
        services: Parts to work with; the real ones unless given.

    Raises:
        StackError: A secret is missing.
    """
    if services is None:
        configure_logging()
        services = build_services(settings or Settings.load())
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_JSON_BYTES
    register_error_handlers(app)
    _observe(app, services.counters)
    protect(app, services)
    app.register_blueprint(label_studio_routes(services))
    app.register_blueprint(prediction_routes(services))
    app.register_blueprint(inference_routes(services))
    app.register_blueprint(openapi_routes())
    app.register_blueprint(status_routes(services))
    app.register_blueprint(version_routes(services))
    if services.desk is not None:
        app.register_blueprint(case_routes(services, services.desk))
    return app


def _observe(app: Flask, counters: Counters) -> None:
    """Counts, times and logs every request, and sets the headers that every answer has."""

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()

    @app.after_request
    def end(response: Response) -> Response:
        seconds = time.perf_counter() - g.began
        name = (request.endpoint or "").rpartition(".")[2]
        route = name if name in ROUTES else "other"
        counters.add(REQUESTS, route, f"{response.status_code // 100}xx")
        counters.observe(SECONDS, route, seconds=seconds)
        access_log.info(
            "%s %s %s %d %.1f ms",
            request.remote_addr,
            request.method,
            request.script_root + request.path,
            response.status_code,
            seconds * 1000,
        )
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Cache-Control", "no-store")
        return response
