from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from carpal import services as stack
from carpal.services import services, settings_environment, with_absolute_paths
from carpal.watch import Service
from data.errors import StackError
from workers.settings import GENERATED_SECRETS, Settings

ROOT = Path(__file__).resolve().parents[3]
NAMES = ["redis", "label-studio", "backend", "worker-light", "worker-heavy", "timer", "mlflow"]


def named(settings: Settings) -> dict[str, Service]:
    return {service.name: service for service in services(settings)}


def test_the_stack_has_seven_services(tmp_workspace: Settings) -> None:
    assert [service.name for service in services(tmp_workspace)] == NAMES


@pytest.mark.parametrize(
    ("setting", "url", "left_out"),
    [
        ("redis_url", "redis://elsewhere:6379/0", "redis"),
        ("label_studio_url", "https://labels.example.org", "label-studio"),
        ("mlflow_uri", "https://mlflow.example.org", "mlflow"),
        ("backend_url", "http://127.0.0.1:9090/hand", "backend"),
    ],
)
def test_what_runs_elsewhere_is_not_started(
    tmp_workspace: Settings, setting: str, url: str, left_out: str
) -> None:
    settings = replace(tmp_workspace, **{setting: url})  # type: ignore[arg-type]
    assert set(NAMES) - set(named(settings)) == {left_out}


@pytest.mark.parametrize("url", ["http://127.0.0.2:9090", "http://127.0.0.2/"])
def test_an_address_of_the_backend_without_a_path_is_that_of_ours(
    tmp_workspace: Settings, url: str
) -> None:
    assert set(named(replace(tmp_workspace, backend_url=url))) == set(NAMES)


def test_a_workspace_that_the_backend_cannot_serve_too_is_said_before_anything_starts(
    tmp_workspace: Settings, tmp_path: Path
) -> None:
    with pytest.raises(StackError, match="hand is no workspace"):
        services(replace(tmp_workspace, also_serves=str(tmp_path / "hand")))


def test_other_workspaces_are_handed_down_by_their_whole_paths(
    tmp_workspace: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    settings = with_absolute_paths(replace(tmp_workspace, also_serves="hand, knee"))

    assert settings.also_serves == f"{tmp_path}/hand,{tmp_path}/knee"


def test_mlflow_pages_are_started_for_a_store_in_a_database(tmp_workspace: Settings) -> None:
    settings = replace(tmp_workspace, mlflow_uri="postgresql://user:pass@host/mlflow")
    mlflow = named(settings)["mlflow"]
    assert mlflow.env["MLFLOW_BACKEND_STORE_URI"] == settings.mlflow_uri
    assert settings.mlflow_uri not in mlflow.argv


def test_no_secret_stands_on_a_command_line(tmp_workspace: Settings) -> None:
    line = " ".join(" ".join(service.argv) for service in services(tmp_workspace))
    for name in GENERATED_SECRETS:
        assert getattr(tmp_workspace, name) not in line, name


def test_no_secret_is_shown_with_a_service(tmp_workspace: Settings) -> None:
    shown = repr(services(tmp_workspace))
    for name in ("backend_password", "webhook_secret", "label_studio_password", "salt"):
        assert getattr(tmp_workspace, name) not in shown.replace(repr(tmp_workspace.home), ""), name


def test_our_services_read_back_exactly_these_settings(tmp_workspace: Settings) -> None:
    settings = with_absolute_paths(
        replace(tmp_workspace, retrain_after=7, test_share=0.25, git_author="Ann <ann@example.org>")
    )
    ours = named(settings)
    for name in ("backend", "worker-light", "worker-heavy", "timer", "mlflow"):
        assert Settings.load(ours[name].env) == settings, name


def test_every_setting_is_handed_down(tmp_workspace: Settings) -> None:
    assert Settings.load(settings_environment(tmp_workspace)) == tmp_workspace


def test_every_port_is_a_loopback_port_of_the_settings(tmp_workspace: Settings) -> None:
    listening = {s.name: (s.address, s.port_setting) for s in services(tmp_workspace) if s.address}
    assert listening == {
        "redis": (("127.0.0.1", tmp_workspace.redis_port), "CARPAL_REDIS_PORT"),
        "label-studio": (
            ("127.0.0.1", tmp_workspace.label_studio_port),
            "CARPAL_LABEL_STUDIO_PORT",
        ),
        "backend": (("127.0.0.1", tmp_workspace.backend_port), "CARPAL_BACKEND_PORT"),
        "mlflow": (("127.0.0.1", tmp_workspace.mlflow_port), "CARPAL_MLFLOW_PORT"),
    }


def test_each_service_has_a_log_of_its_own_in_the_workspace(tmp_workspace: Settings) -> None:
    logs = {service.name: service.log for service in services(tmp_workspace)}
    assert logs == {name: tmp_workspace.home / "logs" / f"{name}.log" for name in NAMES}


def test_workers_wait_for_what_they_talk_to(tmp_workspace: Settings) -> None:
    stack = named(tmp_workspace)
    for name in ("worker-light", "worker-heavy", "timer"):
        assert set(stack[name].needs) == {"redis", "label-studio", "backend"}


def test_our_services_run_in_the_same_python(tmp_workspace: Settings) -> None:
    for name, service in named(tmp_workspace).items():
        if name not in ("redis", "label-studio"):
            assert service.argv[0] == sys.executable


def test_asking_for_the_services_changes_nothing(tmp_workspace: Settings) -> None:
    before = sorted(tmp_workspace.home.rglob("*"))
    services(tmp_workspace)
    assert sorted(tmp_workspace.home.rglob("*")) == before


def test_relative_paths_mean_the_working_directory(
    tmp_workspace: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = with_absolute_paths(
        replace(tmp_workspace, train_config="options.yaml", dvc_remote="remote")
    )
    assert settings.train_config == str(tmp_path / "options.yaml")
    assert settings.dvc_remote == str(tmp_path / "remote")


def test_addresses_are_not_taken_for_paths(tmp_workspace: Settings) -> None:
    settings = replace(tmp_workspace, dvc_remote="s3://bucket/folder")
    assert with_absolute_paths(settings).dvc_remote == "s3://bucket/folder"


def test_label_studios_python_is_found_beside_the_code_and_its_link_is_kept(
    tmp_workspace: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = replace(tmp_workspace, label_studio_python=Path(".venv-ls/bin/python"))
    assert with_absolute_paths(settings).label_studio_python == ROOT / ".venv-ls/bin/python"


def test_nothing_answers_where_nothing_listens(tmp_workspace: Settings) -> None:
    assert not stack.http_answers("127.0.0.1", tmp_workspace.backend_port, "/health")


def test_the_operations_page_lists_every_service_with_its_port_and_log() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    for service in services(Settings(home=ROOT / "workspace")):
        row = next(line for line in page.splitlines() if line.startswith(f"| `{service.name}` |"))
        assert row.endswith(f"| `logs/{service.log.name}` |")
        if service.address:
            assert f"| {service.address[1]} (`{service.port_setting}`) |" in row
