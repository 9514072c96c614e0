"""What Label Studio asks before it asks for predictions."""

from __future__ import annotations

import pytest

from data.errors import ModelError
from tests.unit.ml_backend.conftest import Backend
from tests.unit.ml_backend.fakes import CONFIG, FakePredictor


def test_health_is_up_without_a_password_and_without_a_model(backend: Backend) -> None:
    answer = backend.client.get("/health")

    assert answer.status_code == 200
    assert answer.get_json() == {
        "status": "UP",
        "model_class": "CarpalModel",
        "model_version": "",
        "model_state": "none",
    }


def test_health_says_that_the_champion_could_not_be_loaded_but_not_why(backend: Backend) -> None:
    backend.serve(FakePredictor("v1"))
    backend.registry.fetch_error = ModelError("The weights in /secret/place were altered.")
    backend.serve(FakePredictor("v2"))

    answer = backend.client.get("/health").get_json()

    assert (answer["model_version"], answer["model_state"]) == ("v1", "not_up_to_date")
    assert "/secret/place" not in str(answer)


@pytest.mark.parametrize("extra", [None, "text", 7, {"k": 1}, ["x"], {"a": {"b": None}}])
def test_setup_takes_extra_parameters_of_any_shape(backend: Backend, extra: object) -> None:
    backend.serve(FakePredictor("v0003-1a2b3c4d"))

    answer = backend.post(
        "/setup",
        {
            "project": "1.1795222281",
            "schema": CONFIG,
            "hostname": "http://localhost:8080",
            "access_token": "0" * 40,
            "extra_params": extra,
        },
    )

    assert answer.status_code == 200
    assert answer.get_json() == {"model_version": "v0003-1a2b3c4d"}


def test_setup_answers_an_empty_version_while_there_is_no_model(backend: Backend) -> None:
    assert backend.post("/setup", {"schema": CONFIG}).get_json() == {"model_version": ""}


def test_setup_says_in_the_status_line_what_is_wrong_with_the_configuration(
    backend: Backend,
) -> None:
    schema = CONFIG.replace("age_months", "age")

    answer = backend.post("/setup", {"project": "1.1", "schema": schema})

    assert answer.status_code == 400
    assert '<Number name="age_months" toName="image">' in answer.get_json()["detail"]
    assert answer.status == f"400 {answer.get_json()['detail']}"


def test_a_sentence_in_the_status_line_cannot_add_a_header(backend: Backend) -> None:
    schema = CONFIG.replace('"male"', '"&#13;&#10;X-Evil: 1\u20ac"')

    answer = backend.post("/setup", {"schema": schema})

    assert "\r\nX-Evil: 1\u20ac" in answer.get_json()["detail"]
    assert answer.status.startswith("400 This backend works on")
    assert all(" " <= character <= "~" for character in answer.status)


def test_versions_lists_the_serving_model_first(backend: Backend) -> None:
    backend.registry.add(FakePredictor("v1"), promote=False)
    backend.serve(FakePredictor("v2"))
    backend.registry.add(FakePredictor("v3"), promote=False)

    assert backend.get("/versions").get_json() == {"versions": ["v2", "v1", "v3"]}
    assert backend.post("/versions", {"project": "1.1"}).status_code == 200
