"""The backend as it really runs: gunicorn, threads, several processes, signals.

The model is a stand-in whose weights are its version, in a registry that is a folder, so that
promotions, loads and failures happen exactly when a test wants them; ledger, pool, codec, HTTP
server and counters are the real ones.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from flask import Flask
from numpy.typing import NDArray

from data.domain import Prediction, Radiograph
from data.errors import ModelError
from data.images.preparation import Preparation
from data.ledger.ledger import Ledger
from ml_backend.app import create_app
from ml_backend.logs import configure_logging
from ml_backend.metrics import shared_counters
from ml_backend.model_ports import Known, Squares
from ml_backend.services import Services
from ml_backend.serving import ModelServer
from tests.unit.ml_backend.fakes import (
    SPEC,
    FakeLedger,
    FakeModelRef,
    png,
    prediction,
    put_into_pool,
    task_of,
)
from workers import assembly
from workers.overview import overview
from workers.settings import Settings
from workers.standards import Standards

pytestmark = pytest.mark.service

ROOT = Path(__file__).resolve().parents[2]
AUTH = ("label-studio", "basic-password")
RADIOGRAPHS = 12


class FolderRegistry:
    """A registry that is a folder: `champion` names a version, `<version>.json` is the model."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, version: str, age_months: float, seconds: float = 0.0) -> None:
        model = {"version": version, "age_months": age_months, "seconds": seconds}
        (self.root / f"{version}.json").write_text(json.dumps(model))

    def promote(self, version: str) -> None:
        draft = self.root / "champion.new"
        draft.write_text(version)
        draft.replace(self.root / "champion")

    def champion(self) -> FakeModelRef | None:
        path = self.root / "champion"
        return FakeModelRef(path.read_text()) if path.exists() else None

    def fetch(self, model_version: str, cache: Path) -> Path:
        path = self.root / f"{model_version}.json"
        if not path.exists():
            raise ModelError(f"Model {model_version} is not there.")
        return path

    def models(self) -> list[FakeModelRef]:
        return [FakeModelRef(path.stem) for path in sorted(self.root.glob("v*.json"))]


class SlowPredictor:
    """Says of each image the age that its file holds, after the time that its file asks for."""

    spec_name = SPEC.name
    needs_mask = False
    preparations = (Preparation(16),)
    known_input = None
    films_together = 4

    def __init__(self, path: Path) -> None:
        model = json.loads(path.read_text())
        self.model_version: str = model["version"]
        self._age_months: float = model["age_months"]
        self._seconds: float = model["seconds"]
        self._busy = path.parent / "busy"

    def be_quick_with_few(self) -> None:
        pass

    def mask_file(self, radiograph_id: str) -> Path | None:
        return None

    def prepared(self, image: NDArray[np.uint8], radiograph_id: str) -> Squares:
        (self._busy.parent / f"film-{radiograph_id}").touch()
        return (image,)

    def predict_prepared(
        self, films: Sequence[Squares], ids: Sequence[str], known: Sequence[Known] | None = None
    ) -> list[Prediction]:
        if ids != ["trial"]:
            self._busy.touch()
            time.sleep(self._seconds)
        return [prediction(name, self.model_version, self._age_months) for name in ids]


def create_test_app() -> Flask:
    """The application that gunicorn serves in these tests; runs in each process after the fork."""
    configure_logging()
    settings = Settings.load()
    registry = FolderRegistry(settings.home / "registry")
    models = ModelServer(
        lambda: registry,
        SlowPredictor,
        task=SPEC.name,
        cache=settings.cache,
        counters=shared_counters(),
    )
    models.start()
    ledger = Ledger.open(settings.ledger)
    services = Services(
        settings=settings,
        spec=SPEC,
        ledger=ledger,
        models=models,
        counters=shared_counters(),
        limits=assembly.image_limits(settings),
        fetch_upload=lambda address: b"",
        reconcile=lambda reason: None,
        project=lambda: 3,
        overview=lambda: overview(settings, ledger),
        standards=lambda: Standards((), 0.0),
        signed_in=lambda cookie: False,
    )
    return create_app(services=services)


@dataclass
class Running:
    """A gunicorn that serves the backend, and what it serves."""

    process: subprocess.Popen[str]
    url: str
    log: Path
    registry: FolderRegistry
    radiographs: list[Radiograph] = field(default_factory=list)

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, auth=AUTH, timeout=10)

    def predict(self, radiographs: Sequence[Radiograph]) -> dict[str, Any]:
        tasks = [task_of(radiograph, n) for n, radiograph in enumerate(radiographs)]
        answer = requests.post(
            f"{self.url}/predict", json={"tasks": tasks, "project": "3.1"}, auth=AUTH, timeout=30
        )
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert isinstance(body, dict)
        return body

    def processes_serving(self, version: str) -> int:
        pattern = rf'carpal_backend_processes{{model_version="{version}"}} (\d+)'
        match = re.search(pattern, self.get("/metrics").text)
        return int(match[1]) if match else 0

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]


def wait_until(condition: Callable[[], bool], limit_s: float) -> float:
    """Waits for a condition and returns how many seconds it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit_s, "the condition did not come true in time"
        time.sleep(0.02)
    return time.monotonic() - began


@contextmanager
def serve(home: Path, workers: int = 1) -> Iterator[Running]:
    """Runs gunicorn with the real configuration on a free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    registry = FolderRegistry(home / "registry")
    registry.root.mkdir()
    book = FakeLedger()
    pool = home / "pool"
    radiographs = [put_into_pool(pool, book, png(seed)) for seed in range(RADIOGRAPHS)]
    with Ledger.open(f"sqlite:///{home / 'ledger.db'}") as ledger:
        ledger.add_radiographs(radiographs)
    log = home / "backend.log"
    environment = {
        **os.environ,
        "CARPAL_HOME": str(home),
        "CARPAL_BACKEND_PORT": str(port),
        "CARPAL_BACKEND_PASSWORD": AUTH[1],
        "CARPAL_WEBHOOK_SECRET": "webhook-secret",
    }
    command = [sys.executable, "-m", "gunicorn", f"{__name__}:create_test_app()"]
    command += ["-c", "ml_backend/gunicorn.conf.py", "--workers", str(workers)]
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=out, stderr=out, text=True
        )
        running = Running(process, f"http://127.0.0.1:{port}", log, registry, radiographs)
        try:
            yield running
        finally:
            process.terminate()
            process.wait(40)


def is_up(running: Running) -> bool:
    assert running.process.poll() is None, running.log.read_text()
    try:
        return requests.get(f"{running.url}/health", timeout=1).ok
    except requests.RequestException:
        return False


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Running]:
    with serve(tmp_path) as running:
        wait_until(lambda: is_up(running), 30)
        yield running


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Running]:
    with serve(tmp_path, workers=2) as running:
        running.registry.put("v1", 10.0)
        running.registry.promote("v1")
        wait_until(lambda: is_up(running), 30)
        wait_until(lambda: running.processes_serving("v1") == 2, 30)
        yield running


def test_a_backend_without_a_model_is_up_and_invents_nothing(one: Running) -> None:
    assert one.predict(one.radiographs[:2])["results"] == [[], []]


def test_every_process_serves_a_new_champion_within_two_seconds(two: Running) -> None:
    two.registry.put("v2", 20.0)

    two.registry.promote("v2")

    assert wait_until(lambda: two.processes_serving("v2") == 2, 10) < 2.0
    assert two.processes_serving("v1") == 0


def test_no_request_fails_and_no_answer_mixes_versions_while_models_change(two: Running) -> None:
    ages = {"v1": 10.0}
    failures: list[str] = []
    seen: set[str] = set()
    stop = threading.Event()

    def ask(seed: int) -> None:
        rng = np.random.default_rng(seed)
        while not stop.is_set():
            chosen = [two.radiographs[n] for n in rng.integers(0, RADIOGRAPHS, 4)]
            try:
                answer = two.predict(chosen)
            except (AssertionError, requests.RequestException) as error:
                failures.append(repr(error))
                return
            version = answer["model_version"]
            seen.add(version)
            for result in answer["results"]:
                found = {r["from_name"]: r["value"] for r in result["result"]}
                said = (result["model_version"], found["age_months"]["number"])
                if said != (version, ages[version]):
                    failures.append(f"{version} answered {said}")

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for number in range(2, 6):
        ages[f"v{number}"] = 10.0 * number
        two.registry.put(f"v{number}", 10.0 * number)
        two.registry.promote(f"v{number}")
        wait_until(lambda n=number: two.processes_serving(f"v{n}") == 2, 10)  # type: ignore[misc]
    stop.set()
    for thread in threads:
        thread.join()

    assert failures == []
    assert {"v1", "v5"} <= seen


def test_a_champion_that_is_missing_leaves_the_old_one_serving_and_says_so(two: Running) -> None:
    two.registry.promote("v9")

    def told() -> bool:
        return bool(two.get("/health").json()["model_state"] == "not_up_to_date")

    wait_until(told, 10)
    assert two.get("/health").json()["model_version"] == "v1"
    assert 'carpal_model_loads_total{outcome="failed"}' in two.get("/metrics").text


def test_health_and_webhooks_are_answered_at_once_while_the_model_is_busy(one: Running) -> None:
    one.registry.put("v1", 10.0, seconds=0.5)
    one.registry.promote("v1")
    wait_until(lambda: one.processes_serving("v1") == 1, 10)
    threads = [
        threading.Thread(target=one.predict, args=([radiograph],)) for radiograph in one.radiographs
    ]
    for thread in threads:
        thread.start()
    wait_until((one.registry.root / "busy").exists, 10)

    slowest = 0.0
    for number in range(20):
        began = time.monotonic()
        assert requests.get(f"{one.url}/health", timeout=1).ok
        hint = {"action": "TASKS_CREATED", "tasks": [{"id": number}], "project": {"id": 3}}
        answer = requests.post(f"{one.url}/webhook", json=hint, auth=AUTH, timeout=1)
        assert answer.status_code == 201
        slowest = max(slowest, time.monotonic() - began)
    for thread in threads:
        thread.join()

    assert slowest < 1.0


def test_sigterm_lets_requests_under_way_end(one: Running) -> None:
    one.registry.put("v1", 10.0, seconds=1.0)
    one.registry.promote("v1")
    wait_until(lambda: one.processes_serving("v1") == 1, 10)
    answers: list[dict[str, Any]] = []
    asking = threading.Thread(target=lambda: answers.append(one.predict(one.radiographs[:1])))
    asking.start()
    wait_until((one.registry.root / "busy").exists, 10)

    one.process.send_signal(signal.SIGTERM)
    asking.join()

    assert "result" in answers[0]["results"][0]
    assert one.process.wait(20) == 0


def test_sigterm_lets_every_film_that_waits_be_answered(one: Running) -> None:
    one.registry.put("v1", 10.0, seconds=0.4)
    one.registry.promote("v1")
    wait_until(lambda: one.processes_serving("v1") == 1, 10)
    answers: list[dict[str, Any]] = []
    parts = [one.radiographs[start : start + 2] for start in range(0, RADIOGRAPHS, 2)]
    threads = [
        threading.Thread(target=lambda part=part: answers.append(one.predict(part)))  # type: ignore[misc]
        for part in parts
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(list(one.registry.root.glob("film-[0-9a-f]*"))) == RADIOGRAPHS, 10)

    one.process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()

    assert [len([r for r in a["results"] if "result" in r]) for a in answers] == [2] * len(parts)
    assert one.process.wait(20) == 0


def test_a_killed_process_is_replaced_and_the_counts_go_on(two: Running) -> None:
    two.predict(two.radiographs[:1])
    victim = two.workers()[0]

    os.kill(victim, signal.SIGKILL)

    wait_until(lambda: victim not in two.workers() and len(two.workers()) == 2, 20)
    wait_until(lambda: is_up(two) and two.processes_serving("v1") == 2, 20)
    two.predict(two.radiographs[:1])
    counted = 'carpal_http_requests_total{route="predict",status="2xx"} 2'
    assert counted in two.get("/metrics").text


def test_the_access_log_holds_no_query_and_no_name(one: Running) -> None:
    one.get("/versions?access_token=f00dfeed")
    wait_until(lambda: "GET /versions 200" in one.log.read_text(), 5)

    text = one.log.read_text()

    assert "f00dfeed" not in text
    assert AUTH[1] not in text
    assert "label-studio" not in text


def test_events_of_two_processes_make_one_unbroken_chain(two: Running, tmp_path: Path) -> None:
    def hint(number: int) -> None:
        body = {"action": "TASKS_CREATED", "tasks": [{"id": number}], "project": {"id": 3}}
        answer = requests.post(f"{two.url}/webhook", json=body, auth=AUTH, timeout=10)
        assert answer.status_code == 201

    threads = [threading.Thread(target=hint, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        tasks = [event.payload["tasks"][0] for event in ledger.events()]
        assert sorted(tasks) == list(range(24))
        assert ledger.verify_chain() == 24
