"""A real Label Studio with a stand-in for our backend."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from data.domain import TaskSpec
from labeling_config.client import ProjectHandle
from tests.service.label_studio.studio_cases import Studio, running_studio


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with running_studio(tmp_path_factory.mktemp("label-studio") / "workspace") as studio:
        yield studio


@pytest.fixture(autouse=True)
def a_fresh_backend(studio: Studio) -> None:
    studio.backend.version = "none"
    studio.backend.scores = {}
    studio.backend.down = studio.backend.open_health = False
    studio.backend.asked.clear()


@pytest.fixture
def spec(studio: Studio) -> TaskSpec:
    return studio.backend.spec


@pytest.fixture
def handle(studio: Studio) -> Iterator[ProjectHandle]:
    handle = studio.ensure()
    yield handle
    studio.client.request("DELETE", f"/api/projects/{handle.id}/")
