"""The label stream follows the model's scores."""

from __future__ import annotations

import pytest

from data.errors import LabelStudioError
from labeling_config.client import ProjectHandle
from labeling_config.codec import result_to_values
from tests.service.label_studio.stub_backend import USER
from tests.service.label_studio.studio_cases import (
    Studio,
    label_next,
    serve,
    shuffled_scores,
    with_tasks,
    write,
)

pytestmark = pytest.mark.service


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
