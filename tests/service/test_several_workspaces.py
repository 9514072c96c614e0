"""One gunicorn serves two workspaces with two tasks, and a third that is damaged."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

import labeling_config
from carpal.free_ports import free_port
from data.domain import Radiograph
from data.importing.items import import_items
from data.ledger.ledger import Ledger
from data.pool import Pool
from data.sources.known_targets import AGE, SEX
from data.sources.phantoms import read_phantoms
from labeling_config.codec import task_data
from tests.support import eventually
from tests.unit.trainer.small_models import save_random_model
from workers import assembly
from workers.promotion import CHAMPION
from workers.settings import Settings, ensure_secrets
from workers.workspace_file import WORKSPACE_FILE

pytestmark = pytest.mark.service

ROOT = Path(__file__).resolve().parents[2]
BONE_AGE = Path(labeling_config.__file__).parent / "bone_age"
FILMS = 2
START_S = 120.0


@dataclass(frozen=True)
class Room:
    """A workspace, and where it is served."""

    settings: Settings
    url: str
    version: str
    films: list[Radiograph]

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, auth=auth_of(self.settings), timeout=10)

    def ask(self) -> dict[str, Any]:
        """Asks about its films, as Label Studio does."""
        spec = assembly.task(self.settings)
        tasks = [{"id": n, "data": task_data(spec, film)} for n, film in enumerate(self.films)]
        body = {"tasks": tasks, "label_config": spec.config_xml}
        answer = requests.post(
            f"{self.url}/predict", json=body, auth=auth_of(self.settings), timeout=60
        )
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert isinstance(found, dict)
        return found


@dataclass(frozen=True)
class House:
    """The server."""

    url: str
    main: Room
    hand: Room


def auth_of(settings: Settings) -> tuple[str, str]:
    return settings.backend_user, settings.backend_password


def furnish(home: Path, url: str, seed: int, kept: str = "") -> Room:
    """Makes a workspace with films and a champion."""
    ensure_secrets(home)
    (home / WORKSPACE_FILE).write_text(kept)
    settings = Settings.load({"CARPAL_HOME": str(home)})
    spec = assembly.task(settings)
    card = save_random_model(home / "model", f"v{seed:04}", seed, spec.name)
    registry = assembly.registry(settings)
    registry.record(home / "model", {"mae": 1.0})
    registry.promote(card.model_version)
    with assembly.open_ledger(settings) as ledger:
        ledger.set_state(CHAMPION, card.model_version)
        import_items(
            read_phantoms(FILMS, seed=seed, size=96),
            pool=Pool(settings.pool),
            ledger=ledger,
            source="phantoms",
            salt="salt",
            calibration_share=0.2,
            test_share=0.2,
            reference_splits=frozenset(),
            targets=(AGE, SEX),
        )
        return Room(settings, url, card.model_version, ledger.radiographs())


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    root, port = tmp_path_factory.mktemp("house"), free_port()
    url = f"http://127.0.0.1:{port}"
    shutil.copytree(BONE_AGE, root / "tasks" / "hand_age")
    main = furnish(root / "main", url, seed=1)
    hand_file = f'task = "{root}/tasks/hand_age"\nredis_port = 6391\n'
    hand = furnish(root / "hand", f"{url}/hand", 2, hand_file)
    ensure_secrets(root / "knee")
    (root / "knee" / WORKSPACE_FILE).write_text("redis_port = 6392\n")
    (root / "knee" / "ledger.db").write_text("This was a ledger.")
    environment = {
        "CARPAL_HOME": str(root / "main"),
        "CARPAL_TASK": "bone_age",
        "CARPAL_ALSO_SERVES": f"{root}/hand,{root}/knee",
        "CARPAL_BACKEND_PORT": str(port),
        "CARPAL_DEVICE": "cpu",
        "CARPAL_MLFLOW_URI": main.settings.mlflow,
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "gunicorn", "ml_backend.server:create_server()"]
    command += ["-c", "ml_backend/gunicorn.conf.py", "--workers", "2"]
    log = root / "backend.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=out, stderr=out
        )
    try:
        for room in (main, hand):
            assert eventually(lambda room=room: serving(room) == 2, START_S), log.read_text()
        yield House(url, main, hand)
    finally:
        process.terminate()
        process.wait(40)


def serving(room: Room) -> int:
    """Returns how many processes serve the room's model."""
    try:
        text = room.get("/metrics").text
    except requests.RequestException:
        return 0
    found = re.findall(r'carpal_backend_processes{model_version="(.*)"} (\d+)', text)
    assert {version for version, _ in found} <= {room.version}
    return sum(int(processes) for _, processes in found)


def test_each_workspace_predicts_its_own_films_with_its_own_model_and_keeps_it(
    house: House,
) -> None:
    for room in (house.main, house.hand):
        answer = room.ask()

        assert answer["model_version"] == room.version
        assert [len(result["result"]) > 0 for result in answer["results"]] == [True] * FILMS
        with Ledger.open(room.settings.ledger) as ledger:
            assert set(ledger.predictions(room.version)) == {film.id for film in room.films}


def test_the_workspaces_tell_their_tasks_apart(house: House) -> None:
    for room, name in ((house.main, "bone_age"), (house.hand, "hand_age")):
        assert requests.get(f"{room.url}/health", timeout=10).json()["model_version"] == (
            room.version
        )
        assert room.get(f"/v2/models/{name}").status_code == 200
    assert house.main.get("/v2/models/hand_age").status_code == 404


def test_no_password_opens_the_other_workspace(house: House) -> None:
    for room, other in ((house.main, house.hand), (house.hand, house.main)):
        auth = auth_of(other.settings)
        assert requests.get(f"{room.url}/metrics", auth=auth, timeout=10).status_code == 401


def test_what_both_processes_count_stays_with_the_workspace(house: House) -> None:
    def health(room: Room) -> int:
        counted = r'carpal_http_requests_total{route="health",status="2xx"} (\d+)'
        found = re.search(counted, room.get("/metrics").text)
        assert found is not None
        return int(found[1])

    before = health(house.main), health(house.hand)
    for _ in range(8):
        assert requests.get(f"{house.hand.url}/health", timeout=10).ok

    assert (health(house.main), health(house.hand)) == (before[0], before[1] + 8)


def test_a_damaged_workspace_says_so_below_its_prefix_alone(house: House) -> None:
    answer = requests.get(f"{house.url}/knee/health", timeout=10)

    assert answer.status_code == 503
    assert answer.json()["detail"] == "The workspace 'knee' cannot be opened; the log says why."
    assert requests.get(f"{house.url}/health", timeout=10).ok
