"""What is recorded of a film is told the model only where it is an answer of the task's input."""

from __future__ import annotations

from dataclasses import replace

import pytest

from labeling_config.tasks import load_task
from tests.unit.workers.workspace import radiograph
from workers.recorded import recorded_inputs


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        pytest.param({"sex": "female", "view": "PA"}, {"sex": "female"}, id="recorded"),
        pytest.param({"laterality": "left"}, {}, id="not recorded"),
        pytest.param({"sex": ""}, {}, id="empty"),
        pytest.param({"sex": "other"}, {}, id="none of the choices"),
        pytest.param({"sex": "F"}, {}, id="another spelling"),
    ],
)
def test_a_recorded_sex_is_told_if_it_is_one_of_the_choices(
    metadata: dict[str, str], expected: dict[str, str]
) -> None:
    film = replace(radiograph(1), metadata=metadata)

    assert recorded_inputs(load_task("bone_age"), film) == expected


def test_a_task_without_an_input_is_told_nothing() -> None:
    spec = replace(load_task("bone_age"), input=None)

    assert recorded_inputs(spec, replace(radiograph(1), metadata={"sex": "female"})) == {}
