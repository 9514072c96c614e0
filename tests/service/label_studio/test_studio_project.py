"""The project in Label Studio is made, repaired and served as Carpal relies on it."""

from __future__ import annotations

import pytest
import requests

from carpal.free_ports import free_port
from data.errors import AccessError, ServiceUnavailableError
from labeling_config.client import ProjectHandle
from labeling_config.codec import values_to_result
from labeling_config.project import WEBHOOK_ACTIONS
from labeling_config.project_view import VIEW_TITLE
from tests.service.label_studio.studio_cases import Studio

pytestmark = pytest.mark.service


def test_ensuring_twice_changes_nothing(studio: Studio, handle: ProjectHandle) -> None:
    before = studio.client.request("GET", f"/api/projects/{handle.id}/")

    again = studio.ensure()

    after = studio.client.request("GET", f"/api/projects/{handle.id}/")
    assert again == handle
    assert after == before
    assert len(studio.client.webhooks(handle.id)) == 1
    assert len(studio.client.backends(handle.id)) == 1


def test_what_a_person_changed_is_put_right(studio: Studio, handle: ProjectHandle) -> None:
    path = f"/api/projects/{handle.id}/"
    (hook,) = studio.client.webhooks(handle.id)
    studio.client.request(
        "PATCH", path, body={"sampling": "Sequential sampling", "title": "My hands"}
    )
    studio.client.delete_webhook(hook["id"])
    studio.client.request("DELETE", f"/api/ml/{handle.backend_id}")

    again = studio.ensure()

    project = studio.client.request("GET", path)
    assert again.id == handle.id
    assert (project["sampling"], project["title"]) == ("Uncertainty sampling", "Bone age")
    (hook,) = studio.client.webhooks(handle.id)
    assert sorted(hook["actions"]) == sorted(WEBHOOK_ACTIONS)


def test_the_backend_is_asked_with_its_credentials(studio: Studio, handle: ProjectHandle) -> None:
    assert {"/health", "/setup"} <= set(studio.backend.paths())
    assert all(request.authorized for request in studio.backend.asked)


OLD_PAGE = """<View>
  <Image name="image" value="$image"/>
  <Number name="age_months" toName="image" min="0" max="240"/>
  <Choices name="sex" toName="image"><Choice value="female"/><Choice value="male"/></Choices>
</View>"""


def test_a_project_with_labels_of_an_older_page_takes_todays(
    studio: Studio, handle: ProjectHandle
) -> None:
    path = f"/api/projects/{handle.id}/"
    studio.client.request("PATCH", path, body={"label_config": OLD_PAGE})
    (task,) = studio.client.import_tasks(handle.id, [{"image": "/x.png", "radiograph": "a" * 64}])
    result = values_to_result(studio.backend.spec, {"age_months": 90.0, "sex": "male"})
    studio.client.submit(task, result)

    assert studio.ensure() == handle

    config = studio.client.request("GET", path)["label_config"]
    assert config == studio.backend.spec.config_xml.strip()


def test_a_task_without_reference_cases_can_be_made_and_gets_them_later(
    studio: Studio, handle: ProjectHandle
) -> None:
    upload = {"image": "/data/upload/1/x.png", "patient": "p"}
    (task,) = studio.client.import_tasks(handle.id, [upload])

    studio.client.set_task_data(task, {**upload, "standards": "<p>Cases</p>"})

    (state,) = (s for s in studio.client.tasks(handle.id) if s.task_id == task)
    assert state.data == {**upload, "standards": "<p>Cases</p>"}


def test_a_backend_that_is_down_is_said_and_the_next_call_finishes(studio: Studio) -> None:
    with pytest.raises(ServiceUnavailableError, match="cannot reach the ML backend"):
        studio.ensure(backend_url=f"http://127.0.0.1:{free_port()}")

    handle = studio.ensure()

    assert len(studio.client.webhooks(handle.id)) == 1
    (backend,) = studio.client.backends(handle.id)
    assert (backend["url"], backend["state"]) == (studio.settings.backend, "CO")
    studio.client.request("DELETE", f"/api/projects/{handle.id}/")


@pytest.mark.parametrize("open_health", [False, True], ids=["health closed", "health open"])
def test_a_wrong_backend_password_is_said(studio: Studio, open_health: bool) -> None:
    studio.backend.open_health = open_health

    with pytest.raises(AccessError, match="CARPAL_BACKEND_PASSWORD"):
        studio.ensure(backend_password="wrong")

    studio.client.request("DELETE", f"/api/projects/{studio.ensure().id}/")


def test_the_first_tab_is_ordered_by_the_models_score(
    studio: Studio, handle: ProjectHandle
) -> None:
    (view,) = studio.client.request("GET", "/api/dm/views", params={"project": handle.id})

    assert view["data"]["title"] == VIEW_TITLE
    assert view["data"]["ordering"] == ["tasks:predictions_score"]


def test_films_of_the_pool_are_shown_and_nothing_beside_it(
    studio: Studio, handle: ProjectHandle
) -> None:
    file = studio.settings.pool / "images" / "ab" / "film.png"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"film")
    (studio.settings.pool / "salt.txt").write_text("secret")
    address = f"{studio.settings.label_studio}/data/local-files/"
    key = {"Authorization": f"Token {studio.settings.label_studio_token}"}

    def status(name: str, headers: dict[str, str]) -> int:
        return requests.get(
            address, params={"d": name}, headers=headers, timeout=30, allow_redirects=False
        ).status_code

    assert status("images/ab/film.png", key) == 200
    assert status("images/ab/film.png", {}) != 200
    assert status("salt.txt", key) != 200
    assert status("images/../salt.txt", key) != 200
    assert status("../secrets.toml", key) != 200
