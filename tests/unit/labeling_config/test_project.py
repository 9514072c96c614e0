"""The project is made once, repaired wherever it was changed, and never taken from others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data.domain import TaskSpec
from data.errors import AccessError, LabelStudioError, ServiceUnavailableError
from labeling_config.project import ProjectHandle, ensure_project
from labeling_config.tasks import load_task
from tests.unit.labeling_config.cases import effusion
from tests.unit.labeling_config.fake_studio import FakeStudio, RefusedError

BONE_AGE = load_task("bone_age")
BACKEND = "http://127.0.0.1:9090"
POOL = Path("/workspace/pool/images")
CHECKED = ("title", "label_config", "sampling", "show_collab_predictions")
DOWN = "Can't connect to ML backend http://x, health check failed. Make sure it is up."


def ensure(studio: FakeStudio, spec: TaskSpec = BONE_AGE, **changes: Any) -> ProjectHandle:
    arguments: dict[str, Any] = {
        "backend_url": BACKEND,
        "backend_user": "label-studio",
        "backend_password": "pw",
        "webhook_secret": "s3cret",
        "pool_images": POOL,
    }
    return ensure_project(studio.client(), spec, **{**arguments, **changes})


def rows(studio: FakeStudio, table: str) -> list[dict[str, Any]]:
    return list(studio.table(table).values())


def writes(studio: FakeStudio) -> list[tuple[str, str]]:
    return [(method, path) for method, path in studio.asked if method != "GET"]


@pytest.fixture
def studio() -> FakeStudio:
    return FakeStudio(
        reaches=lambda url, password: "" if password == "pw" else "authentication parameters"
    )


def test_a_project_is_made_with_all_that_labelling_needs(studio: FakeStudio) -> None:
    handle = ensure(studio)

    (project,), (backend,) = rows(studio, "projects"), rows(studio, "ml")
    assert handle == ProjectHandle(project["id"], backend["id"])
    assert project["title"] == "Bone age"
    assert project["label_config"] == BONE_AGE.config_xml.strip()
    assert project["sampling"] == "Uncertainty sampling"
    assert project["show_collab_predictions"] is True
    assert project["min_annotations_to_start_training"] == 0
    assert (backend["url"], backend["auth_method"]) == (BACKEND, "BASIC_AUTH")
    (storage,) = rows(studio, "storages")
    assert storage["path"] == "/workspace/pool/images"
    (view,) = rows(studio, "views")
    assert view["data"]["ordering"] == ["tasks:predictions_score"]


def test_the_one_webhook_carries_both_credentials_and_only_label_events(
    studio: FakeStudio,
) -> None:
    ensure(studio)

    (hook,) = rows(studio, "webhooks")
    assert hook["url"] == f"{BACKEND}/webhook"
    assert hook["headers"] == {
        "X-Carpal-Webhook-Secret": "s3cret",
        "Authorization": "Basic bGFiZWwtc3R1ZGlvOnB3",  # label-studio:pw
    }
    assert hook["send_for_all_actions"] is False
    assert set(hook["actions"]) == {
        "ANNOTATION_CREATED",
        "ANNOTATIONS_CREATED",
        "ANNOTATION_UPDATED",
        "ANNOTATIONS_DELETED",
        "TASKS_DELETED",
    }


def test_the_second_time_nothing_is_written(studio: FakeStudio) -> None:
    first = ensure(studio)
    studio.asked.clear()

    assert ensure(studio) == first
    assert writes(studio) == []


@pytest.mark.parametrize("key", CHECKED)
def test_a_setting_that_was_changed_is_put_right(studio: FakeStudio, key: str) -> None:
    project = ensure(studio).id
    right = studio.table("projects")[project][key]
    studio.table("projects")[project][key] = "changed"

    ensure(studio)

    assert studio.table("projects")[project][key] == right


def test_the_tab_of_an_older_project_hides_the_html_of_the_reference_cases(
    studio: FakeStudio,
) -> None:
    ensure(studio)
    (view,) = rows(studio, "views")
    view["data"] = {"title": view["data"]["title"], "hiddenColumns": {"explore": ["tasks:id"]}}

    ensure(studio)

    assert view["data"]["hiddenColumns"]["explore"] == ["tasks:id", "tasks:data.standards"]


def test_settings_that_are_none_of_our_business_stay(studio: FakeStudio) -> None:
    project = ensure(studio).id
    studio.table("projects")[project]["maximum_annotations"] = 2

    ensure(studio)

    assert studio.table("projects")[project]["maximum_annotations"] == 2


def test_a_renamed_project_is_still_ours(studio: FakeStudio) -> None:
    handle = ensure(studio)
    studio.table("projects")[handle.id]["title"] = "Hands"

    assert ensure(studio) == handle
    assert len(rows(studio, "projects")) == 1


def test_a_project_whose_description_was_rewritten_is_still_ours(studio: FakeStudio) -> None:
    handle = ensure(studio)
    studio.table("projects")[handle.id]["description"] = "My hands"

    assert ensure(studio) == handle


def test_a_project_of_another_workspace_is_left_alone(studio: FakeStudio) -> None:
    others = ensure(studio, webhook_secret="theirs", backend_url="http://127.0.0.1:7")

    ours = ensure(studio)

    assert ours.id != others.id
    assert len(rows(studio, "projects")) == 2
    assert ensure(studio, webhook_secret="theirs", backend_url="http://127.0.0.1:7") == others


def test_a_project_of_somebody_else_with_the_same_title_is_left_alone(studio: FakeStudio) -> None:
    theirs = studio.add("projects", title="Bone age", description="", label_config="<View/>")
    studio.add("webhooks", project=theirs["id"], url="http://x.org/webhook", headers={})

    assert ensure(studio).id != theirs["id"]
    assert theirs["label_config"] == "<View/>"


def test_each_task_has_its_own_project(studio: FakeStudio, tmp_path: Path) -> None:
    bone_age = ensure(studio)
    other = ensure(studio, effusion(tmp_path))

    assert bone_age.id != other.id
    assert ensure(studio) == bone_age


def test_a_backend_that_is_down_is_said_and_the_next_call_finishes(studio: FakeStudio) -> None:
    up, studio.reaches = studio.reaches, lambda url, password: DOWN
    with pytest.raises(ServiceUnavailableError) as caught:
        ensure(studio)
    assert str(caught.value) == (
        f"Label Studio cannot reach the ML backend at {BACKEND}: start it and try again; the "
        "project is kept."
    )
    (project,) = rows(studio, "projects")

    studio.reaches = up
    handle = ensure(studio)

    assert handle.id == project["id"]
    assert len(rows(studio, "webhooks")) == len(rows(studio, "ml")) == 1


def test_a_start_killed_right_after_the_project_was_made_goes_on_with_it(
    studio: FakeStudio,
) -> None:
    def killed(method: str, path: str) -> None:
        if path.startswith("/api/storages"):
            raise KeyboardInterrupt

    studio.before = killed
    with pytest.raises(KeyboardInterrupt):
        ensure(studio)
    studio.before = lambda method, path: None

    ensure(studio)

    assert len(rows(studio, "projects")) == 1


def test_a_wrong_backend_password_is_said(studio: FakeStudio) -> None:
    with pytest.raises(AccessError, match="CARPAL_BACKEND_PASSWORD"):
        ensure(studio, backend_password="wrong")


def test_an_address_that_label_studio_may_not_ask_is_said(studio: FakeStudio) -> None:
    def forbid(method: str, path: str) -> None:
        if (method, path) == ("POST", "/api/webhooks"):
            said = "URL resolves to a reserved network address (block: 127.0.0.0/8)"
            raise RefusedError(403, {"detail": said})

    studio.before = forbid
    with pytest.raises(AccessError, match=r"may not talk to http://127.*docs/label-studio.md"):
        ensure(studio)


def test_another_refusal_keeps_label_studios_words(studio: FakeStudio) -> None:
    studio.reaches = lambda url, password: "The moon is too bright"

    with pytest.raises(LabelStudioError, match="The moon is too bright"):
        ensure(studio)


def test_a_backend_that_moved_keeps_its_row_and_its_model_version(studio: FakeStudio) -> None:
    handle = ensure(studio)
    studio.table("ml")[handle.backend_id]["title"] = "v0007-1a2b3c4d"

    moved = ensure(studio, backend_url="http://127.0.0.1:9999/")

    assert moved == handle
    (backend,), (hook,) = rows(studio, "ml"), rows(studio, "webhooks")
    assert (backend["url"], backend["title"]) == ("http://127.0.0.1:9999", "v0007-1a2b3c4d")
    assert hook["url"] == "http://127.0.0.1:9999/webhook"


def test_a_backend_that_label_studio_lost_is_connected_again(studio: FakeStudio) -> None:
    handle = ensure(studio)
    studio.table("ml")[handle.backend_id]["state"] = "ER"
    studio.asked.clear()

    assert ensure(studio) == handle
    assert writes(studio) == [("PATCH", f"/api/ml/{handle.backend_id}")]


def test_doubled_backends_and_orphaned_webhooks_are_removed(studio: FakeStudio) -> None:
    handle = ensure(studio)
    studio.add("ml", project=handle.id, url=BACKEND, description="Carpal", title="", state="CO")
    for url in (f"{BACKEND}/webhook", "http://127.0.0.1:1/webhook"):
        studio.add("webhooks", project=handle.id, url=url, headers={}, actions=[])

    assert ensure(studio) == handle

    assert len(rows(studio, "ml")) == 1
    assert [hook["url"] for hook in rows(studio, "webhooks")] == [f"{BACKEND}/webhook"]


def test_what_somebody_else_connected_stays(studio: FakeStudio) -> None:
    handle = ensure(studio)
    theirs = studio.add("webhooks", project=handle.id, url="https://chat.example.org/x", headers={})
    model = studio.add(
        "ml", project=handle.id, url="http://sam:9090", description="", title="SAM", state="DI"
    )

    ensure(studio)

    assert theirs in rows(studio, "webhooks")
    assert model in rows(studio, "ml")


@pytest.mark.parametrize(
    "change",
    [
        {"headers": {"X-Carpal-Webhook-Secret": "s3cret"}},
        {"is_active": False},
        {"actions": []},
        {"send_for_all_actions": True},
    ],
    ids=["credentials gone", "switched off", "no events", "all events"],
)
def test_a_webhook_that_was_changed_is_put_right(
    studio: FakeStudio, change: dict[str, Any]
) -> None:
    ensure(studio)
    (hook,) = rows(studio, "webhooks")
    right = dict(hook)
    hook |= change

    ensure(studio)

    assert rows(studio, "webhooks") == [right]


def test_a_new_secret_reaches_the_webhook_of_the_same_project(studio: FakeStudio) -> None:
    handle = ensure(studio)

    assert ensure(studio, webhook_secret="new") == handle
    (hook,) = rows(studio, "webhooks")
    assert hook["headers"]["X-Carpal-Webhook-Secret"] == "new"


def test_a_pool_that_moved_is_served_from_its_new_place(studio: FakeStudio) -> None:
    ensure(studio)

    ensure(studio, pool_images=Path("/elsewhere/pool/images"))

    (storage,) = rows(studio, "storages")
    assert storage["path"] == "/elsewhere/pool/images"
