"""POST /predict: one answer per task, each for itself."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from werkzeug.datastructures import Authorization

from data.errors import LedgerError
from ml_backend import pre_annotation
from ml_backend.inference import MAX_COMPUTING
from ml_backend.metrics import PRE_ANNOTATIONS, REFUSED_TASKS
from tests.unit.ml_backend.conftest import PASSWORD, USER, Backend
from tests.unit.ml_backend.fakes import CONFIG, FakePredictor, picture, png, prediction, task_of


def number_in(result: dict[str, Any]) -> float:
    (region,) = [r for r in result["result"] if r["from_name"] == "age_months"]
    return float(region["value"]["number"])


def test_a_stored_prediction_is_answered_without_the_model(backend: Backend) -> None:
    model = backend.serve(FakePredictor("v1", age_months=1.0))
    model.batches.clear()
    radiograph = backend.radiograph(1)
    backend.ledger.add_predictions([prediction(radiograph.id, "v1", age_months=77.0)])

    (result,) = backend.predict([task_of(radiograph)])["results"]

    assert number_in(result) == 77.0
    assert result["model_version"] == "v1"
    assert model.batches == []


def test_a_stored_prediction_needs_no_image_file(backend: Backend) -> None:
    backend.serve(FakePredictor("v1"))
    radiograph = backend.radiograph(1)
    (backend.settings.pool / radiograph.path).unlink()
    backend.ledger.add_predictions([prediction(radiograph.id, "v1", age_months=77.0)])

    (result,) = backend.predict([task_of(radiograph)])["results"]

    assert number_in(result) == 77.0


def test_what_is_not_stored_is_computed_once_and_kept(backend: Backend) -> None:
    model = backend.serve(FakePredictor("v2", age_months=60.0))
    model.batches.clear()
    radiographs = [backend.radiograph(seed) for seed in range(3)]

    results = backend.predict([task_of(r, n) for n, r in enumerate(radiographs)])["results"]

    assert [number_in(result) for result in results] == [60.0, 60.0, 60.0]
    assert [name for batch in model.batches for name in batch] == [r.id for r in radiographs]
    assert set(backend.ledger.stored) == {(r.id, "v2") for r in radiographs}


def test_a_prediction_of_an_older_version_is_not_answered(backend: Backend) -> None:
    backend.serve(FakePredictor("v2", age_months=60.0))
    radiograph = backend.radiograph(1)
    backend.ledger.add_predictions([prediction(radiograph.id, "v1", age_months=77.0)])

    (result,) = backend.predict([task_of(radiograph)])["results"]

    assert (result["model_version"], number_in(result)) == ("v2", 60.0)


def test_two_tasks_that_show_one_radiograph_are_computed_once(backend: Backend) -> None:
    model = backend.serve(FakePredictor("v1"))
    model.batches.clear()
    radiograph = backend.radiograph(1)

    results = backend.predict([task_of(radiograph, 1), task_of(radiograph, 2)])["results"]

    assert results[0] == results[1]
    assert model.batches == [[radiograph.id]]


def test_without_a_model_every_task_gets_an_empty_list_and_no_invented_score(
    backend: Backend,
) -> None:
    answer = backend.predict([task_of(backend.radiograph(seed)) for seed in range(3)])

    assert answer["results"] == [[], [], []]
    assert answer["model_version"] == ""
    assert "no model yet" in answer["detail"]


@pytest.mark.parametrize(
    ("data", "reason", "sentence"),
    [
        ({}, "invalid_address", "no 'image'"),
        ({"image": ""}, "invalid_address", "no 'image'"),
        ({"image": 7}, "invalid_address", "no 'image'"),
        ({"image": "http://elsewhere.example/x.png"}, "invalid_address", "neither"),
        ({"image": "//elsewhere.example/data/upload/1/x.png"}, "invalid_address", "neither"),
        ({"image": "http://localhost:8080@elsewhere/data/upload/x"}, "invalid_address", "neither"),
        ({"image": "https://localhost:8080/data/upload/1/x.png"}, "invalid_address", "neither"),
        ({"image": "http://[::1/data/upload/x.png"}, "invalid_address", "neither"),
        ({"image": "file:///etc/passwd"}, "invalid_address", "neither"),
        ({"image": "/etc/passwd"}, "invalid_address", "neither"),
        ({"image": "/data/upload/../../user/login"}, "invalid_address", "neither"),
        ({"image": "/data/upload/%2e%2e/%2e%2e/api/users"}, "invalid_address", "neither"),
        ({"image": "/data/upload/3/%2e%2e"}, "invalid_address", "neither"),
        ({"image": "/data/upload/3/a%2fb"}, "invalid_address", "neither"),
        ({"image": "/data/upload/3/a%0d%0ab"}, "invalid_address", "neither"),
        ({"image": "/data/local-files/?d=../ledger.db"}, "invalid_address", ""),
        ({"image": "/data/local-files/?d=/etc/passwd"}, "invalid_address", ""),
        ({"image": "/data/local-files/?d=images/..%2f..%2fledger.db"}, "invalid_address", ""),
        ({"image": f"/data/local-files/?d=images/aa/{'a' * 64}.png"}, "not_found", "not a radiog"),
        ({"image": "/data/local-files/?d=images/aa/x.png"}, "not_found", "not a radiograph"),
        ({"image": "/data/upload/3/missing.png"}, "not_found", "has no"),
        ({"image": "/data/upload/3/\ud800.png"}, "invalid_address", "neither"),
        ({"image": "/data/upload/3/" + "a" * 5000}, "invalid_address", "neither"),
        ({"image": "http://169.254.169.254/data/upload/3/x.png"}, "invalid_address", "neither"),
        ({"image": "http://127.0.0.1:6379/data/upload/3/x.png"}, "invalid_address", "neither"),
        ({"image": "\\\\elsewhere\\data\\upload\\3\\x.png"}, "invalid_address", "neither"),
        ({"image": "s3://bucket/hand.png"}, "invalid_address", "no project yet"),
        ({"image": "s3://bucket/../hand.png"}, "invalid_address", "names no object"),
        ({"image": "ftp://bucket/hand.png"}, "invalid_address", "neither"),
        ({"image": "/tasks/8/resolve/?fileuri=czM6Ly9iL2s="}, "invalid_address", "another task"),
        (
            {"image": "/data/local-files/?d=images/aa/\ud800.png"},
            "invalid_address",
            "neither",
        ),
    ],
)
def test_a_task_without_a_readable_image_costs_only_itself(
    backend: Backend, data: dict[str, object], reason: str, sentence: str
) -> None:
    backend.serve(FakePredictor("v1"))
    good = backend.radiograph(1)

    results = backend.predict([{"id": 9, "data": data}, task_of(good)])["results"]

    assert "result" not in results[0]
    assert sentence in results[0]["error"]
    assert number_in(results[1]) == 100.0
    assert backend.services.counters.value(REFUSED_TASKS, reason) == 1


def test_an_upload_of_another_project_is_not_fetched(backend: Backend) -> None:
    joined = backend.with_project(3)
    joined.serve(FakePredictor("v1"))
    joined.uploads.files = {f"/data/upload/{n}/hand.png": png(n) for n in (3, 31)}
    tasks = [
        {"id": n, "data": {"image": f"/data/upload/{n}/hand.png"}, "project": 3} for n in (31, 3)
    ]

    theirs, ours = joined.predict(tasks)["results"]

    assert "upload of another project" in theirs["error"]
    assert "result" in ours
    assert joined.uploads.asked == ["/data/upload/3/hand.png"]


@pytest.mark.parametrize("task", [None, 7, "task", [], {"id": 1}, {"id": 1, "data": []}])
def test_a_task_of_the_wrong_form_costs_only_itself(backend: Backend, task: object) -> None:
    backend.serve(FakePredictor("v1"))

    results = backend.predict([task, task_of(backend.radiograph(1))])["results"]

    assert "result" not in results[0]
    assert "result" in results[1]


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        pytest.param(b"not an image", "", id="no image"),
        pytest.param(png(5)[:-200], "", id="cut off"),
        pytest.param(png(5, size=1001), "", id="too many pixels"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + b"0" * 100_001, "larger than", id="too many bytes"),
    ],
)
def test_an_unreadable_file_of_the_pool_costs_only_its_task(
    backend: Backend, payload: bytes, sentence: str
) -> None:
    from tests.unit.ml_backend.fakes import put_into_pool

    backend.serve(FakePredictor("v1"))
    broken = put_into_pool(backend.settings.pool, backend.ledger, payload)

    results = backend.predict([task_of(broken), task_of(backend.radiograph(1))])["results"]

    assert sentence in results[0]["error"]
    assert "result" in results[1]
    assert backend.services.counters.value(REFUSED_TASKS, "unreadable") == 1


def test_a_file_whose_content_changed_after_the_import_is_not_read_as_the_radiograph(
    backend: Backend,
) -> None:
    backend.serve(FakePredictor("v1"))
    radiograph = backend.radiograph(1)
    (backend.settings.pool / radiograph.path).write_bytes(png(2))

    (result,) = backend.predict([task_of(radiograph)])["results"]

    assert "content has changed" in result["error"]


def test_a_task_that_names_one_radiograph_and_shows_another_is_refused(backend: Backend) -> None:
    backend.serve(FakePredictor("v1"))
    task = task_of(backend.radiograph(1))
    task["data"]["radiograph"] = backend.radiograph(2).id

    (result,) = backend.predict([task])["results"]

    assert "names one radiograph and shows another" in result["error"]


@pytest.mark.parametrize("home", ["", "http://localhost:8080"])
def test_an_upload_is_fetched_from_label_studio_and_not_kept(backend: Backend, home: str) -> None:
    backend.serve(FakePredictor("v1"))
    backend.uploads.files["/data/upload/3/hand.png"] = png(4)

    (result,) = backend.predict([{"data": {"image": f"{home}/data/upload/3/hand.png"}}])["results"]

    assert number_in(result) == 100.0
    assert backend.uploads.asked == ["/data/upload/3/hand.png"]
    assert backend.ledger.stored == {}


STORED = "/projects/3/resolve/?fileuri=czM6Ly9idWNrZXQvaGFuZC5wbmc="
"""How Label Studio is asked for s3://bucket/hand.png in project 3."""


@pytest.mark.parametrize(
    "address",
    ["s3://bucket/hand.png", "/tasks/7/resolve/?fileuri=czM6Ly9idWNrZXQvaGFuZC5wbmc="],
    ids=["as it is stored", "as a browser gets it"],
)
def test_an_object_of_a_cloud_storage_is_fetched_through_our_project_and_not_kept(
    backend: Backend, address: str
) -> None:
    joined = backend.with_project(3)
    joined.serve(FakePredictor("v1"))
    joined.uploads.files[STORED] = png(4)

    (result,) = joined.predict([{"id": 7, "data": {"image": address}}])["results"]

    assert number_in(result) == 100.0
    assert joined.uploads.asked == [STORED]
    assert joined.ledger.stored == {}


def test_the_prediction_of_an_object_that_is_a_film_of_the_pool_is_kept(backend: Backend) -> None:
    joined = backend.with_project(3)
    joined.serve(FakePredictor("v1"))
    adopted = joined.radiograph(4)
    joined.uploads.files[STORED] = png(4)

    joined.predict([{"id": 7, "data": {"image": "s3://bucket/hand.png"}}])

    assert list(joined.ledger.stored) == [(adopted.id, "v1")]


def test_the_prediction_of_an_adopted_upload_is_kept(backend: Backend) -> None:
    backend.serve(FakePredictor("v1"))
    adopted = backend.radiograph(4)
    backend.uploads.files["/data/upload/3/hand.png"] = png(4)

    backend.predict([{"data": {"image": "/data/upload/3/hand.png"}}])

    assert list(backend.ledger.stored) == [(adopted.id, "v1")]


def test_an_image_that_the_model_refuses_costs_only_its_task(backend: Backend) -> None:
    model = backend.serve(FakePredictor("v1"))
    radiographs = [backend.radiograph(seed) for seed in range(3)]
    model.unreadable = {radiographs[1].id}

    results = backend.predict([task_of(r) for r in radiographs])["results"]

    assert ["result" in result for result in results] == [True, False, True]


def test_a_prediction_that_no_reader_could_enter_costs_only_its_task(backend: Backend) -> None:
    backend.serve(FakePredictor("v1"))
    wild, good = backend.radiograph(1), backend.radiograph(2)
    backend.ledger.add_predictions([prediction(wild.id, "v1", age_months=1000.0)])

    results = backend.predict([task_of(wild), task_of(good)])["results"]

    assert "result" not in results[0]
    assert "'age_months' cannot be 1000" in results[0]["error"]
    assert "result" in results[1]


def test_a_batch_that_takes_too_long_is_answered_in_part_and_the_rest_postponed(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.serve(FakePredictor("v1"))
    monkeypatch.setattr(pre_annotation, "BUDGET_S", -1.0)
    stored, fresh = backend.radiograph(1), backend.radiograph(2)
    backend.ledger.add_predictions([prediction(stored.id, "v1")])

    results = backend.predict([task_of(stored), task_of(fresh)])["results"]

    assert "result" in results[0]
    assert "ask again" in results[1]["error"]
    assert backend.services.counters.value(PRE_ANNOTATIONS, "postponed") == 1


def test_a_backend_that_computes_all_it_can_still_answers_what_is_stored(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.serve(FakePredictor("v1"))
    stored, fresh = backend.radiograph(1), backend.radiograph(2)
    backend.ledger.add_predictions([prediction(stored.id, "v1")])
    held = [backend.models.reserve() for _ in range(MAX_COMPUTING)]
    for place in held:
        place.__enter__()

    results = backend.predict([task_of(stored), task_of(fresh)])["results"]

    assert "result" in results[0]
    assert "in a moment" in results[1]["error"]
    for place in held:
        place.__exit__(None, None, None)
    assert "result" in backend.predict([task_of(fresh)])["results"][0]


def test_a_busy_backend_says_when_to_ask_an_image_again(backend: Backend) -> None:
    backend.serve(FakePredictor("v1"))
    form = {"file": (BytesIO(png(1)), "hand.png")}
    auth = Authorization("basic", {"username": USER, "password": PASSWORD})
    with ExitStack() as held:
        for _ in range(MAX_COMPUTING):
            held.enter_context(backend.models.reserve())

        answer = backend.client.post("/api/predict", data=form, auth=auth)

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"


def test_many_tasks_go_through_the_model_in_order_in_batches_that_it_can_hold(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pre_annotation, "KEPT_TOGETHER", 7)
    model = backend.serve(FakePredictor("v1"))
    model.forget()
    radiographs = [backend.radiograph(seed) for seed in range(60)]

    results = backend.predict([task_of(r) for r in radiographs])["results"]

    assert [name for batch in model.batches for name in batch] == [r.id for r in radiographs]
    assert max(map(len, model.batches)) <= model.films_together
    assert all("result" in result for result in results)
    assert len(backend.ledger.stored) == 60


def test_many_stored_tasks_are_looked_up_in_two_queries(backend: Backend) -> None:
    backend.serve(FakePredictor("v1"))
    radiographs = [backend.radiograph(seed) for seed in range(30)]
    backend.ledger.add_predictions([prediction(r.id, "v1") for r in radiographs])

    results = backend.predict([task_of(r) for r in radiographs])["results"]

    assert all("result" in result for result in results)
    assert backend.ledger.queries == 2  # the radiographs, and what is said of them


@pytest.mark.parametrize("in_pool", [True, False], ids=["pool", "adopted upload"])
def test_the_model_is_told_the_sex_that_is_recorded(backend: Backend, in_pool: bool) -> None:
    model = backend.serve(FakePredictor("v1"))
    recorded = replace(backend.radiograph(1), metadata={"sex": "male"})
    backend.ledger.known[recorded.id] = recorded
    backend.uploads.files["/data/upload/3/hand.png"] = png(1)
    upload = {"data": {"image": "/data/upload/3/hand.png"}}

    backend.predict([task_of(recorded) if in_pool else upload])

    assert model.told[recorded.id] == {"sex": "male"}


def test_an_upload_that_is_asked_for_again_is_not_computed_again(backend: Backend) -> None:
    model = backend.serve(FakePredictor("v1"))
    model.forget()
    backend.uploads.files["/data/upload/3/hand.png"] = png(4)
    task = {"data": {"image": "/data/upload/3/hand.png"}}

    first, second = backend.predict([task])["results"], backend.predict([task])["results"]

    assert first == second
    assert len(model.batches) == 1


def test_a_film_that_the_network_fails_on_costs_only_its_task(backend: Backend) -> None:
    model = backend.serve(FakePredictor("v1"))
    radiographs = [backend.radiograph(seed) for seed in range(5)]
    model.failing = {radiographs[3].id}

    results = backend.predict([task_of(r) for r in radiographs])["results"]

    assert ["result" in result for result in results] == [True, True, True, False, True]
    assert "not finite" in results[3]["error"]


def test_a_prediction_that_cannot_be_kept_is_not_shown(backend: Backend) -> None:
    backend.serve(FakePredictor("v1"))
    task = task_of(backend.radiograph(1))
    backend.ledger.error = LedgerError("The ledger is locked.")

    answer = backend.post("/predict", {"tasks": [task]})

    assert answer.status_code == 500
    assert answer.get_json()["detail"] == "The ledger is locked."


def test_an_empty_batch_gets_an_empty_answer(backend: Backend) -> None:
    backend.serve(FakePredictor("v1"))

    assert backend.predict([])["results"] == []


def test_a_project_with_our_labelling_configuration_is_answered(backend: Backend) -> None:
    backend.serve(FakePredictor("v1"))

    answer = backend.predict([task_of(backend.radiograph(1))], label_config=CONFIG)

    assert "result" in answer["results"][0]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "'tasks' must be a list"),
        ({"tasks": {}}, "'tasks' must be a list"),
        ({"tasks": [], "label_config": 7}, "'label_config' must be text"),
        ({"tasks": [], "label_config": "<View/>"}, "has no <Image"),
        ({"tasks": [], "project": "../1"}, "'project' must be the number"),
        ({"tasks": [], "project": ["1"]}, "'project' must be the number"),
        ([], "must be a JSON object"),
    ],
)
def test_a_request_of_the_wrong_form_is_refused_in_one_sentence(
    backend: Backend, body: object, sentence: str
) -> None:
    answer = backend.post("/predict", body)

    assert answer.status_code == 400
    assert answer.mimetype == "application/problem+json"
    assert sentence in answer.get_json()["detail"]


def test_another_project_is_refused_by_number(backend: Backend) -> None:
    answer = backend.with_project(3).post("/predict", {"tasks": [], "project": "4.1795222281"})

    assert answer.status_code == 400
    assert answer.get_json()["detail"].startswith("Project 4 is not the project")


def test_the_pictures_of_these_tests_differ() -> None:
    assert (picture(1) != picture(2)).any()
