"""A real Label Studio with a stand-in for our backend."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest

from carpal import label_studio
from carpal.free_ports import free_port
from data.domain import TaskSpec
from labeling_config.client import LabelStudio, ProjectHandle
from labeling_config.tasks import load_task
from tests.service.label_studio.stub_backend import StubBackend, serving
from tests.service.label_studio.studio_cases import PYTHON, Studio
from tests.support import eventually, missing
from workers.settings import Settings, ensure_secrets

START_LIMIT_S = 240.0


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    if not PYTHON.exists():
        missing(f"Label Studio is not installed in {PYTHON.parent.parent.name}: run 'make setup'")
    home = tmp_path_factory.mktemp("label-studio") / "workspace"
    ensure_secrets(home)
    settings = replace(
        Settings.load({"CARPAL_HOME": str(home)}),
        label_studio_python=PYTHON,
        label_studio_port=free_port(),
        backend_port=free_port(),
    )
    label_studio.prepare_template(PYTHON)
    assert label_studio.seed_workspace(settings)
    backend = StubBackend(load_task("bone_age"))
    client = LabelStudio(settings.label_studio, settings.label_studio_token, timeout_s=30)
    environment = {"PATH": os.defpath, "HOME": str(home), **label_studio.environment(settings)}
    with (
        serving(backend, settings.backend_port),
        (home / "label-studio.log").open("wb") as log,
        subprocess.Popen(
            label_studio.argv(settings), env=environment, cwd=home, stdout=log, stderr=log
        ) as process,
    ):
        try:
            assert eventually(lambda: label_studio.ready(settings), START_LIMIT_S)
            yield Studio(settings, process, client, backend)
        finally:
            client.close()
            process.terminate()


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
