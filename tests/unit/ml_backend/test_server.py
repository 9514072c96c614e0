"""One server, several workspaces: each below its prefix, none in another's way."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.datastructures import Authorization
from werkzeug.test import Client, TestResponse

from data.errors import LedgerError, StackError
from ml_backend.app import create_app
from ml_backend.metrics import Counters, shared_counters
from ml_backend.server import MountedWorkspace, mounted
from ml_backend.serving import ModelServer
from tests.support import eventually
from tests.unit.ml_backend.conftest import PASSWORD, SECRET, USER, Backend
from tests.unit.ml_backend.desk_cases import TASK, case_desk
from tests.unit.ml_backend.fakes import (
    SPEC,
    FakeLedger,
    FakePredictor,
    FakeRegistry,
    png,
    put_into_pool,
    task_of,
)

HAND = replace(SPEC, name="hand", title="Hand")
HAND_PASSWORD, HAND_SECRET = "hand-password", "hand-secret"
MAIN_AUTH = Authorization("basic", {"username": USER, "password": PASSWORD})
HAND_AUTH = Authorization("basic", {"username": USER, "password": HAND_PASSWORD})


class Refuses:
    """Opens a workspace at the last of so many attempts."""

    def __init__(self, error: Exception, app: Flask, failures: int) -> None:
        self.error, self.app, self.failures = error, app, failures

    def __call__(self) -> Flask:
        self.failures -= 1
        if self.failures >= 0:
            raise self.error
        return self.app


@pytest.fixture
def hand(backend: Backend, tmp_path: Path) -> Iterator[Backend]:
    """Another workspace with another task, credentials, model and films."""
    settings = replace(
        backend.settings,
        home=tmp_path / "hand",
        backend_password=HAND_PASSWORD,
        webhook_secret=HAND_SECRET,
    )
    settings.home.mkdir()
    ledger, registry, counters = FakeLedger(), FakeRegistry(), Counters()
    models = ModelServer(
        lambda: registry,
        registry.load,
        task=HAND.name,
        cache=settings.cache,
        counters=counters,
        limits=backend.services.limits,
    )
    services = replace(
        backend.services,
        settings=settings,
        spec=HAND,
        ledger=ledger,
        models=models,
        counters=counters,
    )
    app = create_app(services=services)
    yield replace(
        backend,
        settings=settings,
        ledger=ledger,
        registry=registry,
        models=models,
        services=services,
        app=app,
    )
    models.stop()


@pytest.fixture
def client(backend: Backend, hand: Backend) -> Client:
    """Asks a server of both, with a model each."""
    backend.serve(FakePredictor("v1", 100.0))
    hand.serve(FakePredictor("v2", 55.0, task="hand"))
    return serve(backend.app, hand=MountedWorkspace("hand", lambda: hand.app))


def serve(main: Flask, **others: MountedWorkspace) -> Client:
    return Client(mounted(main, others, wait_s=10.0))


def ask(client: Client, path: str, auth: Authorization, backend: Backend) -> TestResponse:
    film = put_into_pool(backend.settings.pool, backend.ledger, png(7))
    body = {"tasks": [task_of(film)], "project": "3.1795222281"}
    return client.post(path, json=body, auth=auth)


def age_of(answer: TestResponse) -> float:
    (result,) = answer.json["results"]
    return next(r["value"]["number"] for r in result["result"] if "number" in r["value"])


def test_each_workspace_predicts_with_its_own_model(
    client: Client, backend: Backend, hand: Backend
) -> None:
    of_main = ask(client, "/predict", MAIN_AUTH, backend)
    of_hand = ask(client, "/hand/predict", HAND_AUTH, hand)

    assert (of_main.json["model_version"], age_of(of_main)) == ("v1", 100.0)
    assert (of_hand.json["model_version"], age_of(of_hand)) == ("v2", 55.0)
    assert {version for _, version in backend.ledger.stored} == {"v1"}
    assert {version for _, version in hand.ledger.stored} == {"v2"}


@pytest.mark.parametrize(
    ("path", "auth", "status"),
    [
        ("/metrics", MAIN_AUTH, 200),
        ("/metrics", HAND_AUTH, 401),
        ("/hand/metrics", HAND_AUTH, 200),
        ("/hand/metrics", MAIN_AUTH, 401),
        ("/hand/made-up", MAIN_AUTH, 401),
        ("//hand/metrics", HAND_AUTH, 401),
        ("/hand/hand/metrics", HAND_AUTH, 404),
        ("/Hand/metrics", HAND_AUTH, 401),
    ],
)
def test_the_password_of_one_workspace_does_not_open_another(
    client: Client, path: str, auth: Authorization, status: int
) -> None:
    answer = client.get("/", auth=auth, environ_overrides={"PATH_INFO": path})

    assert answer.status_code == status


@pytest.mark.parametrize(
    ("path", "secret", "status"),
    [
        ("/webhook", SECRET, 201),
        ("/webhook", HAND_SECRET, 401),
        ("/hand/webhook", HAND_SECRET, 201),
        ("/hand/webhook", SECRET, 401),
    ],
)
def test_the_webhook_secret_of_one_workspace_does_not_open_another(
    client: Client, path: str, secret: str, status: int
) -> None:
    hook = {"action": "TASKS_DELETED", "project": {"id": 3}}

    answer = client.post(path, json=hook, headers={"X-Carpal-Webhook-Secret": secret})

    assert answer.status_code == status


def test_a_webhook_is_journalled_in_its_own_workspace(
    client: Client, backend: Backend, hand: Backend
) -> None:
    hook = {"action": "TASKS_DELETED", "project": {"id": 3}}

    client.post("/hand/webhook", json=hook, auth=HAND_AUTH)

    assert (len(backend.ledger.recorded), len(hand.ledger.recorded)) == (0, 1)


def test_a_browser_keeps_the_passwords_of_workspaces_apart(client: Client) -> None:
    """It sends a password again wherever the same host names the same realm."""
    realms = [
        client.get(path).headers["WWW-Authenticate"] for path in ("/metrics", "/hand/metrics")
    ]

    assert realms == [
        'Basic realm="Carpal", charset="UTF-8"',
        'Basic realm="Carpal/hand", charset="UTF-8"',
    ]


def test_requests_are_counted_for_the_workspace_that_answered_them(client: Client) -> None:
    for path in ("/health", "/hand/health", "/hand/health"):
        assert client.get(path).status_code == 200

    counted = 'carpal_http_requests_total{route="health",status="2xx"} '
    served = 'carpal_backend_processes{model_version="'
    for path, auth, requests, version in (
        ("/metrics", MAIN_AUTH, 1, "v1"),
        ("/hand/metrics", HAND_AUTH, 2, "v2"),
    ):
        text = client.get(path, auth=auth).text
        assert f"{counted}{requests}\n" in text
        assert re.findall(rf"{re.escape(served)}(\w+)", text) == [version]


def test_the_counters_of_a_workspace_are_the_same_however_they_are_asked_for() -> None:
    assert shared_counters() is shared_counters("")
    assert shared_counters("hand") is shared_counters("hand")
    assert shared_counters("hand") is not shared_counters()


def test_health_tells_of_the_workspace_that_is_asked(client: Client) -> None:
    assert client.get("/health").json["model_version"] == "v1"
    assert client.get("/hand/health").json["model_version"] == "v2"


@pytest.mark.parametrize(
    "path", ["/", f"/task/{TASK}", "/task/999"], ids=["status", "case", "refusal"]
)
def test_every_link_of_a_page_leads_below_its_prefix(
    backend: Backend, hand: Backend, path: str
) -> None:
    desk = case_desk(hand, HAND)
    client = serve(backend.app, hand=MountedWorkspace("hand", lambda: desk.backend.app))

    page = client.get(f"/hand{path}", headers={"Accept": "text/html"}, auth=HAND_AUTH)

    links = re.findall(r"""\b(?:href|src|action)=["']?(/[^"' >]*)""", page.text)
    assert links, page.text
    assert [link for link in links if not link.startswith("/hand/")] == []
    known = [link for link in links if not link.startswith("/hand/versions/")]
    assert {client.get(link, auth=HAND_AUTH).status_code for link in known} == {200}


def test_without_a_prefix_the_links_stay_as_they_are(backend: Backend) -> None:
    page = backend.client.get("/").text

    assert 'href="/"' in page


def test_the_page_of_a_prefix_answers_without_a_slash_at_the_end(client: Client) -> None:
    page = client.get("/hand", auth=HAND_AUTH)

    assert page.status_code == 200
    assert "Hand" in page.text


def test_the_description_of_the_addresses_names_the_prefix(client: Client) -> None:
    assert client.get("/openapi.json").json["servers"] == [{"url": "/"}]
    assert client.get("/hand/openapi.json").json["servers"] == [{"url": "/hand"}]


def test_a_refusal_and_the_log_name_the_whole_address(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="carpal.access")

    answer = client.get("/hand/made-up", auth=HAND_AUTH)

    assert answer.json["detail"] == "There is nothing at /hand/made-up."
    assert "/hand/made-up" in caplog.text


@pytest.mark.parametrize(
    "error", [LedgerError("The ledger /secret/place is damaged."), ZeroDivisionError()]
)
def test_a_workspace_that_cannot_be_opened_leaves_the_others_serving(
    backend: Backend, hand: Backend, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    broken = MountedWorkspace("knee", Refuses(error, hand.app, failures=99))
    client = serve(backend.app, knee=broken, hand=MountedWorkspace("hand", lambda: hand.app))

    answer = client.get("/knee/health")

    broken.stop()
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    assert answer.json["detail"] == "The workspace 'knee' cannot be opened; the log says why."
    assert answer.headers["Retry-After"] == "30"
    assert "knee" in caplog.text
    assert client.get("/health").status_code == 200
    assert client.get("/hand/health").status_code == 200


def test_a_workspace_that_can_be_opened_again_is_served(backend: Backend, hand: Backend) -> None:
    opening = Refuses(LedgerError("The ledger does not answer."), hand.app, failures=2)
    client = serve(backend.app, hand=MountedWorkspace("hand", opening, retry_s=0.01))

    assert eventually(lambda: client.get("/hand/health").status_code == 200)
    assert opening.failures == -1


def test_a_workspace_that_is_slow_to_open_does_not_hold_the_others_up(
    backend: Backend, hand: Backend
) -> None:
    may_open = threading.Event()

    def open_late() -> Flask:
        assert may_open.wait(10)
        return hand.app

    slow = MountedWorkspace("hand", open_late)
    client = Client(mounted(backend.app, {"hand": slow}, wait_s=0.0))

    assert client.get("/health").status_code == 200
    assert client.get("/hand/health").json["detail"].startswith("The workspace 'hand' is being op")
    may_open.set()
    assert eventually(lambda: client.get("/hand/health").status_code == 200)


@pytest.mark.parametrize("name", ["predict", "api", "v2", "versions", "openapi.json"])
def test_a_workspace_named_like_an_address_of_ours_is_refused(backend: Backend, name: str) -> None:
    with pytest.raises(StackError, match=f"/{name} is an address of the backend: rename"):
        mounted(backend.app, {name: MountedWorkspace(name, lambda: backend.app)})


def test_a_server_of_one_workspace_is_its_application(backend: Backend) -> None:
    assert mounted(backend.app, {}) is backend.app
