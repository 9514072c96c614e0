"""Makes and repairs the Label Studio project of a task.

Safe to run at every start: what is right is left alone, what is missing or was changed is put
right, and what a killed or failed run left half done is finished. Nothing is done to projects
that are not ours, nor to webhooks and ML backends that somebody else connected to ours.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.domain import TaskSpec
from data.errors import AccessError, CarpalError, LabelStudioError, ServiceUnavailableError
from labeling_config.client import LabelStudio, ProjectHandle
from labeling_config.project_view import VIEW_TITLE, least_certain_first, without_standards

__all__ = ["ProjectHandle", "ensure_project"]

SECRET_HEADER = "X-Carpal-Webhook-Secret"  # noqa: S105 the header's name
WEBHOOK_ACTIONS = (
    "ANNOTATIONS_CREATED",
    "ANNOTATIONS_DELETED",
    "ANNOTATION_CREATED",
    "ANNOTATION_UPDATED",
    "TASKS_DELETED",
)
"""After these, labels may differ. Sorted, as Label Studio answers them."""
STORAGE_TITLE = "Carpal pool"
BACKEND_NOTE = "Carpal"
"""Description of the ML backend by which we know it again after its address has changed."""
CONNECTED = "CO"
"""State of a backend that Label Studio has just reached."""
FIRST_BACKEND_TITLE = "carpal"
"""Title until the first model serves; then `LabelStudio.set_model_version` changes it."""


def ensure_project(
    client: LabelStudio,
    spec: TaskSpec,
    *,
    backend_url: str,
    backend_user: str,
    backend_password: str,
    webhook_secret: str,
    pool_images: Path,
) -> ProjectHandle:
    """Makes or repairs the project, its image storage, view, webhook and ML backend.

    Args:
        client: Label Studio.
        spec: The task.
        backend_url: The ML backend as Label Studio reaches it.
        backend_user: Name for its basic authentication.
        backend_password: Password for its basic authentication.
        webhook_secret: Value of the secret header of our webhook; also tells our project from
            that of another workspace with the same task.
        pool_images: Folder of the images, below Label Studio's document root.

    Raises:
        ServiceUnavailableError: Label Studio does not answer, or cannot reach the backend; what
            was made until then is kept, and the next call goes on.
        AccessError: A credential is wrong, or Label Studio may not talk to the backend's address.
    """
    project = _find(client, spec, backend_url.rstrip("/"), webhook_secret)
    if project is None:
        project = int(client.request("POST", "/api/projects", body=_settings(spec))["id"])
    _repair_settings(client, project, spec)
    _ensure_storage(client, project, pool_images)
    _ensure_view(client, project)
    access = {
        "url": backend_url.rstrip("/"),
        "project": project,
        "auth_method": "BASIC_AUTH",
        "basic_auth_user": backend_user,
        "basic_auth_pass": backend_password,
        "description": BACKEND_NOTE,
    }
    try:
        # First, because Label Studio makes a webhook without credentials where it finds none.
        _ensure_webhook(client, project, _webhook(access, webhook_secret))
        return ProjectHandle(project, _ensure_backend(client, project, access))
    except (AccessError, LabelStudioError) as error:
        raise _plainly(str(access["url"]), error) from error


def _settings(spec: TaskSpec) -> dict[str, Any]:
    """Returns the project settings that Carpal relies on."""
    return {
        "title": spec.title,
        "description": f"{_mark(spec)} in step with its models and dataset versions.",
        "label_config": spec.config_xml.strip(),  # as Label Studio keeps it
        "sampling": "Uncertainty sampling",
        "show_collab_predictions": True,  # pre-fills the fields, and needed for the sampling
        "evaluate_predictions_automatically": False,  # would predict a page of tasks at a time
        "min_annotations_to_start_training": 0,  # we count ourselves; else a submit waits for it
        "enable_empty_annotation": False,
    }


def _mark(spec: TaskSpec) -> str:
    return f"Carpal keeps this project (task {spec.name})"


def _find(client: LabelStudio, spec: TaskSpec, backend_url: str, webhook_secret: str) -> int | None:
    """Returns our project: one of this task whose webhook is ours, or that nobody has claimed.

    Title and description can be edited by hand, so each is enough beside our webhook.
    """
    params: dict[str, str | int] = {"page_size": 1000, "include": "id,title,description"}
    projects = client.request("GET", "/api/projects", params=params)["results"]
    marked = sorted(int(p["id"]) for p in projects if _mark(spec) in (p["description"] or ""))
    same_title = sorted(int(p["id"]) for p in projects if p["title"] == spec.title)
    unclaimed: int | None = None
    for project in dict.fromkeys((*marked, *same_title)):
        hooks = client.webhooks(project)
        if any(_is_our_webhook(hook, backend_url, webhook_secret) for hook in hooks):
            return project
        claimed = any(SECRET_HEADER in (hook["headers"] or {}) for hook in hooks)
        if project in marked and not claimed and unclaimed is None:
            unclaimed = project
    return unclaimed


def _is_our_webhook(hook: Mapping[str, Any], backend_url: str, secret: str) -> bool:
    given = str((hook["headers"] or {}).get(SECRET_HEADER, ""))
    same_secret = bool(given) and hmac.compare_digest(given.encode(), secret.encode())
    return same_secret or hook["url"] == f"{backend_url}/webhook"


def _repair_settings(client: LabelStudio, project: int, spec: TaskSpec) -> None:
    path = f"/api/projects/{project}/"
    there = client.request("GET", path)
    wrong = {key: value for key, value in _settings(spec).items() if there.get(key) != value}
    if wrong:
        client.request("PATCH", path, body=wrong)


def _ensure_storage(client: LabelStudio, project: int, pool_images: Path) -> None:
    """Lets Label Studio serve the images: it serves only folders that are a project's storage."""
    path = "/api/storages/localfiles/"
    body = {"project": project, "path": str(pool_images.absolute()), "title": STORAGE_TITLE}
    storages = client.request("GET", path, params={"project": project})
    if any(s["path"] == body["path"] for s in storages):
        return
    old = next((s for s in storages if s["title"] == STORAGE_TITLE), None)
    if old is not None:
        client.request("PATCH", f"{path}{old['id']}", body=body)
    else:
        client.request("POST", path, body=body)


def _ensure_view(client: LabelStudio, project: int) -> None:
    views = client.request("GET", "/api/dm/views", params={"project": project})
    ours = next((view for view in views if view["data"].get("title") == VIEW_TITLE), None)
    if ours is None:
        body = {"project": project, "data": least_certain_first()}
        client.request("POST", "/api/dm/views", body=body)
    elif (data := without_standards(ours["data"])) != ours["data"]:
        client.request("PATCH", f"/api/dm/views/{ours['id']}", body={"data": data})


def _webhook(access: Mapping[str, Any], secret: str) -> dict[str, Any]:
    """Returns our webhook; it does not inherit the backend's credentials, so it carries them."""
    pair = f"{access['basic_auth_user']}:{access['basic_auth_pass']}"
    basic = base64.b64encode(pair.encode()).decode()
    return {
        "url": f"{access['url']}/webhook",
        "send_payload": True,
        "send_for_all_actions": False,
        "headers": {SECRET_HEADER: secret, "Authorization": f"Basic {basic}"},
        "is_active": True,
        "actions": list(WEBHOOK_ACTIONS),  # a change that does not name them removes them all
    }


def _ensure_webhook(client: LabelStudio, project: int, wanted: Mapping[str, Any]) -> None:
    """Leaves exactly one webhook to a backend of ours."""
    kept: Mapping[str, Any] | None = None
    for hook in client.webhooks(project):
        if hook["url"] == wanted["url"] and kept is None:
            kept = hook
        elif hook["url"].endswith("/webhook") or SECRET_HEADER in (hook["headers"] or {}):
            client.delete_webhook(int(hook["id"]))  # of an address that the backend had before
    if kept is None:
        client.request("POST", "/api/webhooks/", body={"project": project, **wanted})
    elif any(_sorted(kept.get(key)) != value for key, value in wanted.items()):
        client.request("PATCH", f"/api/webhooks/{kept['id']}/", body=dict(wanted))


def _ensure_backend(client: LabelStudio, project: int, access: Mapping[str, Any]) -> int:
    """Leaves exactly one ML backend of ours, connected; its title, the model version, stays."""
    rows = client.backends(project)
    ours = [r for r in rows if r["url"] == access["url"] or r["description"] == BACKEND_NOTE]
    ours.sort(key=lambda row: (row["url"] != access["url"], row["id"]))
    for extra in ours[1:]:
        client.save_backend("DELETE", int(extra["id"]))
    if not ours:
        return client.save_backend("POST", None, {**access, "title": FIRST_BACKEND_TITLE})
    kept = ours[0]
    same = all(kept.get(k) == access[k] for k in access if k != "basic_auth_pass")
    if not same or kept["state"] != CONNECTED:
        client.save_backend("PATCH", int(kept["id"]), access)
    return int(kept["id"])


def _plainly(url: str, error: AccessError | LabelStudioError) -> CarpalError:
    """Returns what a person can do about Label Studio's refusal to connect the backend."""
    said = str(error)
    if "health check failed" in said:
        return ServiceUnavailableError(
            f"Label Studio cannot reach the ML backend at {url}: start it and try again; the "
            "project is kept."
        )
    if "authentication parameters" in said or "401 Client Error" in said:
        return AccessError(
            f"The ML backend at {url} refuses the name and password that Label Studio was given: "
            "both must be started with the same CARPAL_BACKEND_USER and CARPAL_BACKEND_PASSWORD."
        )
    if "reserved network address" in said:
        return AccessError(
            f"Label Studio may not talk to {url}, an address of a local network: start it with "
            "'carpal up', or see docs/label-studio.md for the setting that lets this address in."
        )
    return error


def _sorted(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value
