"""Label Studio is started closed to the outside, without secrets where others can read them."""

from __future__ import annotations

import ipaddress
import socket
import sqlite3
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carpal.label_studio import (
    BANNED_SUBNETS,
    argv,
    banned_subnets,
    environment,
    prepare_template,
    ready,
    seed_workspace,
)
from data.errors import StackError
from workers.settings import GENERATED_SECRETS, Settings


def banned(address: str, networks: list[str]) -> bool:
    ip = ipaddress.ip_address(address)
    return any(ip in ipaddress.ip_network(network) for network in networks)


def test_only_the_backends_address_is_let_through() -> None:
    networks = banned_subnets(["127.0.0.1"])

    assert not banned("127.0.0.1", networks)
    for address in ("127.0.0.0", "127.0.0.2", "10.1.2.3", "169.254.169.254", "192.168.0.1", "::1"):
        assert banned(address, networks), address


def test_a_backend_in_a_private_network_opens_its_address_only() -> None:
    networks = banned_subnets(["172.18.0.5", "fc00::5"])

    assert not banned("172.18.0.5", networks)
    assert not banned("fc00::5", networks)
    for address in ("172.18.0.4", "172.18.0.6", "fc00::4", "127.0.0.1"):
        assert banned(address, networks), address


@given(st.ip_addresses(), st.ip_addresses())
def test_every_other_address_is_banned_as_before(
    allowed: ipaddress.IPv4Address, asked: ipaddress.IPv4Address
) -> None:
    expected = banned(str(asked), list(BANNED_SUBNETS)) and asked != allowed

    assert banned(str(asked), banned_subnets([str(allowed)])) == expected


def test_the_environment_closes_label_studio(tmp_workspace: Settings) -> None:
    env = environment(tmp_workspace)

    assert env["LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK"] == "true"
    assert env["LABEL_STUDIO_SSRF_PROTECTION_ENABLED"] == "true"
    assert env["LABEL_STUDIO_ML_BLOCK_LOCAL_IP"] == "true"
    assert env["LABEL_STUDIO_COLLECT_ANALYTICS"] == "false"
    assert env["LABEL_STUDIO_SENTRY_DSN"] == env["LABEL_STUDIO_FRONTEND_SENTRY_DSN"] == ""
    assert env["LABEL_STUDIO_ALLOWED_HOSTS"] == "127.0.0.1,localhost"
    networks = env["LABEL_STUDIO_USER_ADDITIONAL_BANNED_SUBNETS"].split(",")
    assert banned("10.0.0.1", networks)
    assert not banned("127.0.0.1", networks)


def test_the_environment_names_the_workspace_and_the_account(tmp_workspace: Settings) -> None:
    env = environment(tmp_workspace)

    assert env["LABEL_STUDIO_BASE_DATA_DIR"] == str(tmp_workspace.home / "label-studio")
    assert env["LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT"] == str(tmp_workspace.home / "pool")
    assert env["LABEL_STUDIO_USERNAME"] == tmp_workspace.label_studio_email
    assert env["LABEL_STUDIO_PASSWORD"] == tmp_workspace.label_studio_password
    assert env["LABEL_STUDIO_USER_TOKEN"] == tmp_workspace.label_studio_token


def test_no_inherited_variable_outranks_ours(tmp_workspace: Settings) -> None:
    assert all(name.startswith("LABEL_STUDIO_") for name in environment(tmp_workspace))


def test_a_public_address_is_the_only_other_name_that_is_answered(
    tmp_workspace: Settings,
) -> None:
    settings = replace(tmp_workspace, label_studio_url="https://films.example.org")

    env = environment(settings)

    assert env["LABEL_STUDIO_HOST"] == "https://films.example.org"
    assert env["LABEL_STUDIO_ALLOWED_HOSTS"] == "127.0.0.1,films.example.org,localhost"


def test_every_address_of_the_backends_name_is_let_through(
    tmp_workspace: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [(0, 0, 0, "", ("::1", 0, 0, 0)), (0, 0, 0, "", ("127.0.0.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
    settings = replace(tmp_workspace, backend_url="http://backend:9090")

    networks = environment(settings)["LABEL_STUDIO_USER_ADDITIONAL_BANNED_SUBNETS"].split(",")

    assert not banned("127.0.0.1", networks)
    assert not banned("::1", networks)


def test_a_backend_name_that_does_not_resolve_is_said(tmp_workspace: Settings) -> None:
    with pytest.raises(StackError, match=r"'backend.invalid' .* CARPAL_BACKEND_URL"):
        environment(replace(tmp_workspace, backend_url="http://backend.invalid:9090"))


def test_the_command_line_binds_loopback_and_holds_no_secret(tmp_workspace: Settings) -> None:
    line = argv(tmp_workspace)

    assert line[line.index("--internal-host") + 1] == "127.0.0.1"
    assert line[line.index("--port") + 1] == str(tmp_workspace.label_studio_port)
    for name in GENERATED_SECRETS:
        assert not any(getattr(tmp_workspace, name) in part for part in line)


def test_a_port_on_which_nobody_answers_is_not_ready(tmp_workspace: Settings) -> None:
    assert not ready(tmp_workspace)


FAKE_PYTHON = """#!{python}
import os, sqlite3, sys
if "-c" in sys.argv:
    print("9.9.9")
else:
    assert sys.argv[1:] == ["-P", "-m", "label_studio.server", "version"], sys.argv
    folder = os.environ["LABEL_STUDIO_BASE_DATA_DIR"]
    open(os.path.join(folder, ".env"), "w").write("SECRET_KEY=made-for-the-template")
    base = sqlite3.connect(os.path.join(folder, "label_studio.sqlite3"))
    base.execute("CREATE TABLE django_migrations (name TEXT)")
    base.execute("INSERT INTO django_migrations VALUES ('0001_initial')")
    base.execute("CREATE TABLE htx_user (email TEXT)")
    {more}
    base.commit()
"""


def fake_python(tmp_path: Path, more: str = "pass") -> Path:
    """A Python of an environment whose Label Studio makes a tiny database."""
    path = tmp_path / "venv" / "bin" / "python"
    path.parent.mkdir(parents=True)
    path.write_text(FAKE_PYTHON.format(python=sys.executable, more=more))
    path.chmod(0o755)
    return path


def test_the_template_is_made_once_per_label_studio_version(tmp_path: Path) -> None:
    python = fake_python(tmp_path)

    template = prepare_template(python)
    made_at = template.stat().st_mtime_ns

    assert template == tmp_path / "venv" / "template" / "label-studio-9.9.9.sqlite3"
    assert prepare_template(python).stat().st_mtime_ns == made_at


def test_the_template_leaves_no_secret_behind(tmp_path: Path) -> None:
    template = prepare_template(fake_python(tmp_path))

    assert list(template.parent.iterdir()) == [template]
    assert b"SECRET" not in template.read_bytes()


def test_a_template_with_an_account_in_it_is_refused(tmp_path: Path) -> None:
    python = fake_python(tmp_path, more="base.execute(\"INSERT INTO htx_user VALUES ('a@b')\")")

    with pytest.raises(StackError, match="1 rows in htx_user"):
        prepare_template(python)
    assert list((tmp_path / "venv" / "template").iterdir()) == []


def test_a_migration_that_fails_is_said_in_its_own_last_words(tmp_path: Path) -> None:
    python = fake_python(tmp_path, more="sys.exit('no space left')")

    with pytest.raises(StackError, match="cannot make its database: no space left"):
        prepare_template(python)


def test_an_environment_without_label_studio_is_said(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"run 'make setup'.*CARPAL_LABEL_STUDIO_PYTHON"):
        prepare_template(tmp_path / "bin" / "python")


def test_a_new_workspace_gets_the_template(tmp_path: Path, tmp_workspace: Settings) -> None:
    settings = replace(tmp_workspace, label_studio_python=fake_python(tmp_path))
    prepare_template(settings.label_studio_python)

    assert seed_workspace(settings)

    database = settings.home / "label-studio" / "label_studio.sqlite3"
    with sqlite3.connect(database) as base:
        assert base.execute("SELECT name FROM django_migrations").fetchall() == [("0001_initial",)]
        assert base.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    base.close()
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    assert stat.S_IMODE(database.parent.stat().st_mode) == 0o700
    assert (settings.pool / "images").is_dir()


def test_a_database_that_is_there_is_never_replaced(
    tmp_path: Path, tmp_workspace: Settings
) -> None:
    settings = replace(tmp_workspace, label_studio_python=fake_python(tmp_path))
    prepare_template(settings.label_studio_python)
    database = settings.home / "label-studio" / "label_studio.sqlite3"
    database.parent.mkdir()
    database.write_bytes(b"labels of a year")

    assert not seed_workspace(settings)
    assert database.read_bytes() == b"labels of a year"


def test_without_a_template_label_studio_makes_its_own_database(
    tmp_path: Path, tmp_workspace: Settings
) -> None:
    settings = replace(tmp_workspace, label_studio_python=fake_python(tmp_path))

    assert not seed_workspace(settings)
    assert not (settings.home / "label-studio" / "label_studio.sqlite3").exists()
