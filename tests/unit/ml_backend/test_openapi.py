"""The OpenAPI document is right about the routes, and holds no secret."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any, cast

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from ml_backend.app import create_app
from ml_backend.case_routes import GREYS
from ml_backend.openapi import openapi_document
from tests.unit.ml_backend.conftest import PASSWORD, SECRET, Backend
from tests.unit.ml_backend.fakes import SPEC
from workers.desk import Desk
from workers.film_pictures import THUMBNAIL

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    """Returns (method, path) -> what the document says of it."""
    return {
        (method.upper(), path): operation
        for path, item in openapi_document()["paths"].items()
        for method, operation in item.items()
        if method.upper() in METHODS
    }


def routes(backend: Backend) -> set[tuple[str, str]]:
    """Returns (method, path) of everything that the whole application answers."""
    services = replace(backend.services, desk=cast(Desk, object()))
    return {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in create_app(services=services).url_map.iter_rules()
        for method in rule.methods or ()
        if method in METHODS
    }


def test_the_document_is_openapi_3_1() -> None:
    assert openapi_document()["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(openapi_document()).validate()


def test_every_route_is_documented_and_none_is_invented(backend: Backend) -> None:
    assert routes(backend) == set(operations())


def test_every_operation_has_a_name_of_its_own_and_a_sentence() -> None:
    named = [operation["operationId"] for operation in operations().values()]

    assert len(set(named)) == len(named)
    assert all(operation["summary"].endswith(".") for operation in operations().values())


def test_anybody_may_read_the_document_and_finds_no_secret(backend: Backend) -> None:
    answer = backend.client.get("/openapi.json")

    assert answer.get_json() == openapi_document()
    for secret in (PASSWORD, SECRET, str(backend.settings.home)):
        assert secret not in answer.text


@pytest.mark.parametrize("key", sorted(operations()), ids=" ".join)
def test_what_the_document_says_of_the_password_is_true(
    backend: Backend, key: tuple[str, str]
) -> None:
    method, path = key
    operation = operations()[key]
    asked = operation.get("security", openapi_document()["security"])
    services = replace(backend.services, desk=cast(Desk, object()))
    client = create_app(services=services).test_client()
    from_elsewhere = {"REMOTE_ADDR": "10.0.0.7"}

    answer = client.open(
        re.sub(r"{\w+}", "1", path), method=method, environ_overrides=from_elsewhere
    )

    assert (answer.status_code == 401) == (asked != [])
    assert ("401" in operation["responses"]) == (asked != [])


def test_the_film_form_has_the_fields_that_the_document_names() -> None:
    form = operations()["POST", "/api/predict"]["requestBody"]["content"]["multipart/form-data"]

    assert set(form["schema"]["properties"]) == {"file", "use_mask", SPEC.input}
    assert form["schema"]["required"] == ["file"]


def test_a_film_is_shown_in_the_ways_that_the_document_names() -> None:
    size, grey = operations()["GET", "/radiographs/{radiograph_id}.png"]["parameters"]

    assert size["schema"]["enum"] == [str(THUMBNAIL)]
    assert grey["schema"]["enum"] == list(GREYS)


def test_the_tensors_are_those_that_the_document_names(backend: Backend) -> None:
    schemas = openapi_document()["components"]["schemas"]
    metadata = json.loads(backend.get("/v2/models/bone_age").text)

    for part, schema in (("inputs", "RequestInput"), ("outputs", "RequestOutput")):
        named = schemas[schema]["properties"]["name"]["enum"]
        assert named == [tensor["name"] for tensor in metadata[part]]
