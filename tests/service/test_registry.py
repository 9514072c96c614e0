"""The model registry on real MLflow stores: an SQLite file, and a server."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from data.errors import InvalidInputError, ModelError, NotFoundError, ServiceUnavailableError
from data.images.decoding import encode_png
from data.phantoms.drawing import draw_hand
from tests.support import eventually
from tests.unit.trainer.cases import QUICK
from tests.unit.trainer.small_models import save_random_model
from trainer.model.files import WEIGHTS, check_model
from trainer.predictor import Predictor
from trainer.registry.environment import code_commit
from trainer.registry.registry import Registry

pytestmark = pytest.mark.service

PORT = 5171
METRICS = {
    "mae": 8.5,
    "mae_ci95": [7.0, 10.0],
    "numbers": {"age_months": {"bands": [{"name": "female 0-120", "cases": 12, "mae": 4.0}]}},
    "r": None,
}


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite store without anything in it: MLflow takes seconds to make one."""
    folder = tmp_path_factory.mktemp("template")
    assert Registry(f"sqlite:///{folder / 'mlflow.db'}", "bone_age").models() == []
    return folder / "mlflow.db"


@pytest.fixture
def uri(template: Path, tmp_path: Path) -> str:
    file = tmp_path / "mlflow" / "mlflow.db"
    file.parent.mkdir()
    file.write_bytes(template.read_bytes())
    return f"sqlite:///{file}"


@pytest.fixture
def registry(uri: str) -> Registry:
    return Registry(uri, "bone_age")


@pytest.fixture
def versions(registry: Registry, tmp_path: Path) -> list[str]:
    """Three registered models."""
    names = []
    for i in range(3):
        names.append(save_random_model(tmp_path / f"m{i}", f"v000{i + 1}", seed=i).model_version)
        registry.record(tmp_path / f"m{i}", METRICS)
    return names


def go_back(registry: Registry) -> str:
    """Makes the champion before champion again; returns its version."""
    version = registry.champion_before().model_version
    registry.rollback(version)
    return version


def test_a_new_workspace_has_folder_and_database_and_no_champion(tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path / 'new' / 'mlflow' / 'mlflow.db'}", "bone_age")

    assert registry.champion() is None
    assert registry.challenger() is None
    assert registry.models() == []
    with pytest.raises(NotFoundError):
        go_back(registry)


def test_a_recorded_model_is_challenger_and_keeps_its_version(
    registry: Registry, tmp_path: Path
) -> None:
    card = save_random_model(tmp_path / "model", "v0001")

    ref = registry.record(tmp_path / "model", METRICS)

    assert (ref.model_version, ref.number) == (card.model_version, 1)
    assert ref.content_hash == card.content_hash
    assert registry.challenger() == ref
    assert registry.champion() is None


def test_a_run_keeps_options_curve_metrics_tags_and_model(
    registry: Registry, uri: str, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    save_random_model(tmp_path / "model", "v0001")
    ref = registry.record(tmp_path / "model", METRICS, {"run": "r0001"})

    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    run = client.get_run(ref.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["backbone"] == QUICK.backbone
    assert run.data.params["dataset_version"] == "v0001"
    assert (run.data.tags["run"], run.data.tags["dataset_commit"]) == ("r0001", "abc123")
    assert run.data.metrics["mae"] == 8.5
    assert run.data.metrics["numbers/age_months/bands/female 0-120/mae"] == 4.0
    assert "r" not in run.data.metrics
    curve = client.get_metric_history(ref.run_id, "loss")
    assert [(m.step, m.value) for m in curve] == [(1, 0.9), (2, 0.5)]
    evaluation = client.download_artifacts(ref.run_id, "evaluation.json", str(tmp_path))
    assert json.loads(Path(evaluation).read_text())["mae_ci95"] == [7.0, 10.0]


def test_a_run_keeps_its_report_its_environment_and_what_it_learnt_from(
    registry: Registry, uri: str, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    report = tmp_path / "report"
    report.mkdir()
    (report / "report.md").write_text("# Report\n")
    save_random_model(tmp_path / "model", "v0001")

    ref = registry.record(tmp_path / "model", METRICS, report=report)

    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    kept = Path(client.download_artifacts(ref.run_id, "", str(tmp_path / "kept")))
    assert (kept / "report" / "report.md").read_text() == "# Report\n"
    assert (
        f"torch=={metadata.version('torch')}" in (kept / "environment.txt").read_text().splitlines()
    )
    run = client.get_run(ref.run_id)
    learnt_from = run.inputs.dataset_inputs[0].dataset
    assert (learnt_from.name, learnt_from.digest) == ("bone_age v0001", "abc123")
    assert json.loads(learnt_from.source) == {"version": "v0001", "commit": "abc123"}
    assert run.data.tags["mlflow.source.git.commit"].startswith(code_commit()[:40])


def test_the_curves_of_an_ensemble_are_those_of_each_member(
    registry: Registry, uri: str, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    save_random_model(tmp_path / "model", "v0001", members=2)

    ref = registry.record(tmp_path / "model", METRICS)

    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    curve = client.get_metric_history(ref.run_id, "member2/loss")
    assert [(m.step, m.value) for m in curve] == [(1, 0.9), (2, 0.5)]


def test_mlflow_itself_can_load_the_champion_and_ask_it(
    registry: Registry, uri: str, tmp_path: Path
) -> None:
    card = save_random_model(tmp_path / "model", "v0001")
    ref = registry.record(tmp_path / "model", METRICS)
    registry.promote(ref.model_version)
    film = draw_hand(100.0, "female", seed=3, size=128)
    said = Predictor.load(tmp_path / "model", "cpu").predict_images([film], ["x"])[0]

    answer = ask_by_alias(uri, encode_png(film))

    assert answer["age_months"] == said.values["age_months"]
    assert answer["model"] == card.model_version


def ask_by_alias(uri: str, film: bytes) -> dict[str, Any]:
    import mlflow
    import pandas as pd

    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    try:
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        model = mlflow.pyfunc.load_model("models:/bone_age@champion")
    finally:
        mlflow.set_tracking_uri(before[0])
        mlflow.set_registry_uri(before[1])
    table = pd.DataFrame([{"image": base64.b64encode(film).decode()}])
    answer: dict[str, Any] = model.predict(table).to_dict(orient="records")[0]
    return answer


def test_a_model_that_needs_hand_masks_can_be_run_by_mlflow_too(
    registry: Registry, uri: str, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    save_random_model(tmp_path / "model", options=replace(QUICK, crop="mask"))

    ref = registry.record(tmp_path / "model", METRICS)

    files = MlflowClient(tracking_uri=uri, registry_uri=uri).list_artifacts(ref.run_id, "model")
    assert {file.path for file in files} >= {"model/model.json", "model/MLmodel"}


def test_artefacts_lie_beside_the_database_and_nothing_in_the_working_folder(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    save_random_model(tmp_path / "model", "v0001")

    ref = registry.record(tmp_path / "model", METRICS)

    assert ref.source.startswith((tmp_path / "mlflow" / "artefacts").as_uri())
    assert list(elsewhere.iterdir()) == []


def test_recording_the_same_model_twice_registers_it_once(
    registry: Registry, tmp_path: Path
) -> None:
    save_random_model(tmp_path / "model", "v0001")

    first = registry.record(tmp_path / "model", METRICS)

    assert registry.record(tmp_path / "model", METRICS) == first
    assert registry.models() == [first]


def test_a_promoted_model_is_champion_and_no_challenger_any_more(
    registry: Registry, versions: list[str]
) -> None:
    registry.promote(versions[2])

    champion = registry.champion()
    assert champion is not None and champion.model_version == versions[2]
    assert registry.challenger() is None


def test_a_promotion_is_seen_by_another_process_at_once(
    registry: Registry, uri: str, versions: list[str]
) -> None:
    other = Registry(uri, "bone_age")
    assert other.champion() is None

    registry.promote(versions[0])
    first = other.champion()
    registry.promote(versions[1])
    second = other.champion()

    assert first is not None and first.model_version == versions[0]
    assert second is not None and second.model_version == versions[1]


def test_there_is_nothing_to_roll_back_to_before_a_model_serves(registry: Registry) -> None:
    with pytest.raises(NotFoundError, match="nothing to go back to"):
        go_back(registry)


def test_rolling_back_goes_from_champion_to_champion(
    registry: Registry, versions: list[str]
) -> None:
    for version in versions:
        registry.promote(version)

    assert go_back(registry) == versions[1]
    assert go_back(registry) == versions[0]
    with pytest.raises(NotFoundError, match="nothing to go back to"):
        go_back(registry)
    champion = registry.champion()
    assert champion is not None and champion.model_version == versions[0]


def test_a_model_that_was_rolled_back_is_not_gone_back_to(
    registry: Registry, versions: list[str]
) -> None:
    registry.promote(versions[0])
    registry.promote(versions[1])
    go_back(registry)
    registry.promote(versions[2])

    assert go_back(registry) == versions[0]


def test_promoting_the_champion_again_changes_nothing(
    registry: Registry, versions: list[str]
) -> None:
    registry.promote(versions[0])
    registry.promote(versions[1])
    registry.promote(versions[1])

    assert go_back(registry) == versions[0]


def test_a_promotion_that_was_killed_half_way_can_be_repeated(
    registry: Registry, versions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.promote(versions[0])
    with registry._log.client() as client:
        registry._write_history(client, [1])  # remembered, but not yet done

    registry.promote(versions[1])

    assert go_back(registry) == versions[0]
    with pytest.raises(NotFoundError):
        go_back(registry)


@pytest.mark.parametrize("written", [0, 1], ids=["before the alias", "after the alias"])
def test_going_back_can_be_repeated_after_a_kill(
    registry: Registry, versions: list[str], monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    for version in versions:
        registry.promote(version)
    left = [registry._write_history] * written

    def write(*arguments: Any) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop()(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(registry, "_write_history", write)
        with pytest.raises(KeyboardInterrupt):
            registry.rollback(versions[1])

    registry.rollback(versions[1])

    champion = registry.champion()
    assert champion is not None and champion.model_version == versions[1]
    assert registry.champion_before().model_version == versions[0]


def test_going_back_twice_to_the_same_model_forgets_no_other(
    registry: Registry, versions: list[str]
) -> None:
    for version in versions:
        registry.promote(version)

    registry.rollback(versions[1])
    registry.rollback(versions[1])

    assert registry.champion_before().model_version == versions[0]


def test_models_are_listed_from_the_newest(registry: Registry, versions: list[str]) -> None:
    assert [ref.model_version for ref in registry.models()] == versions[::-1]


def test_an_unknown_model_cannot_be_promoted(registry: Registry, versions: list[str]) -> None:
    with pytest.raises(NotFoundError, match="v0042-00000000"):
        registry.promote("v0042-00000000")
    with pytest.raises(NotFoundError):
        registry.promote("' OR '1'='1")


def test_a_fetched_model_is_whole_and_is_fetched_once(
    registry: Registry, versions: list[str], tmp_path: Path
) -> None:
    folder = registry.fetch(versions[0], tmp_path / "cache")
    first = (folder / WEIGHTS).stat()
    again = registry.fetch(versions[0], tmp_path / "cache")

    assert check_model(folder)[0].model_version == versions[0]
    assert folder == again == tmp_path / "cache" / versions[0]
    assert (folder / WEIGHTS).stat().st_ino == first.st_ino
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [versions[0]]


def test_an_altered_copy_in_the_cache_is_fetched_anew(
    registry: Registry, versions: list[str], tmp_path: Path
) -> None:
    folder = registry.fetch(versions[0], tmp_path / "cache")
    (folder / WEIGHTS).write_bytes(b"altered")

    assert check_model(registry.fetch(versions[0], tmp_path / "cache"))


def test_a_model_that_was_altered_in_the_store_is_refused(
    registry: Registry, versions: list[str], tmp_path: Path
) -> None:
    source = Path(registry.models()[-1].source.removeprefix("file://"))
    save_random_model(
        source, "v0001", seed=99
    )  # a whole model, but not the one that was registered

    with pytest.raises(ModelError, match="altered"):
        registry.fetch(versions[0], tmp_path / "cache")


def test_a_model_of_another_task_is_not_registered(registry: Registry, tmp_path: Path) -> None:
    save_random_model(tmp_path / "model", "v0001", task="pneumonia")

    with pytest.raises(ModelError, match="pneumonia"):
        registry.record(tmp_path / "model", METRICS)


def test_tasks_share_a_store_and_nothing_else(uri: str, tmp_path: Path) -> None:
    for task in ("bone_age", "pneumonia"):
        version = save_random_model(tmp_path / task, "v0001", task=task).model_version
        Registry(uri, task).record(tmp_path / task, METRICS)
        Registry(uri, task).promote(version)

    champion = Registry(uri, "pneumonia").champion()
    assert champion is not None and champion.number == 1
    assert len(Registry(uri, "bone_age").models()) == 1


def test_asking_for_the_champion_is_cheap_enough_for_every_second(
    registry: Registry, versions: list[str]
) -> None:
    registry.promote(versions[0])
    registry.champion()

    seconds = []
    for _ in range(20):
        began = time.process_time()
        registry.champion()
        seconds.append(time.process_time() - began)

    assert sorted(seconds)[10] < 0.02


def test_two_processes_may_make_the_store_at_the_same_time(tmp_path: Path) -> None:
    code = (
        "from trainer.registry.registry import Registry;"
        f"print(Registry('sqlite:///{tmp_path / 'new' / 'mlflow.db'}', 'bone_age').champion())"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]

    assert [process.communicate(timeout=120)[0] for process in both] == ["None\n"] * 2


def test_nothing_is_reported_to_anybody(registry: Registry) -> None:
    from mlflow.telemetry import get_telemetry_client

    registry.champion()

    assert get_telemetry_client() is None  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "uri", ["postgresql://carpal:secret@db/mlflow", "mlruns", "", "databricks"]
)
def test_an_address_that_is_neither_file_nor_server_is_refused(uri: str) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        Registry(uri, "bone_age")
    assert "secret" not in str(refusal.value)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is a letter, not a database")

    with pytest.raises(ServiceUnavailableError, match=r"mlflow\.db is not an SQLite database"):
        Registry(f"sqlite:///{tmp_path / 'mlflow.db'}", "bone_age").champion()


def test_a_server_that_is_down_is_an_error_within_seconds() -> None:
    began = time.monotonic()

    with pytest.raises(ServiceUnavailableError, match="does not answer"):
        Registry(f"http://127.0.0.1:{_free_port()}", "bone_age").champion()

    assert time.monotonic() - began < 30


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[str]:
    """An MLflow server on loopback, with artefacts proxied through it."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "mlflow.db").write_bytes(template.read_bytes())
    command = [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--host", "127.0.0.1", "--port", str(PORT), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--artifacts-destination", str(folder / "artefacts"), "--serve-artifacts"),
    ]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        address = f"http://127.0.0.1:{PORT}"
        ready = eventually(lambda: process.poll() is None and _answers(f"{address}/health"), 90)
        assert ready, (folder / "log").read_text()
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def test_a_server_keeps_models_like_a_file_does(server: str, tmp_path: Path) -> None:
    registry = Registry(server, "bone_age")
    assert registry.champion() is None
    versions = [
        save_random_model(tmp_path / f"m{i}", "v0001", seed=i).model_version for i in range(2)
    ]

    refs = [registry.record(tmp_path / f"m{i}", METRICS) for i in range(2)]
    for version in versions:
        registry.promote(version)

    assert refs[0].source.startswith("mlflow-artifacts:/")
    folder = registry.fetch(versions[1], tmp_path / "cache")
    assert check_model(folder)[0].model_version == versions[1]
    assert go_back(registry) == versions[0]
    champion = Registry(server, "bone_age").champion()
    assert champion is not None and champion.model_version == versions[0]
    assert replace(champion, number=refs[0].number) == champion


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
