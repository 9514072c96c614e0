"""Who may ask what."""

from __future__ import annotations

from dataclasses import replace

import pytest
from werkzeug.datastructures import Authorization

from data.errors import StackError
from ml_backend.app import create_app
from tests.unit.ml_backend.conftest import PASSWORD, SECRET, USER, Backend

PROTECTED = [
    ("POST", "/setup"),
    ("POST", "/predict"),
    ("POST", "/webhook"),
    ("GET", "/versions"),
    ("POST", "/versions"),
    ("POST", "/job_status"),
    ("GET", "/metrics"),
    ("POST", "/api/predict"),
    ("GET", "/v2"),
    ("GET", "/v2/models/bone_age"),
    ("POST", "/v2/models/bone_age/infer"),
    ("GET", "/made-up"),
]


@pytest.mark.parametrize(("method", "path"), PROTECTED)
def test_a_request_without_credentials_is_refused(backend: Backend, method: str, path: str) -> None:
    answer = backend.client.open(path, method=method, json={})

    assert answer.status_code == 401
    assert answer.mimetype == "application/problem+json"
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert answer.get_json()["detail"].endswith(".")


@pytest.mark.parametrize(
    ("user", "password"),
    [(USER, "wrong"), ("wrong", PASSWORD), (USER, ""), ("", ""), (USER, PASSWORD + "x")],
)
def test_a_wrong_name_or_password_is_refused(backend: Backend, user: str, password: str) -> None:
    auth = Authorization("basic", {"username": user, "password": password})

    assert backend.client.post("/setup", json={}, auth=auth).status_code == 401


@pytest.mark.parametrize("path", ["/health", "/v2/health/live", "/openapi.json"])
def test_probes_and_the_description_of_the_addresses_are_open(backend: Backend, path: str) -> None:
    assert backend.client.get(path).status_code == 200


def test_another_kind_of_credential_is_refused(backend: Backend) -> None:
    answer = backend.client.post("/setup", json={}, headers={"Authorization": f"Bearer {PASSWORD}"})

    assert answer.status_code == 401


@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic !!!", "Basic /w==", "Basic Og==", "Basic " + "A" * 9000, "\xff \xff", ""],
    ids=["alone", "no base64", "no text", "empty", "long", "no scheme", "nothing"],
)
def test_a_header_that_holds_no_credentials_is_refused(backend: Backend, header: str) -> None:
    for path in ("/setup", "/webhook"):
        answer = backend.client.post(path, json={}, headers={"Authorization": header})

        assert answer.status_code == 401


def test_a_wrong_webhook_secret_is_refused(backend: Backend) -> None:
    answer = backend.client.post("/webhook", json={}, headers={"X-Carpal-Webhook-Secret": "wrong"})

    assert answer.status_code == 401
    assert "X-Carpal-Webhook-Secret is wrong" in answer.get_json()["detail"]


def test_the_webhook_secret_opens_no_other_route(backend: Backend) -> None:
    answer = backend.client.post(
        "/predict", json={"tasks": []}, headers={"X-Carpal-Webhook-Secret": SECRET}
    )

    assert answer.status_code == 401


def test_a_browser_on_this_machine_sees_the_page_without_a_password(backend: Backend) -> None:
    assert backend.client.get("/", base_url="http://127.0.0.1:9090").status_code == 200


@pytest.mark.parametrize(
    ("address", "host", "headers"),
    [
        pytest.param("10.0.0.7", "127.0.0.1:9090", {}, id="another machine"),
        pytest.param("127.0.0.1", "rebound.example:9090", {}, id="a rebound name"),
        pytest.param(
            "127.0.0.1", "127.0.0.1:9090", {"X-Forwarded-For": "10.0.0.7"}, id="through a proxy"
        ),
        pytest.param("not an address", "127.0.0.1", {}, id="no address"),
    ],
)
def test_everybody_else_needs_the_password_for_the_page(
    backend: Backend, address: str, host: str, headers: dict[str, str]
) -> None:
    answer = backend.client.get(
        "/",
        base_url=f"http://{host}",
        headers=headers,
        environ_overrides={"REMOTE_ADDR": address},
    )

    assert answer.status_code == 401


@pytest.mark.parametrize("name", ["backend_user", "backend_password", "webhook_secret"])
def test_the_backend_does_not_start_without_its_secrets(backend: Backend, name: str) -> None:
    settings = replace(backend.settings, **{name: ""})  # type: ignore[arg-type]

    with pytest.raises(StackError, match=f"CARPAL_{name.upper()} is empty"):
        create_app(services=replace(backend.services, settings=settings))
