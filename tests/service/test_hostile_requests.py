"""Whatever is sent, the backend says what is wrong with it, lives, and does not grow."""

from __future__ import annotations

import base64
import gc
import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import psutil
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from data.errors import NotFoundError
from tests.service.hostile_films import bombs, corpus, endless, mutants
from tests.service.small_backend import AUTH, PROJECT, SmallBackend, small_backend

pytestmark = [
    pytest.mark.long,
    # What Pillow says of a damaged TIFF, and a form that ends before its file does.
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

MUTANTS = 1000
WARM_UP = 200
GROWTH_BYTES = 96 * 2**20
"""Far below what the refused bombs would take, above what allocators keep for the next time."""
HELPER_BYTES = 512 * 2**20
"""Most that a process may hold that prepares films."""
EXPECTED = {200, 400, 413, 415, 422}
MODEL = "/v2/models/bone_age"

UPLOADS: dict[str, bytes] = {}


def fetch_upload(path: str) -> bytes:
    """Hands out what a test has put in, as Label Studio would."""
    if path not in UPLOADS:
        raise NotFoundError(f"Label Studio has no {path}.")
    return UPLOADS[path]


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallBackend]:
    torch.set_num_threads(1)
    with small_backend(tmp_path_factory.mktemp("workspace"), fetch_upload) as made:
        yield made


def as_form(backend: SmallBackend, payload: bytes) -> TestResponse:
    form = {"file": (BytesIO(payload), "film")}
    return backend.app.test_client().post("/api/predict", data=form, auth=AUTH)


def as_tensor(backend: SmallBackend, payload: bytes) -> TestResponse:
    data = [base64.b64encode(payload).decode()]
    body = {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": data}]}
    return backend.app.test_client().post(f"{MODEL}/infer", json=body, auth=AUTH)


def as_upload(backend: SmallBackend, payload: bytes) -> TestResponse:
    path = f"/data/upload/{PROJECT}/film"
    UPLOADS[path] = payload
    body = {"tasks": [{"id": 1, "data": {"image": path}}], "project": str(PROJECT)}
    return backend.app.test_client().post("/predict", json=body, auth=AUTH)


WAYS = (as_form, as_tensor, as_upload)


def require_a_cause(answer: TestResponse, what: str) -> None:
    """Fails unless the answer is a result, or says in one sentence what is wrong."""
    assert answer.status_code in EXPECTED, f"{what}: {answer.status_code} {answer.text}"
    body = answer.get_json(force=True)
    if answer.status_code != 200:
        assert answer.mimetype == "application/problem+json", what
        assert body["detail"].strip().endswith("."), f"{what}: {body['detail']}"
    for result in body.get("results", []):
        assert "result" in result or result["error"].endswith("."), f"{what}: {result}"


def resident_bytes() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def processes() -> set[int]:
    """Returns the processes that work for this one."""
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_a_thousand_damaged_films_are_answered_or_refused_no_process_dies_and_memory_stays(
    backend: SmallBackend,
) -> None:
    before, working, answered = 0, set[int](), 0

    for number, (what, payload) in enumerate(mutants(MUTANTS, seed=5)):
        if number == WARM_UP:
            before, working = resident_bytes(), processes()
        answer = WAYS[number % len(WAYS)](backend, payload)
        require_a_cause(answer, what)
        answered += answer.status_code == 200

    assert resident_bytes() - before < GROWTH_BYTES
    assert working <= processes()
    for child in psutil.Process().children(recursive=True):
        assert child.memory_info().rss < HELPER_BYTES, child.cmdline()
    assert 50 < answered < MUTANTS, "damage that nothing survives, or that nothing notices"


@pytest.mark.parametrize("way", WAYS, ids=["form", "tensor", "upload"])
def test_films_that_claim_to_be_very_large_are_refused_before_they_are(
    backend: SmallBackend, way: Any
) -> None:
    way(backend, corpus()["png"])
    before = resident_bytes()

    for what, payload in bombs().items():
        answer = way(backend, payload)
        require_a_cause(answer, what)
        refused = answer.get_json(force=True).get("results", [{}])[0].get("error")
        assert answer.status_code != 200 or refused, what

    assert resident_bytes() - before < GROWTH_BYTES


def test_pixels_that_go_on_behind_the_film_are_not_decompressed(backend: SmallBackend) -> None:
    as_form(backend, corpus()["png"])
    before = resident_bytes()

    require_a_cause(as_form(backend, endless()), "endless")

    assert resident_bytes() - before < GROWTH_BYTES


@pytest.mark.parametrize("name", sorted(corpus().keys() - {"gif"}))
def test_a_sound_film_of_every_form_is_answered_after_all_that(
    backend: SmallBackend, name: str
) -> None:
    assert as_form(backend, corpus()[name]).status_code == 200


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(["\ud800", "\0", "../../etc/passwd", "START_TRAINING", "BYTES", "image"])
)
KEYS = st.sampled_from(
    [
        *("tasks", "project", "label_config", "schema", "action", "annotation", "task", "id"),
        *("data", "image", "radiograph", "inputs", "outputs", "name", "shape", "datatype"),
        *("parameters", "content_type", "job", "annotations"),
    ]
) | st.text(max_size=8)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=24,
)
SOUND: dict[str, dict[str, Any]] = {
    "/predict": {
        "tasks": [{"id": 1, "data": {"image": "/data/upload/3/x", "radiograph": "0" * 64}}],
        "project": "3.17",
        "label_config": None,
    },
    "/setup": {"project": "3.17", "schema": "<View/>"},
    "/webhook": {
        "action": "ANNOTATION_CREATED",
        "project": {"id": 3},
        "annotation": {"id": 7, "result": []},
        "task": {"id": 1},
    },
    "/job_status": {"job": "1"},
    f"{MODEL}/infer": {
        "id": "1",
        "inputs": [
            {"name": "image", "shape": [1], "datatype": "BYTES", "data": ["AAAA"]},
            {"name": "sex", "shape": [1], "datatype": "BYTES", "data": ["m"]},
        ],
        "outputs": [{"name": "sex"}],
    },
}


def places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields the way to every part of a JSON value, itself first."""
    yield path
    items: Any = value.items() if isinstance(value, dict) else []
    items = enumerate(value) if isinstance(value, list) else items
    for key, inner in items:
        yield from places(inner, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: object) -> Any:
    """Returns a copy of a JSON value with another part in one place."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@st.composite
def bodies(draw: st.DrawFn, path: str) -> object:
    """A sound body with one or two parts replaced by anything, or anything at all."""
    body: Any = SOUND[path]
    for _ in range(draw(st.integers(1, 2))):
        body = replaced(body, draw(st.sampled_from(list(places(body)))), draw(ANYTHING))
    return body


@pytest.mark.parametrize("path", SOUND)
@settings(
    max_examples=200,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_json_of_any_shape_is_answered_or_refused_in_one_sentence(
    backend: SmallBackend, path: str, data: st.DataObject
) -> None:
    body = json.dumps(data.draw(bodies(path)))

    answer = backend.app.test_client().post(
        path, data=body, auth=AUTH, content_type="application/json"
    )

    assert answer.status_code in EXPECTED | {201, 410}, f"{body}: {answer.text}"
    if answer.status_code >= 400:
        assert answer.get_json(force=True)["detail"].strip(), body


@pytest.mark.parametrize("path", SOUND)
@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 100_000,
        b'{"tasks": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"id": ' + b"9" * 10_000 + b"}",
        b'{"project": 1e999}',
        b'{"project": NaN, "tasks": []}',
        b'{"tasks": "\\ud800"}',
        b"\x1f\x8b\x08\0\0\0\0\0",
        b"\xff" * 100,
        b"null",
    ],
    ids=["deep", "deep inside", "long", "infinite", "NaN", "half", "gzip", "no text", "null"],
)
def test_json_that_is_none_is_refused_in_one_sentence(
    backend: SmallBackend, path: str, payload: bytes
) -> None:
    answer = backend.app.test_client().post(
        path, data=payload, auth=AUTH, content_type="application/json"
    )

    assert answer.status_code in EXPECTED | {410}, answer.text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--x",
        b"--x\r\n\r\n",
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n',
        b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n\xff\r\n--x--',
        b'--x\r\nContent-Disposition: form-data; name="sex"\r\n\r\n'
        + b"m" * 600_000
        + b"\r\n--x--",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 2000 + b"--x--",
    ],
    ids=["empty", "cut", "no part", "cut file", "no text", "long text", "many parts"],
)
def test_a_form_that_is_none_is_refused_in_one_sentence(backend: SmallBackend, body: bytes) -> None:
    answer = backend.app.test_client().post(
        "/api/predict", data=body, auth=AUTH, content_type="multipart/form-data; boundary=x"
    )

    assert answer.status_code in EXPECTED - {200}, answer.text
    assert answer.mimetype == "application/problem+json"
