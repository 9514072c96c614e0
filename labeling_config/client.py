"""Label Studio as Carpal uses it: tasks, annotations, predictions, the label stream."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from data.errors import LabelStudioError, NotFoundError
from labeling_config import queries
from labeling_config.client_connection import Connection
from labeling_config.queries import Json, TaskState, task_state

__all__ = ["LabelStudio", "ProjectHandle", "TaskState"]

IMPORT_CHUNK = 500
"""Tasks in one import."""
PREDICTION_CHUNK = 500
"""Predictions in one import."""
BULK_TIMEOUT_S = 120.0
"""Seconds that Label Studio may take for a chunk; measured: below 2 for 500 predictions."""


BACKEND_TIMEOUT_S = 60.0
"""Seconds for requests in which Label Studio asks a backend up to six times."""


@dataclass(frozen=True, slots=True)
class ProjectHandle:
    """The Label Studio project of a task.

    Attributes:
        id: The project.
        backend_id: Its ML backend, which is us.
    """

    id: int
    backend_id: int


class LabelStudio(Connection):
    """A client of one Label Studio; see `Connection` for its arguments and errors."""

    def whoami(self) -> str:
        """Returns the e-mail address that the token belongs to."""
        return str(self.request("GET", "/api/current-user/whoami")["email"])

    def user_emails(self) -> dict[int, str]:
        """Returns user id -> e-mail address of everybody in the organisation."""
        return {int(u["id"]): str(u["email"]) for u in self.request("GET", "/api/users")}

    def webhooks(self, project: int | None = None) -> list[Json]:
        """Returns the webhooks of a project, or of all projects."""
        params = {} if project is None else {"project": project}
        return list(self.request("GET", "/api/webhooks/", params=params))

    def delete_webhook(self, webhook: int) -> None:
        """Removes a webhook."""
        self.request("DELETE", f"/api/webhooks/{webhook}/")

    def backends(self, project: int) -> list[Json]:
        """Returns a project's ML backends; Label Studio asks each how it is, so this may wait."""
        params = {"project": project}
        return list(self.request("GET", "/api/ml", params=params, timeout_s=BACKEND_TIMEOUT_S))

    def save_backend(self, method: str, backend: int | None, body: Any = None) -> int:
        """Makes (`POST`), changes (`PATCH`) or removes (`DELETE`) an ML backend; returns its id.

        Label Studio asks the backend with the credentials in `body` before it saves.
        """
        path = "/api/ml" if backend is None else f"/api/ml/{backend}"
        answer = self.request(method, path, body=body, timeout_s=BACKEND_TIMEOUT_S)
        return int(answer["id"]) if answer else 0

    def tasks(self, project: int, after: int = 0) -> Iterator[TaskState]:
        """Yields the tasks of a project with a greater id than `after`, by id, unannotated."""
        for answer in self._answers(project, [], "id,data,updated_at", after=after):
            yield task_state(answer)

    def annotated_tasks(
        self, project: int, changed_since: datetime | None = None
    ) -> Iterator[TaskState]:
        """Yields tasks with their annotations, by id.

        Args:
            project: Project id.
            changed_since: Only tasks that changed at or after this time of Label Studio's clock:
                new, changed, skipped and deleted annotations show (a task that lost its last
                annotation comes without any), a deleted task does not. None: every task that has
                an annotation.
        """
        chosen = (
            queries.annotated() if changed_since is None else queries.changed_since(changed_since)
        )
        return self._pages(project, [chosen], queries.ANNOTATION_FIELDS, everything=True)

    def annotation_ids(self, project: int) -> set[int]:
        """Returns the ids of all annotations that exist, skipped ones included."""
        found: set[int] = set()
        cut: list[int] = []
        for answer in self._answers(project, [queries.annotated()], "id,annotations_ids"):
            text = str(answer.get("annotations_ids") or "")
            if len(text) >= queries.MAX_IDS_TEXT:
                cut.append(int(answer["id"]))
            else:
                found.update(int(number) for number in text.split(","))
        if cut:
            for state in self._answers(
                project, [queries.one_of(cut)], "id,annotations", everything=True
            ):
                found.update(int(annotation["id"]) for annotation in state["annotations"])
        return found

    def annotation_exists(self, annotation: int) -> bool:
        """Returns whether Label Studio has an annotation of that id."""
        try:
            self.request("GET", f"/api/annotations/{annotation}/")
        except NotFoundError:
            return False
        return True

    def import_tasks(self, project: int, data: Sequence[Mapping[str, Any]]) -> list[int]:
        """Makes a task for each `data`; returns their ids in the same order."""
        ids: list[int] = []
        for start in range(0, len(data), IMPORT_CHUNK):
            chunk = [{"data": dict(item)} for item in data[start : start + IMPORT_CHUNK]]
            answer = self.request(
                "POST",
                f"/api/projects/{project}/import",
                params={"return_task_ids": "true"},
                body=chunk,
                timeout_s=BULK_TIMEOUT_S,
            )
            made = list(answer.get("task_ids") or [])
            if len(made) != len(chunk):
                raise LabelStudioError(
                    f"Label Studio made {len(made)} tasks of {len(chunk)}; import them again."
                )
            ids += made
        return ids

    def set_task_data(self, task: int, data: Mapping[str, Any]) -> None:
        """Replaces the `data` of a task: every key that is to stay must be told.

        Raises:
            NotFoundError: There is no such task.
        """
        self.request("PATCH", f"/api/tasks/{task}", body={"data": dict(data)})

    def next_task(self, project: int) -> TaskState | None:
        """Returns the task that an annotator gets next, and holds it for us; None: all done."""
        try:
            return task_state(self.request("GET", f"/api/projects/{project}/next"))
        except NotFoundError as error:
            if "There are no tasks" in str(error):
                return None
            raise

    def submit(
        self,
        task: int,
        result: Sequence[Mapping[str, Any]],
        *,
        lead_time_s: float | None = None,
        parent_prediction: int | None = None,
        skipped: bool = False,
    ) -> Json:
        """Submits an annotation as an annotator's page does; returns it."""
        body: Json = {"result": list(result), "was_cancelled": skipped}
        if lead_time_s is not None:
            body["lead_time"] = lead_time_s
        if parent_prediction is not None:
            body["parent_prediction"] = parent_prediction
        return dict(self.request("POST", f"/api/tasks/{task}/annotations/", body=body))

    def update_annotation(self, annotation: int, result: Sequence[Mapping[str, Any]]) -> Json:
        """Replaces the result of an annotation; returns it."""
        body = {"result": list(result)}
        return dict(self.request("PATCH", f"/api/annotations/{annotation}/", body=body))

    def delete_annotation(self, annotation: int) -> None:
        """Deletes an annotation."""
        self.request("DELETE", f"/api/annotations/{annotation}/")

    def write_predictions(self, project: int, rows: Sequence[tuple[int, Mapping[str, Any]]]) -> int:
        """Gives tasks their predictions, once: a task keeps one prediction of a model version.

        Args:
            project: Project id.
            rows: (task id, prediction as `codec.prediction_to_json` makes it), one version.

        Returns:
            Predictions written; tasks that had one of this version already are left out.
        """
        written = 0
        for version in {str(prediction["model_version"]) for _, prediction in rows}:
            wanted = {t: p for t, p in rows if p["model_version"] == version}
            tasks = sorted(wanted)
            for start in range(0, len(tasks), PREDICTION_CHUNK):
                chunk = tasks[start : start + PREDICTION_CHUNK]
                written += self._write_chunk(project, version, {t: wanted[t] for t in chunk})
        return written

    def prediction_counts(self, project: int) -> dict[str, int]:
        """Returns model version -> predictions that Label Studio has of it."""
        answer = self.request("GET", f"/api/projects/{project}/model-versions/")
        return {str(k): int(v) for k, v in answer.items()}

    def set_model_version(
        self, handle: ProjectHandle, version: str, *, backend_user: str, backend_password: str
    ) -> None:
        """Makes the label stream serve by the scores of a model version, the lowest first.

        The backend's title becomes the version: only then does Label Studio both order by the
        stored predictions and ask the backend for a task that has none. It checks the backend
        while it saves, with the credentials of this very request.

        Raises:
            LabelStudioError: The backend does not answer Label Studio, or refuses its credentials.
        """
        backend = next((b for b in self.backends(handle.id) if b["id"] == handle.backend_id), None)
        if backend is None:
            raise NotFoundError(
                f"Project {handle.id} of Label Studio has lost its ML backend: restart Carpal."
            )
        if backend["title"] != version:
            body = {
                "title": version,
                "url": backend["url"],
                "project": handle.id,
                "auth_method": "BASIC_AUTH",
                "basic_auth_user": backend_user,
                "basic_auth_pass": backend_password,
            }
            self.save_backend("PATCH", handle.backend_id, body)
        path = f"/api/projects/{handle.id}/"
        if self.request("GET", path)["model_version"] != version:
            self.request("PATCH", path, body={"model_version": version})

    def _write_chunk(
        self, project: int, version: str, predictions: Mapping[int, Mapping[str, Any]]
    ) -> int:
        before = self.prediction_counts(project).get(version, 0)
        known = self._predicted(project, version, predictions) if before else set()
        rows = [{"task": t, **p} for t, p in predictions.items() if t not in known]
        if not rows:
            return 0
        path = f"/api/projects/{project}/import/predictions"
        self.request("POST", path, body=rows, timeout_s=BULK_TIMEOUT_S)
        if self.prediction_counts(project).get(version, 0) != before + len(rows):
            # Meanwhile an expert opened a task and Label Studio asked the backend itself.
            self._drop_doubles(project, version, predictions)
        return len(rows)

    def _predicted(self, project: int, version: str, tasks: Collection[int]) -> set[int]:
        filters = [queries.one_of(list(tasks)), queries.predicted_by(version)]
        return {int(answer["id"]) for answer in self._answers(project, filters, "id")}

    def _drop_doubles(self, project: int, version: str, tasks: Collection[int]) -> None:
        """Removes all but the first prediction of a version from each task."""
        filters = [queries.one_of(list(tasks))]
        fields = "id,predictions,model_version"
        for answer in self._answers(project, filters, fields, everything=True):
            own = [int(p["id"]) for p in answer["predictions"] if p["model_version"] == version]
            for double in sorted(own)[1:]:
                self.request("DELETE", f"/api/predictions/{double}/")

    def _pages(
        self, project: int, filters: Sequence[Json], fields: str, *, everything: bool = False
    ) -> Iterator[TaskState]:
        for answer in self._answers(project, filters, fields, everything=everything):
            yield task_state(answer)

    def _answers(
        self,
        project: int,
        filters: Sequence[Json],
        fields: str,
        *,
        everything: bool = False,
        after: int = 0,
    ) -> Iterator[Json]:
        """Yields the tasks behind id `after` by id, until an answer is empty.

        A short answer is no sign of the end: Label Studio counts first and cuts the list by that
        count afterwards, so a task that joins the list in between pushes the last one out.
        """
        last = after
        while True:
            behind = [*filters, queries.behind(last)]
            params = queries.task_list(project, behind, fields, everything=everything)
            page = self.request("GET", "/api/tasks", params=params, timeout_s=BULK_TIMEOUT_S)
            if not page["tasks"]:
                return
            yield from page["tasks"]
            last = int(page["tasks"][-1]["id"])
