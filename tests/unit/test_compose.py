"""Holds docker-compose.yml against the stack that `carpal up` runs; no Docker is needed."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from carpal import label_studio, mlflow_pages, redis_server
from carpal.services import services
from carpal.watch import Service
from workers.settings import GENERATED_SECRETS, PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("backend", "worker-light", "worker-heavy", "timer", "connect")
SECRETS = {f"{PREFIX}{name.upper()}" for name in GENERATED_SECRETS}


@pytest.fixture
def stack(tmp_workspace: Settings) -> dict[str, Service]:
    return {service.name: service for service in services(tmp_workspace)}


def backend_address() -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(SERVICES["backend"]["networks"]["stack"]["ipv4_address"])


def test_it_has_the_services_of_the_stack_and_one_that_joins_them(
    stack: dict[str, Service],
) -> None:
    assert set(SERVICES) == {*stack, "connect"}


@pytest.mark.parametrize("name", ["backend", "worker-light", "worker-heavy", "timer"])
def test_our_services_run_the_same_commands(stack: dict[str, Service], name: str) -> None:
    _, dash_m, *command = stack[name].argv
    command = [part.removeprefix(f"{ROOT}/") for part in command]
    written = SERVICES[name]["command"]
    assert dash_m == "-m"
    assert written[written[0] == "python" and written.index("-m") + 1 :] == command


def test_mlflow_runs_with_the_same_options(tmp_workspace: Settings) -> None:
    _, dash_m, *local = mlflow_pages.command(tmp_workspace)
    written = SERVICES["mlflow"]["command"]
    assert dash_m == "-m"
    assert written[:4] == local[:4] == ["mlflow", "server", "--workers", "1"]


def test_mlflow_has_the_same_variables_and_no_setting_of_ours(stack: dict[str, Service]) -> None:
    local = {k: v for k, v in stack["mlflow"].env.items() if not k.startswith(PREFIX)}
    written = SERVICES["mlflow"]["environment"]
    kept_elsewhere = {"MLFLOW_BACKEND_STORE_URI", "DVC_NO_ANALYTICS"}
    assert {k: v for k, v in written.items() if k not in kept_elsewhere} == {
        k: v for k, v in local.items() if k not in kept_elsewhere
    }
    assert SERVICES["mlflow"]["env_file"] == []


def test_label_studio_runs_the_same_command(stack: dict[str, Service]) -> None:
    python, *command = SERVICES["label-studio"]["command"]
    local = list(stack["label-studio"].argv[1:])
    local[local.index("--internal-host") + 1] = "0.0.0.0"
    local[local.index("--port") + 1] = "8080"
    assert (python, command) == ("python", local)


def test_label_studio_has_the_same_settings_and_may_call_the_backend_alone() -> None:
    settings = Settings(
        home=Path("/workspace"),
        label_studio_url="http://label-studio:8080",
        label_studio_email="${CARPAL_LABEL_STUDIO_EMAIL:-admin@carpal.example.org}",
        label_studio_password="${CARPAL_LABEL_STUDIO_PASSWORD:?set it in .env}",
        label_studio_token="${CARPAL_LABEL_STUDIO_TOKEN:?set it in .env}",
        backend_url=f"http://{backend_address()}:9090",
    )
    expected = {**label_studio.environment(settings), "LABEL_STUDIO_HOST": ""}
    assert SERVICES["label-studio"]["environment"] == expected


def test_the_backend_has_a_fixed_address_in_the_declared_range() -> None:
    (config,) = COMPOSE["networks"]["stack"]["ipam"]["config"]
    assert backend_address() in ipaddress.ip_network(config["subnet"])


def test_redis_runs_with_the_same_options() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    options = dict(re.findall(r"--([a-z-]+) (\S+)", command))
    written = dict(
        line.split(" ", 1) for line in redis_server.CONFIGURATION.splitlines() if line[0] != "#"
    )
    written["maxmemory"] = redis_server.MAX_MEMORY
    assert options == {name: written[name] for name in options}
    assert {"save", "appendonly", "maxmemory", "maxmemory-policy"} == set(options)


def test_every_variable_of_ours_is_a_setting() -> None:
    known = {f"{PREFIX}{field.name.upper()}" for field in fields(Settings)}
    used = set(re.findall(rf"\b{PREFIX}[A-Z_]+", TEXT))
    assert used <= known


@pytest.mark.parametrize("name", OURS)
def test_our_services_can_read_their_settings(name: str) -> None:
    environment = {
        key: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", re.sub(r"\$\{\w+:\?[^}]*\}", "secret", value))
        for key, value in SERVICES[name]["environment"].items()
    }
    settings = Settings.load(environment)
    assert settings.redis == "redis://:secret@redis:6379/0"
    assert settings.label_studio == "http://label-studio:8080"
    assert settings.backend == f"http://{backend_address()}:9090"
    assert settings.mlflow == "http://mlflow:5000"


def test_there_is_no_default_for_any_secret() -> None:
    for name in SECRETS:
        assert f"${{{name}:?set it in .env}}" in TEXT
        assert set(re.findall(rf"\$\{{{name}([^}}]*)\}}", TEXT)) == {":?set it in .env"}


def test_no_secret_stands_on_a_command_line() -> None:
    for name, service in SERVICES.items():
        assert "${" not in " ".join(service.get("command", [])), name


def test_the_password_of_redis_reaches_redis_alone_by_its_environment() -> None:
    assert SERVICES["redis"]["environment"] == {
        "REDISCLI_AUTH": "${CARPAL_REDIS_PASSWORD:?set it in .env}"
    }


def test_ports_are_published_on_the_loopback_address_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_published_ports_are_those_of_the_settings() -> None:
    defaults = Settings()
    for name, setting in (
        ("label-studio", "label_studio_port"),
        ("backend", "backend_port"),
        ("mlflow", "mlflow_port"),
    ):
        variable = f"${{{PREFIX}{setting.upper()}:-{getattr(defaults, setting)}}}"
        assert variable in SERVICES[name]["ports"][0]


def test_every_image_is_pinned() -> None:
    for service in SERVICES.values():
        assert re.search(r":\d+\.\d+\.\d+", service["image"]), service["image"]
    for dockerfile in (ROOT / "deploy").glob("*ockerfile"):
        assert re.search(r"^FROM \S+:\d+\.\d+\.\d+", dockerfile.read_text(), re.M), dockerfile


def test_label_studio_is_the_version_of_its_requirements() -> None:
    requirements = (ROOT / "labeling_config" / "label-studio-requirements.txt").read_text()
    version = re.search(r"^label-studio==(\S+)$", requirements, re.M)
    assert version is not None
    assert SERVICES["label-studio"]["image"] == f"carpal-label-studio:{version[1]}"


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"connect"}))
def test_every_service_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]


def test_every_volume_and_network_that_is_used_is_declared() -> None:
    volumes = {v.split(":")[0] for s in SERVICES.values() for v in s.get("volumes", [])}
    networks = {n for s in SERVICES.values() for n in s["networks"]}
    assert volumes == set(COMPOSE["volumes"])
    assert networks == set(COMPOSE["networks"])


def test_redis_is_reachable_from_nowhere_else() -> None:
    assert SERVICES["redis"]["networks"] == ["queue"]
    assert COMPOSE["networks"]["queue"] == {"internal": True}
    assert "ports" not in SERVICES["redis"]


def test_every_file_that_an_image_copies_exists() -> None:
    for service in SERVICES.values():
        if "build" in service:
            text = (ROOT / service["build"]["dockerfile"]).read_text()
            for line in re.findall(r"^COPY (.*)$", text, re.M):
                for name in line.split()[:-1]:
                    assert (ROOT / name).exists(), name
