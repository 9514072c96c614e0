"""The backend on its real parts: trained models, MLflow, ledger, pool, codec, gunicorn."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from data.domain import Example, Prediction, Radiograph, Split, TaskSpec
from data.importing.items import import_items
from data.ledger.ledger import Ledger
from data.phantoms.drawing import PhantomTruth, draw_phantoms
from data.pool import Pool
from data.sources.known_targets import AGE, SEX
from data.sources.phantoms import read_phantoms
from labeling_config.codec import prediction_to_json, task_data
from labeling_config.tasks import load_task
from trainer.model.files import WEIGHTS
from trainer.options import TrainOptions
from trainer.predictor import Predictor
from trainer.registry.registry import Registry
from trainer.train import train
from workers.settings import Settings

pytestmark = pytest.mark.service

ROOT = Path(__file__).resolve().parents[2]
AUTH = ("label-studio", "basic-password")
IMAGE_SIZE = 128
CASES = 24
SEEDS = (0, 1, 2)


@dataclass
class Stack:
    """A workspace with three small trained models, and the backend that serves it."""

    settings: Settings
    spec: TaskSpec
    registry: Registry
    models: dict[str, Path]
    radiographs: list[Radiograph]
    url: str

    def predictions(self, version: str) -> list[dict[str, Any]]:
        """Returns what a model says of every radiograph, asked without the backend."""
        files = [(r.id, self.settings.pool / r.path) for r in self.radiographs]
        said, errors = Predictor.load(self.models[version], "cpu").predict_files(files)
        assert errors == {}
        return [prediction_to_json(self.spec, prediction) for prediction in said]

    def ask(self) -> dict[str, Any]:
        """Asks the backend about every radiograph, as Label Studio does."""
        tasks = [{"id": n, "data": task_data(self.spec, r)} for n, r in enumerate(self.radiographs)]
        body = {"tasks": tasks, "label_config": self.spec.config_xml}
        answer = requests.post(f"{self.url}/predict", json=body, auth=AUTH, timeout=60)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert isinstance(found, dict)
        return found

    def processes_serving(self, version: str) -> int:
        text = requests.get(f"{self.url}/metrics", auth=AUTH, timeout=10).text
        match = re.search(rf'carpal_backend_processes{{model_version="{version}"}} (\d+)', text)
        return int(match[1]) if match else 0

    def promote(self, version: str) -> float:
        """Promotes a model; returns the seconds until every process serves it."""
        self.registry.promote(version)
        return wait_until(lambda: self.processes_serving(version) == 2, 120)


def wait_until(condition: Callable[[], bool], limit_s: float) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit_s, "the condition did not come true in time"
        time.sleep(0.02)
    return time.monotonic() - began


def import_phantoms(settings: Settings) -> list[tuple[Radiograph, PhantomTruth]]:
    pool = Pool(settings.pool)
    with Ledger.open(settings.ledger) as ledger:
        report = import_items(
            read_phantoms(CASES, seed=0, size=IMAGE_SIZE),
            pool=pool,
            ledger=ledger,
            source="phantoms",
            salt="salt",
            calibration_share=0.2,
            test_share=0.2,
            reference_splits=frozenset(),
            targets=(AGE, SEX),
        )
        assert report.new == CASES, report
        known = {name: ledger.radiograph(i) for name, i in report.radiograph_ids.items()}
    truths = {name: truth for name, truth, _ in draw_phantoms(CASES, 0, IMAGE_SIZE)}
    return [(r, truths[name]) for name, r in known.items() if r is not None]


def train_models(settings: Settings, spec: TaskSpec) -> tuple[dict[str, Path], list[Radiograph]]:
    cases = import_phantoms(settings)
    examples = [
        Example(
            radiograph.id,
            settings.pool / radiograph.path,
            {"age_months": truth.age_months, "sex": truth.sex},
            Split.CALIBRATION if number % 3 == 0 else Split.TRAIN,
        )
        for number, (radiograph, truth) in enumerate(cases)
    ]
    models: dict[str, Path] = {}
    for seed in SEEDS:
        options = TrainOptions(
            image_size=32, epochs=1, min_steps=2, seed=seed, device="cpu", workers=1
        )
        folder = settings.home / "trained" / str(seed)
        made = train(spec, examples, options, folder, dataset_version=f"v000{seed + 1}")
        models[made.model_version] = folder
    return models, [radiograph for radiograph, _ in cases]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("workspace")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "CARPAL_HOME": str(home),
        "CARPAL_BACKEND_PORT": str(port),
        "CARPAL_BACKEND_PASSWORD": AUTH[1],
        "CARPAL_WEBHOOK_SECRET": "webhook-secret",
        "CARPAL_DEVICE": "cpu",
        "CARPAL_REDIS_PORT": "1",
    }
    settings, spec = Settings.load(environment), load_task("bone_age")
    models, radiographs = train_models(settings, spec)
    registry = Registry(settings.mlflow, spec.name)
    for folder in models.values():
        registry.record(folder, {"mae": 1.0})
    command = [sys.executable, "-m", "gunicorn", "ml_backend.app:create_app()"]
    command += ["-c", "ml_backend/gunicorn.conf.py", "--workers", "2"]
    log = home / "backend.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=out, stderr=out
        )
    url = f"http://127.0.0.1:{port}"
    made = Stack(settings, spec, registry, models, radiographs, url)

    def is_up() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return requests.get(f"{url}/health", timeout=1).ok
        except requests.RequestException:
            return False

    try:
        wait_until(is_up, 120)
        yield made
    finally:
        process.terminate()
        process.wait(40)


def test_before_the_first_promotion_nothing_is_said(stack: Stack) -> None:
    answer = stack.ask()

    assert answer["results"] == [[] for _ in stack.radiographs]
    assert answer["model_version"] == ""


def test_the_backend_says_what_the_model_says_and_keeps_it(stack: Stack) -> None:
    version = next(iter(stack.models))
    stack.promote(version)

    results = stack.ask()["results"]

    assert results == stack.predictions(version)
    with Ledger.open(stack.settings.ledger) as ledger:
        kept = ledger.predictions(version)
    assert set(kept) == {radiograph.id for radiograph in stack.radiographs}
    assert stack.ask()["results"] == results


def test_a_promotion_under_load_is_served_by_both_processes_within_two_seconds(
    stack: Stack,
) -> None:
    first, second = list(stack.models)[:2]
    stack.promote(first)
    expected = {version: stack.predictions(version) for version in (first, second)}
    wrong: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                answer = stack.ask()
            except (AssertionError, requests.RequestException) as error:
                wrong.append(repr(error))
                return
            if answer["results"] != expected[answer["model_version"]]:
                wrong.append(f"not what {answer['model_version']} says")

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    took_s = stack.promote(second)
    stop.set()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert took_s < 2.0


def test_an_altered_model_never_serves(stack: Stack) -> None:
    first, _, third = list(stack.models)
    stack.promote(first)
    (weights,) = [
        path
        for path in (stack.settings.home / "mlflow").rglob(WEIGHTS)
        if path.read_bytes() == (stack.models[third] / WEIGHTS).read_bytes()
    ]
    altered = bytearray(weights.read_bytes())
    altered[-1] ^= 1
    weights.write_bytes(altered)
    stack.registry.promote(third)

    def both_have_tried() -> bool:
        text = requests.get(f"{stack.url}/metrics", auth=AUTH, timeout=5).text
        return 'carpal_model_loads_total{outcome="failed"} 2' in text

    wait_until(both_have_tried, 20)
    assert stack.processes_serving(first) == 2
    page = requests.get(stack.url, timeout=5).text
    assert "altered" in page
    shutil.copy(stack.models[third] / WEIGHTS, weights)
    stack.registry.promote(first)


def test_an_image_that_is_sent_gets_the_answer_of_the_pool(stack: Stack) -> None:
    version = next(iter(stack.models))
    stack.promote(version)
    radiograph = stack.radiographs[0]
    path = stack.settings.pool / radiograph.path
    stack.ask()

    form = {"file": ("hand.png", path.read_bytes())}
    answer = requests.post(f"{stack.url}/api/predict", files=form, auth=AUTH, timeout=30).json()

    with Ledger.open(stack.settings.ledger) as ledger:
        kept = ledger.prediction(radiograph.id, version)
    assert isinstance(kept, Prediction)
    assert answer["bone_age"] == pytest.approx(kept.values["age_months"])
    assert answer["used_sex"] == str(kept.values["sex"])[0]
    assert answer["model_version"] == version


def test_a_webhook_is_accepted_at_once_while_redis_is_down(stack: Stack) -> None:
    body = {"action": "ANNOTATION_CREATED", "annotation": {"id": 1}, "project": {"id": 3}}
    began = time.monotonic()

    answer = requests.post(f"{stack.url}/webhook", json=body, auth=AUTH, timeout=1)

    assert answer.status_code == 201
    assert time.monotonic() - began < 1.0
    with Ledger.open(stack.settings.ledger) as ledger:
        assert ledger.verify_chain() >= 1
