"""A stand-in for the ML backend that Label Studio talks to: answers at once, remembers all."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from data.domain import Prediction, TaskSpec
from labeling_config.codec import prediction_to_json, radiograph_of_task_data

USER, PASSWORD, SECRET = "label-studio", "backend-password", "webhook-secret"
AUTHORIZATION = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Asked:
    """One request.

    Attributes:
        path: `/predict` and so on.
        authorized: It carried the basic authentication.
        secret: Value of the webhook secret header, or None.
        body: Decoded JSON; empty for none.
    """

    path: str
    authorized: bool
    secret: str | None
    body: Mapping[str, Any]


@dataclass
class StubBackend:
    """Predicts 100 months, female, with the scores that a test sets.

    Attributes:
        spec: The task.
        version: The model version that it says it serves.
        scores: Radiograph id -> score; 0.5 for others.
        down: It answers every request with status 503.
        open_health: `/health` needs no credentials, as with our backend.
        asked: Every request, in order.
    """

    spec: TaskSpec
    version: str = "none"
    down: bool = False
    open_health: bool = False
    scores: Mapping[str, float] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def paths(self) -> list[str]:
        return [request.path for request in self.asked]

    def webhooks(self) -> list[Asked]:
        return [request for request in self.asked if request.path == "/webhook"]

    def prediction(self, radiograph_id: str) -> Prediction:
        return Prediction(
            radiograph_id,
            self.version,
            {"age_months": 100.0, "sex": "female"},
            {"age_months": (88.0, 112.0)},
            {"sex": {"female": 0.9, "male": 0.1}},
            self.scores.get(radiograph_id, 0.5),
        )

    def answer(self, asked: Asked) -> tuple[int, Mapping[str, Any]]:
        self.asked.append(asked)
        if self.down:
            return 503, {"detail": "Down for the moment."}
        if not asked.authorized and not (self.open_health and asked.path == "/health"):
            return 401, {"detail": "Wrong name or password."}
        if asked.path.endswith("/setup"):
            return 200, {"model_version": self.version}
        if asked.path.endswith("/predict"):
            names = [radiograph_of_task_data(self.spec, t["data"]) for t in asked.body["tasks"]]
            results = [prediction_to_json(self.spec, self.prediction(n or "")) for n in names]
            return 200, {"results": results}
        return 200, {"status": "UP", "model_class": "Stub"}


@contextmanager
def serving(backend: StubBackend, port: int) -> Iterator[None]:
    """Serves the stand-in on a port of this machine during the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _respond(self) -> None:
            payload = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = backend.answer(
                Asked(
                    self.path.partition("?")[0],
                    self.headers.get("Authorization") == AUTHORIZATION,
                    self.headers.get("X-Carpal-Webhook-Secret"),
                    json.loads(payload) if payload else {},
                )
            )
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = _respond  # noqa: N815 the names that http.server looks for

        def log_message(self, format: str, *args: object) -> None:
            """Keeps the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
