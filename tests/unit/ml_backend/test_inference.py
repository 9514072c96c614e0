"""The Open Inference Protocol, version 2."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from werkzeug.test import TestResponse

from data.images.decoding import content_id
from tests.unit.ml_backend.conftest import Backend
from tests.unit.ml_backend.fakes import FakePredictor, png
from tests.unit.ml_backend.film_cases import SexedModel

MODEL = "/v2/models/bone_age"
VERSION = "v0003-1a2b3c4d"


def coded(payload: bytes) -> str:
    return base64.b64encode(payload).decode()


def images(*payloads: bytes, **more: Any) -> dict[str, Any]:
    """Returns the tensor of some films, coded as MLServer's clients code them."""
    return {
        "name": "image",
        "shape": [len(payloads)],
        "datatype": "BYTES",
        "parameters": {"content_type": "base64"},
        "data": [coded(payload) for payload in payloads],
        **more,
    }


def sexes(*words: str) -> dict[str, Any]:
    return {"name": "sex", "shape": [len(words)], "datatype": "BYTES", "data": list(words)}


def infer(backend: Backend, *inputs: Any, path: str = MODEL, **more: Any) -> TestResponse:
    return backend.post(f"{path}/infer", {"inputs": list(inputs), **more})


def tensors(answer: TestResponse) -> dict[str, Any]:
    """Returns output -> its data."""
    assert answer.status_code == 200, answer.text
    return {output["name"]: output["data"] for output in answer.get_json()["outputs"]}


def test_the_server_names_itself(backend: Backend) -> None:
    answer = backend.get("/v2").get_json()

    assert answer["name"] == "carpal"
    assert answer["extensions"] == []


def test_a_server_without_a_model_lives_and_is_not_ready(backend: Backend) -> None:
    assert backend.get("/v2/health/live").get_json() == {"live": True}
    ready = backend.get("/v2/health/ready")
    assert (ready.status_code, ready.get_json()["ready"]) == (503, False)


def test_a_server_with_a_model_is_ready(backend: Backend) -> None:
    backend.serve(SexedModel(VERSION))

    assert backend.get("/v2/health/ready").get_json() == {"ready": True}
    for path in (MODEL, f"{MODEL}/versions/{VERSION}"):
        assert backend.get(f"{path}/ready").get_json() == {"name": "bone_age", "ready": True}


def test_the_model_names_its_tensors_and_the_version_that_serves(backend: Backend) -> None:
    backend.serve(SexedModel(VERSION))

    answer = backend.get(MODEL).get_json()

    assert (answer["name"], answer["versions"]) == ("bone_age", [VERSION])
    assert answer["inputs"] == [
        {"name": "image", "datatype": "BYTES", "shape": [-1]},
        {"name": "sex", "datatype": "BYTES", "shape": [-1]},
    ]
    assert {output["name"]: output["datatype"] for output in answer["outputs"]} == {
        "age_months": "FP64",
        "age_low": "FP64",
        "age_high": "FP64",
        "sex": "BYTES",
        "sex_probability": "FP64",
        "used_sex": "BYTES",
        "sex_predicted": "BOOL",
        "novelty": "FP64",
        "ood": "BOOL",
    }


def test_films_are_answered_by_one_element_of_each_tensor(backend: Backend) -> None:
    backend.serve(SexedModel(VERSION))

    answer = infer(backend, images(png(1), png(2)), sexes("", "M"), id="42")

    body = answer.get_json()
    assert (body["model_name"], body["model_version"], body["id"]) == ("bone_age", VERSION, "42")
    assert all(output["shape"] == [2] for output in body["outputs"])
    assert tensors(answer) == {
        "age_months": [131.0, 155.4],
        "age_low": [119.0, 143.4],
        "age_high": [143.0, 167.4],
        "sex": ["female", "female"],
        "sex_probability": [0.75, 0.75],
        "used_sex": ["female", "male"],
        "sex_predicted": [True, False],
        "novelty": [0.4, 0.4],
        "ood": [False, False],
    }


def test_what_the_model_does_not_tell_is_null_or_empty(backend: Backend) -> None:
    backend.serve(FakePredictor("v1"))

    told = tensors(infer(backend, images(png(1))))

    assert (told["used_sex"], told["sex_predicted"], told["ood"]) == ([""], [None], [None])


def test_only_the_outputs_that_are_asked_for_are_answered_in_their_order(backend: Backend) -> None:
    backend.serve(SexedModel(VERSION))
    wanted = [{"name": "sex"}, {"name": "age_months"}]

    told = tensors(infer(backend, images(png(1)), outputs=wanted))

    assert list(told) == ["sex", "age_months"]


@pytest.mark.parametrize(
    "tensor",
    [
        images(png(1)),
        images(png(1), parameters={}),
        images(png(1), shape=[1, 1]),
        images(png(1), shape=[1, 1], data=[[coded(png(1))]]),
        images(png(1), parameters={}, data=[list(png(1))]),
        images(png(1), parameters={}, shape=[1, 1], data=[[list(png(1))]]),
    ],
    ids=["base64", "unsaid", "column", "nested column", "byte values", "nested byte values"],
)
def test_a_film_may_be_written_in_several_ways(backend: Backend, tensor: dict[str, Any]) -> None:
    model = backend.serve(SexedModel(VERSION))
    model.forget()

    assert tensors(infer(backend, tensor))["age_months"] == [131.0]

    assert model.batches == [[content_id(png(1))]]


def test_words_may_be_in_base64_too(backend: Backend) -> None:
    backend.serve(SexedModel(VERSION))
    words = {**sexes(coded(b"male")), "parameters": {"content_type": "base64"}}

    assert tensors(infer(backend, images(png(1)), words))["used_sex"] == ["male"]


def test_the_version_that_serves_answers_under_its_name(backend: Backend) -> None:
    backend.serve(SexedModel(VERSION))

    answer = infer(backend, images(png(1)), path=f"{MODEL}/versions/{VERSION}")

    assert answer.get_json()["model_version"] == VERSION


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/chest",
        f"{MODEL}/versions/v0002-ffffffff",
        f"/v2/models/chest/versions/{VERSION}",
    ],
    ids=["another model", "another version", "that version of another model"],
)
def test_another_model_or_version_is_not_there(backend: Backend, path: str) -> None:
    backend.serve(SexedModel(VERSION))
    backend.registry.add(SexedModel("v0002-ffffffff"), promote=False)

    for answer in (
        backend.get(path),
        backend.get(f"{path}/ready"),
        infer(backend, images(png(1)), path=path),
    ):
        assert answer.status_code == 404
        assert answer.get_json()["error"].endswith(".")


BAD_INPUTS = [
    ([], "must hold a BYTES tensor 'image'"),
    ("image", "'inputs' must be a list"),
    (["image"], "An input must be named image or sex."),
    ([images(png(1), name="mask")], "An input must be named image or sex."),
    ([images(png(1)), images(png(1))], "'image' is given twice"),
    ([images(png(1), datatype="FP32")], "The datatype of 'image' must be BYTES."),
    ([images(png(1), shape=[2])], "The shape of 'image' must be [N] or [N, 1]"),
    ([images(png(1), shape=[1.0])], "The shape of 'image' must be [N] or [N, 1]"),
    ([images(png(1), shape=[True])], "The shape of 'image' must be [N] or [N, 1]"),
    ([images(png(1), shape=1)], "must have a 'shape' and 'data'"),
    ([images()], "The shape of 'image' must be [N] or [N, 1]"),
    ([images(png(1), data=["no base64!"])], "is not base64 text"),
    ([images(png(1), data=["é"])], "is not base64 text"),
    ([images(png(1), data=[12])], "must be base64 text, or a list of byte values"),
    ([images(png(1), data=[[256]])], "must be base64 text, or a list of byte values"),
    ([images(png(1), parameters={"content_type": "np"})], "content_type of 'image' may be"),
    ([images(png(1), parameters="base64")], "The parameters of 'image' must be an object"),
    ([images(png(1)), sexes("m", "f")], "'sex' has 2 elements and 'image' 1: one per film"),
    ([images(png(1)), sexes("x")], "sex must be one of f, female, m, male"),
    ([images(png(1)), {**sexes("m"), "data": [1]}], "The elements of 'sex' must be text"),
    ([images(*[png(1)] * 17)], "A request may hold 16 films, not 17"),
]


@pytest.mark.parametrize(("inputs", "sentence"), BAD_INPUTS)
def test_tensors_of_the_wrong_form_are_refused(
    backend: Backend, inputs: Any, sentence: str
) -> None:
    backend.serve(SexedModel(VERSION))

    answer = backend.post(f"{MODEL}/infer", {"inputs": inputs})

    assert answer.status_code == 400
    assert sentence in answer.get_json()["error"]


@pytest.mark.parametrize("outputs", ["age", [{}], [{"name": "age"}], ["age_months"]])
def test_an_unknown_output_is_refused(backend: Backend, outputs: Any) -> None:
    backend.serve(SexedModel(VERSION))

    answer = infer(backend, images(png(1)), outputs=outputs)

    assert answer.status_code == 400
    assert "'outputs' must" in answer.get_json()["error"]


def test_a_film_that_cannot_be_read_is_named_by_its_number(backend: Backend) -> None:
    backend.serve(SexedModel(VERSION))

    answer = infer(backend, images(png(1), b"no film"))

    assert answer.status_code == 422
    assert answer.get_json()["error"].startswith("Film 2 of 2: This is not an image")


def test_without_a_model_nothing_is_inferred(backend: Backend) -> None:
    answer = infer(backend, images(png(1)))

    assert answer.status_code == 503
    assert "no model yet" in answer.get_json()["error"]
