"""The client asks Label Studio in the right order, once, and says clearly what went wrong."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from data.errors import (
    AccessError,
    CarpalError,
    LabelStudioError,
    NotFoundError,
    ServiceUnavailableError,
)
from labeling_config import client as client_module
from labeling_config import client_connection, queries
from labeling_config.client import LabelStudio, ProjectHandle
from tests.unit.labeling_config.fake_studio import TOKEN, URL, FakeStudio, RefusedError

PROJECT = 1


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_connection, "RETRY_WAITS_S", (0.0, 0.0))


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch) -> FakeStudio:
    """A Label Studio with one project; pages and chunks are short, so that there are several."""
    monkeypatch.setattr(queries, "PAGE", 3)
    monkeypatch.setattr(client_module, "IMPORT_CHUNK", 3)
    monkeypatch.setattr(client_module, "PREDICTION_CHUNK", 3)
    fake = FakeStudio()
    fake.tables["projects"] = {PROJECT: {"id": PROJECT, "model_version": ""}}
    return fake


def with_tasks(studio: FakeStudio, count: int) -> list[int]:
    data = [{"image": f"{n}.png"} for n in range(count)]
    return studio.client().import_tasks(PROJECT, data)


def prediction(version: str, score: float = 0.5) -> dict[str, object]:
    return {"model_version": version, "score": score, "result": []}


def access_token(ends_in_s: float) -> str:
    claims = json.dumps({"exp": time.time() + ends_in_s}).encode()
    return f"head.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.{ends_in_s}"


def test_a_legacy_key_is_sent_as_token(studio: FakeStudio) -> None:
    assert studio.client().whoami() == "a@example.org"
    assert studio.headers == [f"Token {TOKEN}"]


def test_a_personal_token_is_exchanged_once_and_renewed_when_it_runs_out(
    studio: FakeStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = studio.client("per.son.al")
    given = iter([access_token(300), access_token(10), access_token(300)])
    monkeypatch.setattr(client, "access_token", lambda token: next(given))

    client.whoami()
    client.whoami()
    assert len(set(studio.headers)) == 1
    assert studio.headers[0].startswith("Bearer head.")

    later = time.time() + 290
    monkeypatch.setattr(time, "time", lambda: later)
    client.whoami()
    client.whoami()
    assert len(set(studio.headers)) == 3, "10 s are too few, so the next request renews again"


def test_the_access_token_comes_from_the_refresh_address(studio: FakeStudio) -> None:
    def answer(method: str, path: str) -> None:
        if path == "/api/token/refresh":
            raise RefusedError(200, {"access": "head.e30.tail"})

    studio.before = answer
    studio.client("per.son.al").whoami()

    assert studio.asked == [("POST", "/api/token/refresh"), ("GET", "/api/current-user/whoami")]
    assert studio.headers == ["", "Bearer head.e30.tail"]


def test_no_password_file_of_the_user_replaces_the_token(
    studio: FakeStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine studio.example.org login x password y\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    studio.client().whoami()

    assert studio.headers == [f"Token {TOKEN}"]


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example.org:3128")

    with pytest.raises(ServiceUnavailableError, match="connection refused"):
        LabelStudio(f"http://127.0.0.1:{closed_port()}", TOKEN).whoami()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield int(server.getsockname()[1])


def test_a_label_studio_that_is_down_is_one_clear_sentence() -> None:
    url = f"http://localhost:{closed_port()}"
    client = LabelStudio(url, TOKEN)

    assert not client.health()
    with pytest.raises(ServiceUnavailableError) as caught:
        client.whoami()
    assert str(caught.value) == f"Label Studio at {url} does not answer: connection refused."


def test_a_label_studio_that_hangs_is_given_up(silent_port: int) -> None:
    client = LabelStudio(f"http://127.0.0.1:{silent_port}", TOKEN, timeout_s=0.1)

    assert not client.health()
    with pytest.raises(ServiceUnavailableError, match=r"did not answer GET .* within 0\.1 s"):
        client.whoami()


def test_a_host_that_does_not_exist_is_one_clear_sentence() -> None:
    client = LabelStudio("http://studio.invalid", TOKEN, timeout_s=5)

    with pytest.raises(ServiceUnavailableError, match=r"^Label Studio at http://studio.invalid"):
        client.whoami()


def connection_fails(times: int) -> Callable[[str, str], None]:
    left = iter(range(times))

    def fail(method: str, path: str) -> None:
        if next(left, None) is not None:
            raise requests.ConnectionError(ConnectionResetError(104, "Connection reset by peer"))

    return fail


def test_a_read_is_repeated_when_the_connection_failed(studio: FakeStudio) -> None:
    studio.before = connection_fails(2)

    assert studio.client().whoami() == "a@example.org"
    assert len(studio.asked) == 3


def test_a_read_is_not_repeated_for_ever(studio: FakeStudio) -> None:
    studio.before = connection_fails(3)

    with pytest.raises(ServiceUnavailableError, match="connection reset by peer"):
        studio.client().whoami()


def test_a_write_is_never_repeated(studio: FakeStudio) -> None:
    studio.before = connection_fails(1)

    with pytest.raises(ServiceUnavailableError):
        studio.client().submit(5, [])
    assert studio.asked == [("POST", "/api/tasks/5/annotations")]


REFUSALS = {
    "no token": (401, {"detail": "Invalid token."}, AccessError, "Invalid token."),
    "not allowed": (403, {"detail": "No permission"}, AccessError, "No permission."),
    "not there": (404, {"detail": "Not found."}, NotFoundError, "Not found."),
    "bad value": (
        400,
        {"detail": "Validation error", "validation_errors": {"title": ["too short", "no"]}},
        LabelStudioError,
        "title: too short; no.",
    ),
    "its own fault": (500, {"detail": "Oops"}, LabelStudioError, "(status 500): Oops."),
    "moved away": (302, None, LabelStudioError, "(status 302)"),
    "a list": (400, ["first", "second"], LabelStudioError, "['first', 'second']"),
}


@pytest.mark.parametrize(("status", "body", "kind", "said"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_becomes_the_error_that_it_is(
    studio: FakeStudio, status: int, body: object, kind: type[CarpalError], said: str
) -> None:
    def refuse(method: str, path: str) -> None:
        raise RefusedError(status, body)

    studio.before = refuse
    with pytest.raises(kind) as caught:
        studio.client().whoami()

    assert type(caught.value) is kind
    assert said in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_another_program_on_the_port_is_recognised() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        page = threading.Thread(target=answer_with_a_page, args=(server,))
        page.start()
        with pytest.raises(LabelStudioError, match="something else than JSON"):
            LabelStudio(f"http://127.0.0.1:{server.getsockname()[1]}", TOKEN).whoami()
        page.join()


def answer_with_a_page(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")


def test_tasks_come_back_in_the_order_of_their_data(studio: FakeStudio) -> None:
    ids = with_tasks(studio, 8)

    assert [studio.table("tasks")[i]["data"]["image"] for i in ids] == [
        f"{n}.png" for n in range(8)
    ]
    assert studio.asked.count(("POST", f"/api/projects/{PROJECT}/import")) == 3


def test_an_import_that_makes_too_few_tasks_is_an_error(studio: FakeStudio) -> None:
    def lose_one(method: str, path: str) -> None:
        raise RefusedError(200, {"task_ids": [4]})

    studio.before = lose_one
    with pytest.raises(LabelStudioError, match="1 tasks of 2"):
        studio.client().import_tasks(PROJECT, [{}, {}])


def test_every_task_is_listed_once(studio: FakeStudio) -> None:
    ids = with_tasks(studio, 7)

    assert [state.task_id for state in studio.client().tasks(PROJECT)] == ids


def test_tasks_behind_one_are_listed_with_one_question_if_there_are_none(
    studio: FakeStudio,
) -> None:
    tasks = [studio.add_task(1, {"image": "x"})["id"] for _ in range(3)]
    client = studio.client()

    assert [state.task_id for state in client.tasks(1, after=tasks[1])] == tasks[2:]

    studio.asked.clear()
    assert list(client.tasks(1, after=tasks[2])) == []
    assert studio.asked == [("GET", "/api/tasks")]


def test_a_task_that_goes_while_the_list_is_read_hides_no_other(studio: FakeStudio) -> None:
    ids = with_tasks(studio, 7)
    seen = []
    for state in studio.client().tasks(PROJECT):
        seen.append(state.task_id)
        studio.table("tasks").pop(ids[0], None)

    assert seen == ids


def test_all_annotated_tasks_come_with_their_annotations(studio: FakeStudio) -> None:
    ids = with_tasks(studio, 9)
    for task in ids[::2]:
        studio.annotate(task, result=[{"from_name": "age_months"}])
    second = studio.annotate(ids[0], result=[], was_cancelled=True)

    states = list(studio.client().annotated_tasks(PROJECT))

    assert [s.task_id for s in states] == ids[::2]
    assert [a["id"] for a in states[0].annotations][-1] == second["id"]
    assert states[1].data == {"image": "2.png"}


def test_only_what_changed_is_asked_for(studio: FakeStudio) -> None:
    ids = with_tasks(studio, 5)
    old, changed = studio.annotate(ids[0], result=[]), studio.annotate(ids[1], result=[])
    since = studio.clock + timedelta(seconds=1)
    studio.delete_annotation(changed["id"])
    new = studio.annotate(ids[3], result=[])

    states = list(studio.client().annotated_tasks(PROJECT, since))

    found = {s.task_id: [a["id"] for a in s.annotations] for s in states}
    assert found == {ids[1]: [], ids[3]: [new["id"]]}
    assert old["id"] not in found.values()


def test_a_time_of_another_zone_is_asked_for_in_utc(studio: FakeStudio) -> None:
    east = datetime(2026, 1, 1, 2, 0, 0, 5, tzinfo=UTC).astimezone()

    assert queries.changed_since(east)["value"] == "2026-01-01T02:00:00.000005Z"


def test_the_ids_of_all_annotations_are_known_even_where_the_list_is_cut(
    studio: FakeStudio,
) -> None:
    ids = with_tasks(studio, 5)
    made = {studio.annotate(ids[0], result=[])["id"] for _ in range(300)}
    made |= {studio.annotate(task, result=[])["id"] for task in ids[1:4]}

    assert studio.client().annotation_ids(PROJECT) == made


def test_a_project_without_annotations_has_no_ids(studio: FakeStudio) -> None:
    with_tasks(studio, 2)

    assert studio.client().annotation_ids(PROJECT) == set()


def test_the_emails_of_the_readers_are_known(studio: FakeStudio) -> None:
    studio.tables["users"] = {1: {"id": 1, "email": "a@x.org"}, 4: {"id": 4, "email": "b@x.org"}}

    assert studio.client().user_emails() == {1: "a@x.org", 4: "b@x.org"}


def test_a_task_of_unknown_form_is_an_error_of_label_studio(studio: FakeStudio) -> None:
    studio.add("tasks", project=PROJECT, data={}, updated_at="soon")

    with pytest.raises(LabelStudioError, match="unknown form"):
        list(studio.client().tasks(PROJECT))


def test_a_submission_carries_what_an_annotators_page_sends(studio: FakeStudio) -> None:
    (task,) = with_tasks(studio, 1)

    made = studio.client().submit(task, [{"id": "a"}], lead_time_s=2.5, parent_prediction=9)

    row = studio.table("annotations")[made["id"]]
    assert (row["task"], row["result"], row["lead_time"]) == (task, [{"id": "a"}], 2.5)
    assert (row["parent_prediction"], row["was_cancelled"]) == (9, False)


def test_the_stream_ends_with_nothing(studio: FakeStudio) -> None:
    assert studio.client().next_task(PROJECT) is None


def test_the_stream_of_a_project_that_is_not_there_is_an_error(studio: FakeStudio) -> None:
    with pytest.raises(NotFoundError):
        studio.client().next_task(77)


def test_predictions_are_written_once(studio: FakeStudio) -> None:
    ids = with_tasks(studio, 7)
    rows = [(task, prediction("v1")) for task in ids]
    client = studio.client()

    assert client.write_predictions(PROJECT, rows[:4]) == 4
    assert client.write_predictions(PROJECT, rows) == 3
    assert client.write_predictions(PROJECT, rows) == 0
    assert client.prediction_counts(PROJECT) == {"v1": 7}


def test_a_prediction_of_another_version_is_another_one(studio: FakeStudio) -> None:
    ids = with_tasks(studio, 2)
    rows = [(ids[0], prediction("v1")), (ids[0], prediction("v2")), (ids[1], prediction("v2"))]

    assert studio.client().write_predictions(PROJECT, rows) == 3
    assert studio.client().prediction_counts(PROJECT) == {"v1": 1, "v2": 2}


def test_a_prediction_that_label_studio_fetched_meanwhile_stays_the_only_one(
    studio: FakeStudio,
) -> None:
    ids = with_tasks(studio, 3)

    def expert_opens_a_task(method: str, path: str) -> None:
        if path.endswith("/import/predictions"):
            studio.add("predictions", project=PROJECT, task=ids[1], **prediction("v1", 0.1))

    studio.before = expert_opens_a_task
    studio.client().write_predictions(PROJECT, [(task, prediction("v1", 0.9)) for task in ids])

    kept = {p["task"]: p["score"] for p in studio.table("predictions").values()}
    assert kept == {ids[0]: 0.9, ids[1]: 0.1, ids[2]: 0.9}
    assert len(studio.table("predictions")) == 3


@pytest.fixture
def handle(studio: FakeStudio) -> ProjectHandle:
    backend = studio.save_backend({"url": "http://b:1", "project": PROJECT, "title": "carpal"})
    return ProjectHandle(PROJECT, backend["id"])


def test_the_stream_serves_by_the_scores_of_the_chosen_version(
    studio: FakeStudio, handle: ProjectHandle
) -> None:
    ids = with_tasks(studio, 3)
    client = studio.client()
    for version, scores in {"v1": (0.1, 0.5, 0.9), "v2": (0.9, 0.5, 0.1)}.items():
        client.set_model_version(handle, version, backend_user="u", backend_password="p")
        pairs = zip(ids, scores, strict=True)
        client.write_predictions(PROJECT, [(t, prediction(version, s)) for t, s in pairs])

    state = client.next_task(PROJECT)

    assert state is not None
    assert (state.task_id, len(state.predictions)) == (ids[2], 2)
    assert studio.table("ml")[handle.backend_id]["title"] == "v2"


def test_a_version_that_is_served_already_is_left_alone(
    studio: FakeStudio, handle: ProjectHandle
) -> None:
    client = studio.client()
    client.set_model_version(handle, "v1", backend_user="u", backend_password="p")
    studio.asked.clear()

    client.set_model_version(handle, "v1", backend_user="u", backend_password="p")

    assert all(method == "GET" for method, _ in studio.asked)


def test_a_model_version_that_a_person_chose_in_label_studio_is_put_right(
    studio: FakeStudio, handle: ProjectHandle
) -> None:
    client = studio.client()
    client.set_model_version(handle, "v1", backend_user="u", backend_password="p")
    studio.table("projects")[PROJECT]["model_version"] = "v0"

    client.set_model_version(handle, "v1", backend_user="u", backend_password="p")

    assert studio.table("projects")[PROJECT]["model_version"] == "v1"


def test_a_project_that_lost_its_backend_is_reported(studio: FakeStudio) -> None:
    with pytest.raises(NotFoundError, match="lost its ML backend"):
        studio.client().set_model_version(
            ProjectHandle(PROJECT, 99), "v1", backend_user="u", backend_password="p"
        )


def test_the_address_needs_no_slash_at_the_end() -> None:
    assert LabelStudio(f"{URL}/", TOKEN).url == URL


def test_a_list_that_is_cut_while_somebody_labels_hides_no_task(
    studio: FakeStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        studio.add_task(1, {"image": str(number)})
    whole = studio.list_tasks
    answers = 0

    def cut_once(query: Mapping[str, str]) -> Any:
        nonlocal answers
        answers += 1
        page = whole(query)
        return {**page, "tasks": page["tasks"][:-1]} if answers == 1 else page

    monkeypatch.setattr(studio, "list_tasks", cut_once)

    assert len(list(studio.client().tasks(1))) == 3


def test_an_annotation_is_there_until_it_is_deleted(studio: FakeStudio) -> None:
    task = studio.add_task(1, {"image": "x"})
    annotation = studio.annotate(task["id"], result=[])

    assert studio.client().annotation_exists(annotation["id"])
    studio.delete_annotation(annotation["id"])
    assert not studio.client().annotation_exists(annotation["id"])
