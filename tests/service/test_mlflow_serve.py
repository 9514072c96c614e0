"""An exported model behind MLflow's own server."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from carpal.free_ports import free_port
from data.images.decoding import encode_png
from data.phantoms.drawing import draw_hand
from tests.support import eventually, missing
from tests.unit.trainer.small_models import save_random_model
from trainer.predictor import Predictor
from trainer.pyfunc.export import export

pytestmark = pytest.mark.service

START_LIMIT_S = 150.0
FILM = draw_hand(100.0, "female", seed=3, size=128)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "model"
    save_random_model(folder)
    return folder


@pytest.fixture(scope="module")
def address(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow's server on loopback, with an exported model."""
    if find_spec("uvicorn") is None:
        missing("There is no uvicorn, which MLflow's server needs: pip install mlflow")
    folder, port = tmp_path_factory.mktemp("served"), free_port()
    export(model, folder / "model")
    command = [
        *(sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(folder / "model")),
        *("--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)),
    ]
    # MLflow's server is started by its name, which lies beside this Python.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **os.environ,
        "PATH": path,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
    }
    log = folder / "log"
    with log.open("w") as lines:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=lines, stderr=lines, start_new_session=True
        )
    try:
        where = f"http://127.0.0.1:{port}"
        eventually(lambda: process.poll() is not None or answers(where), START_LIMIT_S)
        if process.poll() is not None or not answers(where):
            missing(f"MLflow's server does not start: {log.read_text()[-2000:]}")
        yield where
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def answers(where: str) -> bool:
    try:
        with urllib.request.urlopen(f"{where}/ping", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def post(where: str, *rows: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        f"{where}/invocations",
        json.dumps({"dataframe_records": rows}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read(), parse_constant=pytest.fail)["predictions"]


def test_a_film_gets_the_answer_that_the_model_gives_here(model: Path, address: str) -> None:
    said = Predictor.load(model, "cpu").predict_images([FILM], ["x"], [{"sex": "male"}])[0]
    text = base64.b64encode(encode_png(FILM)).decode()

    told, unreadable = post(address, {"image": text, "sex": "male"}, {"image": "bm8=", "sex": None})

    low, high = said.intervals["age_months"]
    assert told["age_months"] == pytest.approx(said.values["age_months"])
    assert (told["age_low"], told["age_high"]) == pytest.approx((low, high))
    assert (told["used_sex"], told["sex_predicted"]) == ("male", False)
    assert (told["model"], told["error"]) == (said.model_version, None)
    assert unreadable["age_months"] is None
    assert "not an image" in unreadable["error"]
