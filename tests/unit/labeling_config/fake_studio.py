"""A Label Studio in memory, behind requests: it answers as 1.23.2 was seen to answer."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from requests.adapters import BaseAdapter

from labeling_config.client import LabelStudio

URL = "http://studio.example.org"
TOKEN = "0123456789" * 4
Json = dict[str, Any]


class RefusedError(Exception):
    """An answer with an error status."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


@dataclass
class FakeStudio(BaseAdapter):
    """Label Studio's state, and the requests that it got.

    Attributes:
        reaches: Whether the ML backend at a URL answers with these credentials.
        before: Is called with (method, path) before each request; may raise.
        asked: (method, path) of each request, in order.
        headers: The `Authorization` of each request.
    """

    tables: dict[str, dict[int, Json]] = field(default_factory=dict)
    reaches: Callable[[str, str | None], str] = lambda url, password: ""
    before: Callable[[str, str], None] = lambda method, path: None
    asked: list[tuple[str, str]] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    clock: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def client(self, token: str = TOKEN) -> LabelStudio:
        session = requests.Session()
        session.mount("http://", self)
        return LabelStudio(URL, token, session=session)

    def table(self, name: str) -> dict[int, Json]:
        return self.tables.setdefault(name, {})

    def add(self, table: str, **values: Any) -> Json:
        number = max((n for rows in self.tables.values() for n in rows), default=0) + 1
        row = {"id": number, **values}
        self.table(table)[number] = row
        return row

    def tick(self) -> str:
        self.clock += timedelta(seconds=1)
        return self.clock.isoformat().replace("+00:00", "Z")

    def add_task(self, project: int, data: Json) -> Json:
        return self.add("tasks", project=project, data=data, updated_at=self.tick())

    def annotate(self, task: int, **values: Any) -> Json:
        self.table("tasks")[task]["updated_at"] = self.tick()
        defaults = {"completed_by": 1, "was_cancelled": False, "updated_at": self.tick()}
        return self.add("annotations", task=task, **{**defaults, **values})

    def delete_annotation(self, number: int) -> None:
        task = self.table("annotations").pop(number)["task"]
        if task in self.table("tasks"):
            self.table("tasks")[task]["updated_at"] = self.tick()

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Answers like the real one; called by requests."""
        parts = urlsplit(str(request.url))
        method, path = str(request.method), parts.path.rstrip("/")
        self.asked.append((method, path))
        self.headers.append(request.headers.get("Authorization", ""))
        query = {k: v[0] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
        body = json.loads(request.body) if request.body else {}
        response = requests.Response()
        response.request, response.url = request, str(request.url)
        try:
            self.before(method, path)
            status, answer = 200, self._answer(method, path, query, body)
        except RefusedError as refusal:
            status, answer = refusal.status, refusal.body
        response.status_code = status
        if 300 <= status < 400:
            response.headers["Location"] = f"{URL}/elsewhere"
        response._content = b"" if answer is None else json.dumps(answer).encode()
        return response

    def close(self) -> None:
        """Holds nothing open."""

    def _answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Any:
        for pattern, handler in ROUTES:
            found = re.fullmatch(pattern, f"{method} {path}")
            if found:
                return handler(self, query, body, *(int(number) for number in found.groups()))
        raise RefusedError(404, {"detail": "Not found."})

    def row(self, table: str, number: int) -> Json:
        if number not in self.table(table):
            raise RefusedError(404, {"detail": "No such row."})
        return self.table(table)[number]

    def list_rows(self, table: str, query: Mapping[str, str]) -> list[Json]:
        project = query.get("project")
        rows = self.table(table).values()
        return [r for r in rows if project is None or r["project"] == int(project)]

    def _passes(self, task: Json, item: Json) -> bool:
        name, value = item["filter"].removeprefix("filter:tasks:"), item["value"]
        if name == "id":
            return task["id"] in value if item["operator"] == "in_list" else task["id"] > value
        if name == "updated_at":
            return bool(task["updated_at"].ljust(27, "0") >= value)
        rows = self._of_task(
            "annotations" if name == "annotations_ids" else "predictions", task["id"]
        )
        if name == "annotations_ids":
            return bool(rows)
        return any(value[0] in row["model_version"] for row in rows)

    def _of_task(self, table: str, task: int) -> list[Json]:
        return [row for row in self.table(table).values() if row["task"] == task]

    def list_tasks(self, query: Mapping[str, str]) -> Json:
        filters = json.loads(query["query"])["filters"]["items"]
        rows = [
            task
            for _, task in sorted(self.table("tasks").items())
            if task["project"] == int(query["project"])
            and all(self._passes(task, item) for item in filters)
        ]
        included = query["include"].split(",")
        page = []
        for task in rows[: int(query["page_size"])]:
            annotations = self._of_task("annotations", task["id"])
            ids = ",".join(str(a["id"]) for a in annotations)
            shown = {**task, "annotations_ids": ids[:500]}
            if query["fields"] == "all":
                shown["annotations"] = annotations
                shown["predictions"] = self._of_task("predictions", task["id"])
            page.append({key: shown[key] for key in included if key in shown})
        return {"total": len(rows), "tasks": page}

    def import_predictions(self, project: int, body: list[Json]) -> Json:
        for item in body:
            self.add("predictions", project=project, **item)
        return {"created": len(body)}

    def next_task(self, project: int) -> Json:
        """Answers the task with the lowest score of the project's model version."""
        version = self.row("projects", project)["model_version"]
        waiting = [
            (p["score"], p["task"])
            for p in self.table("predictions").values()
            if p["model_version"] == version and not self._of_task("annotations", p["task"])
        ]
        if not waiting:
            raise RefusedError(404, {"detail": "There are no tasks for a@example.org"})
        task = min(waiting)[1]
        return {**self.row("tasks", task), "predictions": self._of_task("predictions", task)}

    def save_backend(self, body: Json, number: int | None = None) -> Json:
        """Asks the backend with the credentials of this request, as the real one does."""
        said = self.reaches(body["url"], body.get("basic_auth_pass"))
        if said:
            raise RefusedError(400, {"validation_errors": {"non_field_errors": [said]}})
        project = self.row("projects", body["project"])
        there = self.row("ml", number) if number else self.add("ml", title=None)
        if project["model_version"] in ("", there["title"]):
            project["model_version"] = body.get("title", there["title"])
        there |= {k: v for k, v in body.items() if k != "basic_auth_pass"} | {"state": "CO"}
        address = f"{body['url']}/webhook"
        if number is None and all(h["url"] != address for h in self.table("webhooks").values()):
            own = {"headers": {}, "actions": [], "send_for_all_actions": True}
            self.add("webhooks", project=body["project"], url=address, **own)
        return there

    def save(self, table: str, number: int, body: Json) -> Json:
        there = self.row(table, number)
        there |= {"actions": [], **body} if table == "webhooks" else body
        return there


NEW_PROJECT: Json = {"model_version": "", "maximum_annotations": 1}
"""What a new project has beside what it was made with."""


def _import_tasks(studio: FakeStudio, query: Mapping[str, str], body: Any, project: int) -> Json:
    return {"task_ids": [studio.add_task(project, item["data"])["id"] for item in body]}


def _counts(studio: FakeStudio, query: Mapping[str, str], body: Any, project: int) -> Json:
    return dict(Counter(p["model_version"] for p in studio.table("predictions").values()))


def _delete(studio: FakeStudio, table: str, number: int) -> None:
    studio.row(table, number)
    del studio.table(table)[number]


Handler = Callable[..., Any]
ROUTES: list[tuple[str, Handler]] = [
    (r"GET /health", lambda s, q, b: {"status": "UP"}),
    (r"GET /api/current-user/whoami", lambda s, q, b: {"id": 1, "email": "a@example.org"}),
    (r"GET /api/users", lambda s, q, b: list(s.table("users").values())),
    (r"GET /api/tasks", lambda s, q, b: s.list_tasks(q)),
    (r"POST /api/tasks/(\d+)/annotations", lambda s, q, b, n: s.annotate(n, **b)),
    (r"GET /api/annotations/(\d+)", lambda s, q, b, n: s.row("annotations", n)),
    (r"PATCH /api/annotations/(\d+)", lambda s, q, b, n: s.save("annotations", n, b)),
    (r"DELETE /api/annotations/(\d+)", lambda s, q, b, n: s.delete_annotation(n)),
    (r"DELETE /api/predictions/(\d+)", lambda s, q, b, n: _delete(s, "predictions", n)),
    (r"GET /api/projects", lambda s, q, b: {"results": s.list_rows("projects", {})}),
    (r"POST /api/projects", lambda s, q, b: s.add("projects", **{**NEW_PROJECT, **b})),
    (r"GET /api/projects/(\d+)", lambda s, q, b, n: s.row("projects", n)),
    (r"PATCH /api/projects/(\d+)", lambda s, q, b, n: s.save("projects", n, b)),
    (r"GET /api/projects/(\d+)/next", lambda s, q, b, n: s.next_task(n)),
    (r"POST /api/projects/(\d+)/import", _import_tasks),
    (
        r"POST /api/projects/(\d+)/import/predictions",
        lambda s, q, b, n: s.import_predictions(n, b),
    ),
    (r"GET /api/projects/(\d+)/model-versions", _counts),
    (r"GET /api/ml", lambda s, q, b: s.list_rows("ml", q)),
    (r"POST /api/ml", lambda s, q, b: s.save_backend(b)),
    (r"PATCH /api/ml/(\d+)", lambda s, q, b, n: s.save_backend(b, n)),
    (r"DELETE /api/ml/(\d+)", lambda s, q, b, n: _delete(s, "ml", n)),
    (r"GET /api/webhooks", lambda s, q, b: s.list_rows("webhooks", q)),
    (r"POST /api/webhooks", lambda s, q, b: s.add("webhooks", **b)),
    (r"PATCH /api/webhooks/(\d+)", lambda s, q, b, n: s.save("webhooks", n, b)),
    (r"DELETE /api/webhooks/(\d+)", lambda s, q, b, n: _delete(s, "webhooks", n)),
    (r"GET /api/storages/localfiles", lambda s, q, b: s.list_rows("storages", q)),
    (r"POST /api/storages/localfiles", lambda s, q, b: s.add("storages", **b)),
    (r"PATCH /api/storages/localfiles/(\d+)", lambda s, q, b, n: s.save("storages", n, b)),
    (r"GET /api/dm/views", lambda s, q, b: s.list_rows("views", q)),
    (r"POST /api/dm/views", lambda s, q, b: s.add("views", **b)),
    (r"PATCH /api/dm/views/(\d+)", lambda s, q, b, n: s.row("views", n).update(b)),
]
