"""What experts submit and upload in Label Studio arrives; keys are checked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from data.domain import TaskSpec
from data.errors import AccessError, InvalidInputError
from data.images.decoding import encode_png
from data.ledger.ledger import Ledger
from data.phantoms.drawing import draw_hand
from data.readers.consensus import consensus
from labeling_config.client import LabelStudio, ProjectHandle
from labeling_config.codec import annotation_to_reading, result_to_values, values_to_result
from tests.service.label_studio.stub_backend import SECRET
from tests.service.label_studio.studio_cases import Studio, serve, with_tasks, write
from workers.adoption import Adopter, not_adopted
from workers.bootstrap import PROJECT
from workers.reconcile import reconcile_labels

pytestmark = pytest.mark.service


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
