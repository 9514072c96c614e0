"""What Carpal relies on, held against a real Label Studio with a stand-in for our backend."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from playwright.sync_api import Page, expect, sync_playwright

from carpal import label_studio
from carpal.free_ports import free_port
from data.domain import Radiograph, Split, TaskSpec
from data.errors import AccessError, InvalidInputError, LabelStudioError, ServiceUnavailableError
from data.images.decoding import encode_png
from data.ledger.ledger import Ledger
from data.phantoms.drawing import draw_hand
from data.readers.consensus import consensus
from labeling_config.client import LabelStudio, ProjectHandle, TaskState
from labeling_config.codec import (
    annotation_to_reading,
    prediction_to_json,
    result_to_values,
    task_data,
    values_to_result,
)
from labeling_config.project import WEBHOOK_ACTIONS, ensure_project
from labeling_config.project_view import VIEW_TITLE
from labeling_config.tasks import load_task
from tests.service.stub_backend import PASSWORD, SECRET, USER, StubBackend, serving
from tests.support import eventually, missing
from workers.adoption import Adopter, not_adopted
from workers.bootstrap import PROJECT
from workers.reconcile import reconcile_labels
from workers.settings import Settings, ensure_secrets

pytestmark = pytest.mark.service

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-ls" / "bin" / "python"
START_LIMIT_S = 240.0


@dataclass
class Studio:
    """A running Label Studio.

    Attributes:
        settings: Of its workspace.
        process: The server.
        client: Signed in as the account that Carpal makes.
        backend: What it talks to.
    """

    settings: Settings
    process: subprocess.Popen[bytes]
    client: LabelStudio
    backend: StubBackend

    def ensure(self, **changes: Any) -> ProjectHandle:
        arguments: dict[str, Any] = {
            "backend_url": self.settings.backend,
            "backend_user": USER,
            "backend_password": PASSWORD,
            "webhook_secret": SECRET,
            "pool_images": self.settings.pool / "images",
        }
        return ensure_project(self.client, self.backend.spec, **{**arguments, **changes})

    def changes_after_now(self, project: int) -> datetime:
        """Returns a time after every change that there was in a project."""
        states = [state.updated_at for state in self.client.tasks(project)]
        return max(states) + timedelta(microseconds=1)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    if not PYTHON.exists():
        missing(f"Label Studio is not installed in {PYTHON.parent.parent.name}: run 'make setup'")
    home = tmp_path_factory.mktemp("label-studio") / "workspace"
    ensure_secrets(home)
    settings = replace(
        Settings.load({"CARPAL_HOME": str(home)}),
        label_studio_python=PYTHON,
        label_studio_port=free_port(),
        backend_port=free_port(),
    )
    label_studio.prepare_template(PYTHON)
    assert label_studio.seed_workspace(settings)
    backend = StubBackend(load_task("bone_age"))
    client = LabelStudio(settings.label_studio, settings.label_studio_token, timeout_s=30)
    environment = {"PATH": os.defpath, "HOME": str(home), **label_studio.environment(settings)}
    with (
        serving(backend, settings.backend_port),
        (home / "label-studio.log").open("wb") as log,
        subprocess.Popen(
            label_studio.argv(settings), env=environment, cwd=home, stdout=log, stderr=log
        ) as process,
    ):
        try:
            assert eventually(lambda: label_studio.ready(settings), START_LIMIT_S)
            yield Studio(settings, process, client, backend)
        finally:
            client.close()
            process.terminate()


@pytest.fixture(autouse=True)
def a_fresh_backend(studio: Studio) -> None:
    studio.backend.version = "none"
    studio.backend.scores = {}
    studio.backend.down = studio.backend.open_health = False
    studio.backend.asked.clear()


@pytest.fixture
def spec(studio: Studio) -> TaskSpec:
    return studio.backend.spec


@pytest.fixture
def handle(studio: Studio) -> Iterator[ProjectHandle]:
    handle = studio.ensure()
    yield handle
    studio.client.request("DELETE", f"/api/projects/{handle.id}/")


def radiographs(count: int) -> list[Radiograph]:
    return [
        Radiograph(
            f"{number:064x}",
            f"{number:016x}",
            Split.TRAIN,
            "test",
            f"images/ab/{number:064x}.png",
            9,
            9,
            datetime.now(UTC),
        )
        for number in range(count)
    ]


def with_tasks(studio: Studio, handle: ProjectHandle, count: int) -> list[tuple[int, str]]:
    """Given tasks; returns (task, radiograph) in the order in which they were made."""
    films = radiographs(count)
    data = [task_data(studio.backend.spec, film) for film in films]
    ids = studio.client.import_tasks(handle.id, data)
    return list(zip(ids, (film.id for film in films), strict=True))


def serve(studio: Studio, handle: ProjectHandle, version: str, scores: dict[str, float]) -> None:
    """Makes the backend serve a version, and Label Studio's stream follow it."""
    studio.backend.version = version
    studio.backend.scores = scores
    studio.client.set_model_version(handle, version, backend_user=USER, backend_password=PASSWORD)


def write(studio: Studio, handle: ProjectHandle, tasks: list[tuple[int, str]]) -> int:
    rows = [
        (t, prediction_to_json(studio.backend.spec, studio.backend.prediction(r))) for t, r in tasks
    ]
    return studio.client.write_predictions(handle.id, rows)


def label_next(studio: Studio, handle: ProjectHandle, age: float = 90.0) -> TaskState:
    state = studio.client.next_task(handle.id)
    assert state is not None
    result = values_to_result(studio.backend.spec, {"age_months": age, "sex": "male"})
    studio.client.submit(state.task_id, result, lead_time_s=2.0)
    return state


def shuffled_scores(names: list[str], seed: int) -> dict[str, float]:
    return {name: (seed * (7 + 11 * i)) % 101 / 101 for i, name in enumerate(names)}


# ---- how it is started


def test_it_listens_on_this_machine_only(studio: Studio) -> None:
    listening = [
        c.laddr.ip
        for c in psutil.Process(studio.process.pid).net_connections("tcp")
        if c.status == psutil.CONN_LISTEN
    ]

    assert listening == ["127.0.0.1"]


def test_no_secret_stands_on_its_command_line(studio: Studio) -> None:
    line = " ".join(psutil.Process(studio.process.pid).cmdline())

    for secret in (studio.settings.label_studio_token, studio.settings.label_studio_password):
        assert secret not in line


def test_strangers_cannot_sign_up(studio: Studio) -> None:
    session = requests.Session()
    page = f"{studio.settings.label_studio}/user/signup/"
    session.get(page, timeout=30)
    form = {
        "email": "stranger@example.org",
        "password": "long-enough-1",
        "csrfmiddlewaretoken": session.cookies["csrftoken"],
    }

    answer = session.post(page, data=form, headers={"Referer": page}, timeout=30)
    session.close()

    assert answer.status_code == 403
    assert set(studio.client.user_emails().values()) == {studio.settings.label_studio_email}


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_both_names_of_this_machine_lead_to_the_sign_in_page(studio: Studio, name: str) -> None:
    url = f"http://{name}:{studio.settings.label_studio_port}/user/login/"

    assert requests.get(url, timeout=30).status_code == 200


def test_no_other_name_is_answered(studio: Studio) -> None:
    url = f"http://127.0.0.1:{studio.settings.label_studio_port}/user/login/"

    answer = requests.get(url, headers={"Host": "evil.example.org"}, timeout=30)

    assert answer.status_code == 400


def test_its_secrets_are_readable_by_their_owner_alone(studio: Studio) -> None:
    folder = studio.settings.home / "label-studio"

    assert folder.stat().st_mode & 0o077 == 0


def test_the_list_of_banned_networks_is_label_studios_own() -> None:
    (source,) = PYTHON.parent.parent.glob("lib/*/site-packages/label_studio/core/utils/io.py")
    block = source.read_text().split("default_banned_subnets = [")[1].split("]")[0]

    assert re.findall(r"'([0-9a-f:./]+)'", block) == list(label_studio.BANNED_SUBNETS)


@pytest.mark.parametrize("host", ["127.0.0.2", "10.0.0.1", "169.254.169.254"])
def test_no_local_address_but_the_backends_can_be_reached_through_it(
    studio: Studio, handle: ProjectHandle, host: str
) -> None:
    port = studio.settings.backend_port

    with pytest.raises(AccessError, match="may not talk to"):
        studio.ensure(backend_url=f"http://{host}:{port}")


# ---- the project


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


# ---- labels


def test_every_change_of_a_label_is_hinted_with_our_secret(
    studio: Studio, handle: ProjectHandle, spec: TaskSpec
) -> None:
    (task, _), *_ = with_tasks(studio, handle, 2)
    studio.backend.asked.clear()
    result = values_to_result(spec, {"age_months": 90.0, "sex": "male"})

    made = studio.client.submit(task, result)
    studio.client.update_annotation(made["id"], result[:1])
    studio.client.delete_annotation(made["id"])
    studio.client.submit(task, [], skipped=True)

    hooks = studio.backend.webhooks()
    assert [hook.body["action"] for hook in hooks] == [
        "ANNOTATION_CREATED",
        "ANNOTATION_UPDATED",
        "ANNOTATIONS_DELETED",
        "ANNOTATION_CREATED",
    ]
    assert all(hook.authorized and hook.secret == SECRET for hook in hooks)


def test_a_submission_becomes_a_reading(
    studio: Studio, handle: ProjectHandle, spec: TaskSpec
) -> None:
    tasks = with_tasks(studio, handle, 1)
    serve(studio, handle, "v0001-aaaaaaaa", {})
    write(studio, handle, tasks)
    state = studio.client.next_task(handle.id)
    assert state is not None
    shown = result_to_values(spec, state.predictions[0]["result"])
    said = {"age_months": 120.0, "sex": "female"}

    studio.client.submit(
        state.task_id,
        values_to_result(spec, said, shown),
        lead_time_s=7.5,
        parent_prediction=state.predictions[0]["id"],
    )

    (state,) = studio.client.annotated_tasks(handle.id)
    (annotation,) = state.annotations
    reader = studio.client.user_emails()[annotation["completed_by"]]
    reading = annotation_to_reading(
        spec, annotation, project=handle.id, radiograph_id=tasks[0][1], reader=reader
    )
    assert shown == {"age_months": 100.0, "sex": "female"}
    assert dict(reading.values) == said
    assert reading.origin == "prediction-changed"
    assert reading.reader == studio.settings.label_studio_email
    assert reading.lead_time_s == 7.5


def test_label_studio_takes_an_impossible_age_and_we_do_not(
    studio: Studio, handle: ProjectHandle, spec: TaskSpec
) -> None:
    ((task, radiograph_id),) = with_tasks(studio, handle, 1)
    result = values_to_result(spec, {"age_months": 90.0})
    result[0]["value"]["number"] = 999

    made = studio.client.submit(task, result)

    with pytest.raises(InvalidInputError, match="'age_months' cannot be 999"):
        annotation_to_reading(spec, made, project=1, radiograph_id=radiograph_id, reader="x")


def test_what_changed_since_a_time_is_found(
    studio: Studio, handle: ProjectHandle, spec: TaskSpec
) -> None:
    tasks = [task for task, _ in with_tasks(studio, handle, 6)]
    result = values_to_result(spec, {"age_months": 90.0, "sex": "male"})
    client = studio.client
    kept = {task: client.submit(task, result)["id"] for task in tasks[:5]}

    def changed_by(change: Any) -> dict[int, list[int]]:
        since = studio.changes_after_now(handle.id)
        change()
        states = client.annotated_tasks(handle.id, since)
        return {s.task_id: [a["id"] for a in s.annotations] for s in states}

    assert changed_by(lambda: None) == {}
    assert changed_by(lambda: client.update_annotation(kept[tasks[0]], result[:1])) == {
        tasks[0]: [kept[tasks[0]]]
    }
    assert changed_by(lambda: client.delete_annotation(kept[tasks[1]])) == {tasks[1]: []}
    assert list(changed_by(lambda: client.submit(tasks[5], [], skipped=True))) == [tasks[5]]
    assert changed_by(
        lambda: client.request(
            "POST",
            "/api/dm/actions",
            params={"id": "delete_tasks_annotations", "project": handle.id},
            body={"selectedItems": {"all": False, "included": tasks[2:4]}},
        )
    ) == {tasks[2]: [], tasks[3]: []}


def test_annotations_that_went_with_their_task_are_missed(
    studio: Studio, handle: ProjectHandle, spec: TaskSpec
) -> None:
    tasks = [task for task, _ in with_tasks(studio, handle, 3)]
    result = values_to_result(spec, {"age_months": 90.0, "sex": "male"})
    ids = [studio.client.submit(task, result)["id"] for task in tasks]
    skipped = studio.client.submit(tasks[0], [], skipped=True)["id"]
    assert studio.client.annotation_ids(handle.id) == {*ids, skipped}

    studio.client.request("DELETE", f"/api/tasks/{tasks[1]}/")

    assert studio.client.annotation_ids(handle.id) == {ids[0], ids[2], skipped}


def upload(studio: Studio, handle: ProjectHandle, name: str, payload: bytes) -> None:
    """Uploads a file as the page's Import button does."""
    answer = requests.post(
        f"{studio.settings.label_studio}/api/projects/{handle.id}/import",
        params={"commit_to_project": "true"},
        headers={"Authorization": f"Token {studio.settings.label_studio_token}"},
        files={"file": (name, payload)},
        timeout=30,
    )
    assert answer.status_code == 201, answer.text


def test_an_uploaded_image_is_adopted_and_its_label_counts(
    studio: Studio, handle: ProjectHandle, spec: TaskSpec, tmp_path: Path
) -> None:
    settings = replace(studio.settings, home=tmp_path)
    film = encode_png(draw_hand(96.0, "female", seed=5, size=128))
    upload(studio, handle, "my hand.png", film)
    upload(studio, handle, "broken.png", b"no image")
    table = f"image,patient\n/data/upload/{handle.id}/gone.png,P7\nhttp://example.org/a.png,P8\n"
    upload(studio, handle, "table.csv", table.encode())
    for state in studio.client.tasks(handle.id):
        if "my_hand" in str(state.data[spec.image_key]):
            said = values_to_result(spec, {"age_months": 96.0, "sex": "female"})
            studio.client.submit(state.task_id, said)

    with Ledger.open(settings.ledger) as ledger:
        ledger.set_state(PROJECT, json.dumps({"id": handle.id, "backend_id": handle.backend_id}))
        adopter = Adopter.of(settings)
        report = reconcile_labels(studio.client, ledger, spec, adopter=adopter)
        refused = not_adopted(ledger)
        (row,) = consensus(ledger.radiographs(), ledger.readings(), spec)

    assert len(report.adopted) == 1
    assert dict(row.values) == {"age_months": 96.0, "sex": "female"}
    assert row.radiograph.source == "label-studio"
    assert (settings.pool / row.radiograph.path).read_bytes() == film
    assert len(refused) == 3
    for reason in ("not an image that can be read", "has no upload", "leads neither into the pool"):
        assert reason in " ".join(refused)


def test_a_personal_access_token_is_as_good_as_a_key(studio: Studio) -> None:
    token = studio.client.request("POST", "/api/token/")["token"]
    client = LabelStudio(studio.settings.label_studio, token)

    assert client.whoami() == studio.settings.label_studio_email
    client.close()


def test_a_wrong_key_is_refused_in_one_sentence(studio: Studio) -> None:
    client = LabelStudio(studio.settings.label_studio, "0" * 40)

    with pytest.raises(AccessError, match="Invalid token"):
        client.whoami()
    client.close()


# ---- the stream


def test_the_stream_serves_the_least_certain_first_after_each_retraining(
    studio: Studio, handle: ProjectHandle
) -> None:
    tasks = with_tasks(studio, handle, 24)
    names = [name for _, name in tasks]
    done: set[int] = set()
    for version, seed in {"v0001-aaaaaaaa": 1, "v0002-bbbbbbbb": 5, "v0003-cccccccc": 9}.items():
        scores = shuffled_scores(names, seed)
        serve(studio, handle, version, scores)
        write(studio, handle, tasks)
        expected = [t for t, r in sorted(tasks, key=lambda p: scores[p[1]]) if t not in done][:6]

        served = [label_next(studio, handle).task_id for _ in range(6)]

        assert served == expected
        done |= set(served)


def test_no_task_is_predicted_twice_by_one_version(studio: Studio, handle: ProjectHandle) -> None:
    tasks = with_tasks(studio, handle, 8)
    serve(studio, handle, "v0001-aaaaaaaa", {})
    write(studio, handle, tasks)
    studio.backend.version = "v0002-bbbbbbbb"
    opened = studio.client.next_task(handle.id)
    assert opened is not None
    assert [p["model_version"] for p in opened.predictions] == ["v0002-bbbbbbbb"]

    serve(studio, handle, "v0002-bbbbbbbb", {})
    assert write(studio, handle, tasks) == 7
    assert write(studio, handle, tasks) == 0

    assert studio.client.prediction_counts(handle.id) == {
        "v0001-aaaaaaaa": 8,
        "v0002-bbbbbbbb": 8,
    }


def test_a_task_without_prediction_is_predicted_when_it_is_opened(
    studio: Studio, handle: ProjectHandle
) -> None:
    with_tasks(studio, handle, 1)
    serve(studio, handle, "v0001-aaaaaaaa", {})

    state = studio.client.next_task(handle.id)

    assert state is not None
    assert studio.backend.paths().count("/predict") == 1
    (prediction,) = state.predictions
    values = result_to_values(studio.backend.spec, prediction["result"])
    assert values == {"age_months": 100.0, "sex": "female"}


def test_a_backend_that_is_down_stops_nobody_from_labelling(
    studio: Studio, handle: ProjectHandle
) -> None:
    tasks = with_tasks(studio, handle, 2)
    serve(studio, handle, "v0001-aaaaaaaa", {tasks[1][1]: 0.1})
    write(studio, handle, tasks)
    studio.backend.down = True

    state = label_next(studio, handle)

    assert (state.task_id, state.predictions) == (tasks[1][0], ())
    assert len(studio.client.annotation_ids(handle.id)) == 1


def test_a_version_cannot_be_served_while_the_backend_refuses_label_studio(
    studio: Studio, handle: ProjectHandle
) -> None:
    with pytest.raises(LabelStudioError):
        studio.client.set_model_version(
            handle, "v0001-aaaaaaaa", backend_user=USER, backend_password="wrong"
        )


def test_the_stream_is_dry_when_all_is_labelled(studio: Studio, handle: ProjectHandle) -> None:
    with_tasks(studio, handle, 1)
    label_next(studio, handle)

    assert studio.client.next_task(handle.id) is None


# ---- the page


@pytest.fixture
def page(studio: Studio, chromium: str) -> Iterator[Page]:
    """A page of an expert who has signed in, on a laptop's screen."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(60_000)
        page.goto(f"{studio.settings.label_studio}/user/login/")
        page.fill("input[name=email]", studio.settings.label_studio_email)
        page.fill("input[name=password]", studio.settings.label_studio_password)
        page.click("button[type=submit]")
        page.wait_for_url(re.compile(r"/$|/projects"))
        yield page
        browser.close()


def with_films(studio: Studio, handle: ProjectHandle, count: int) -> list[tuple[int, str]]:
    tasks = with_tasks(studio, handle, count)
    folder = studio.settings.pool / "images" / "ab"
    folder.mkdir(parents=True, exist_ok=True)
    for number, (_, name) in enumerate(tasks):
        film = draw_hand(60.0 + 30 * number, "female", seed=number, size=512)
        (folder / f"{name}.png").write_bytes(encode_png(film))
    return tasks


@pytest.mark.browser
def test_the_expert_reads_corrects_and_submits_without_scrolling(
    studio: Studio, handle: ProjectHandle, spec: TaskSpec, page: Page
) -> None:
    (first, one), (second, two) = with_films(studio, handle, 2)
    serve(studio, handle, "v0001-aaaaaaaa", {one: 0.8, two: 0.3})
    write(studio, handle, [(first, one), (second, two)])

    page.goto(f"{studio.settings.label_studio}/projects/{handle.id}/data?labeling=1")
    age = page.locator("input[name=age_months]")
    expect(age).to_have_value("100")
    expect(page.locator("input[name=female]")).to_be_checked()
    for text in ("Model: 88–112 months (7 y 4 m – 9 y 4 m), 90 %", "Model version v0001-aaaaaaaa"):
        expect(page.get_by_text(text)).to_be_visible()
    expect(page.locator("input[name=age_months_model]")).to_have_count(0)
    expect(page.locator("[data-testid=htx-textbox-delete-button]").first).to_be_hidden()

    film = page.locator("canvas").first.bounding_box()
    field = age.bounding_box()
    submit = page.locator("[data-testid=bottombar-submit-button]").bounding_box()
    assert film is not None
    assert field is not None
    assert submit is not None
    assert film["height"] >= 600
    assert film["x"] + film["width"] < field["x"], "the field stands beside the film"
    for box in (film, field, submit):
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 900

    page.keyboard.press("m")
    expect(page.locator("input[name=male]")).to_be_checked()
    age.fill("123")
    page.keyboard.press("Tab")
    page.click("[data-testid=bottombar-submit-button]")

    assert eventually(lambda: bool(list(studio.client.annotated_tasks(handle.id))))
    (state,) = studio.client.annotated_tasks(handle.id)
    reading = annotation_to_reading(
        spec, state.annotations[0], project=handle.id, radiograph_id=two, reader="x"
    )
    assert state.task_id == second, "the less certain film comes first"
    assert dict(reading.values) == {"age_months": 123.0, "sex": "male"}
    assert reading.origin == "prediction-changed"


@pytest.mark.browser
def test_without_a_model_the_fields_are_empty_and_nothing_else_can_be_typed(
    studio: Studio, handle: ProjectHandle, page: Page
) -> None:
    studio.client.request("DELETE", f"/api/ml/{handle.backend_id}")
    with_films(studio, handle, 1)

    page.goto(f"{studio.settings.label_studio}/projects/{handle.id}/data?labeling=1")

    expect(page.locator("input[name=age_months]")).to_have_value("")
    expect(page.locator("input[name=male]")).not_to_be_checked()
    expect(page.locator("input[name=age_months_model]")).to_be_hidden()
    expect(page.locator("[data-testid=bottombar-submit-button]")).to_be_disabled()
