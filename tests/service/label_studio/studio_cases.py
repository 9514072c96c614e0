"""A running Label Studio, and what tests do in it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from carpal import label_studio
from carpal.free_ports import free_port
from data.domain import Radiograph, Split
from labeling_config.client import LabelStudio, ProjectHandle, TaskState
from labeling_config.codec import prediction_to_json, task_data, values_to_result
from labeling_config.project import ensure_project
from labeling_config.tasks import load_task
from tests.service.label_studio.stub_backend import PASSWORD, SECRET, USER, StubBackend, serving
from tests.support import eventually, missing
from workers.settings import Settings, ensure_secrets

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / ".venv-ls" / "bin" / "python"
START_LIMIT_S = 240.0


@dataclass
class Studio:
    """A running Label Studio.

    Attributes:
        settings: Of its workspace.
        process: The server.
        client: Signed in as the account that Carpal makes.
        backend: What it talks to.
    """

    settings: Settings
    process: subprocess.Popen[bytes]
    client: LabelStudio
    backend: StubBackend

    def ensure(self, **changes: Any) -> ProjectHandle:
        arguments: dict[str, Any] = {
            "backend_url": self.settings.backend,
            "backend_user": USER,
            "backend_password": PASSWORD,
            "webhook_secret": SECRET,
            "pool_images": self.settings.pool / "images",
        }
        return ensure_project(self.client, self.backend.spec, **{**arguments, **changes})

    def changes_after_now(self, project: int) -> datetime:
        """Returns a time after every change that there was in a project."""
        states = [state.updated_at for state in self.client.tasks(project)]
        return max(states) + timedelta(microseconds=1)


@contextmanager
def running_studio(home: Path, **more: str) -> Iterator[Studio]:
    """Starts a Label Studio with a workspace of its own.

    Args:
        home: The workspace.
        more: Further variables of its environment.
    """
    if not PYTHON.exists():
        missing(f"Label Studio is not installed in {PYTHON.parent.parent.name}: run 'make setup'")
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
            label_studio.argv(settings), env=environment | more, cwd=home, stdout=log, stderr=log
        ) as process,
    ):
        try:
            assert eventually(lambda: label_studio.ready(settings), START_LIMIT_S)
            yield Studio(settings, process, client, backend)
        finally:
            client.close()
            process.terminate()


def radiographs(count: int) -> list[Radiograph]:
    return [
        Radiograph(
            f"{number:064x}",
            f"{number:016x}",
            Split.TRAIN,
            "test",
            f"images/ab/{number:064x}.png",
            9,
            9,
            datetime.now(UTC),
        )
        for number in range(count)
    ]


def with_tasks(studio: Studio, handle: ProjectHandle, count: int) -> list[tuple[int, str]]:
    """Given tasks; returns (task, radiograph) in the order in which they were made."""
    films = radiographs(count)
    data = [task_data(studio.backend.spec, film) for film in films]
    ids = studio.client.import_tasks(handle.id, data)
    return list(zip(ids, (film.id for film in films), strict=True))


def serve(studio: Studio, handle: ProjectHandle, version: str, scores: dict[str, float]) -> None:
    """Makes the backend serve a version, and Label Studio's stream follow it."""
    studio.backend.version = version
    studio.backend.scores = scores
    studio.client.set_model_version(handle, version, backend_user=USER, backend_password=PASSWORD)


def write(studio: Studio, handle: ProjectHandle, tasks: list[tuple[int, str]]) -> int:
    rows = [
        (t, prediction_to_json(studio.backend.spec, studio.backend.prediction(r))) for t, r in tasks
    ]
    return studio.client.write_predictions(handle.id, rows)


def label_next(studio: Studio, handle: ProjectHandle, age: float = 90.0) -> TaskState:
    state = studio.client.next_task(handle.id)
    assert state is not None
    result = values_to_result(studio.backend.spec, {"age_months": age, "sex": "male"})
    studio.client.submit(state.task_id, result, lead_time_s=2.0)
    return state


def shuffled_scores(names: list[str], seed: int) -> dict[str, float]:
    return {name: (seed * (7 + 11 * i)) % 101 / 101 for i, name in enumerate(names)}
