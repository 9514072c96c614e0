"""How the stack starts its own Label Studio: environment, command line, database.

Label Studio listens on the loopback interface only, takes no sign-ups, asks no other host, and
may itself ask no address of a local network but the ML backend's. Its secrets stand in its
environment, never on its command line. A migrated, empty database is made once per Label Studio
version, so that a workspace's first start takes seconds, not a minute.
"""

from __future__ import annotations

import ipaddress
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from data.errors import CarpalError, StackError
from labeling_config.client import LabelStudio
from workers.settings import Settings

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK = "127.0.0.1"
DATABASE = "label_studio.sqlite3"
READY_TIMEOUT_S = 2.0
QUESTION_TIMEOUT_S = 30.0
MIGRATION_TIMEOUT_S = 900.0
"""Bounds the making of the template; measured: 60 s on one core."""
SCHEMA_TABLES = frozenset(
    {
        "auth_permission",
        "core_asyncmigrationstatus",
        "django_content_type",
        "django_migrations",
        "sqlite_sequence",
    }
)
"""Tables that migrations fill."""
OFFLINE = {
    "COLLECT_ANALYTICS": "false",
    "LATEST_VERSION_CHECK": "false",
    "FEATURE_FLAGS_OFFLINE": "true",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "DEBUG": "false",
}
"""Settings without which Label Studio tells other hosts about itself."""
BANNED_SUBNETS = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
    *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
    *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "233.252.0.0/24"),
    *("240.0.0.0/4", "255.255.255.255/32", "::/128", "::1/128", "::ffff:0:0/96"),
    *("::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001:0000::/32"),
    *("2001:20::/28", "2001:db8::/32", "2002::/16", "fc00::/7", "fe80::/10", "ff00::/8"),
)
"""Networks that Label Studio 1.23.2 does not talk to (`core/utils/io.py`, `validate_ip`)."""


def environment(settings: Settings) -> dict[str, str]:
    """Returns the variables that Label Studio is started with, beside those it inherits.

    All carry the prefix that Label Studio looks for first, so no inherited variable outranks one.

    Raises:
        StackError: The host name of the ML backend cannot be resolved.
    """
    hosts = {"localhost", LOOPBACK, urlsplit(settings.label_studio).hostname or LOOPBACK}
    values = {
        "BASE_DATA_DIR": str(_folder(settings)),
        "USERNAME": settings.label_studio_email,
        "PASSWORD": settings.label_studio_password,
        "USER_TOKEN": settings.label_studio_token,
        "ENABLE_LEGACY_API_TOKEN": "true",
        "DISABLE_SIGNUP_WITHOUT_LINK": "true",
        # With a host set, a visit by another name (127.0.0.1, localhost) reloads for ever.
        "HOST": settings.label_studio_url,
        "ALLOWED_HOSTS": ",".join(sorted(hosts)),
        "CORS_ALLOW_ALL_ORIGINS": "false",
        "LOCAL_FILES_SERVING_ENABLED": "true",
        "LOCAL_FILES_DOCUMENT_ROOT": str(settings.pool.absolute()),
        "SSRF_PROTECTION_ENABLED": "true",
        "ML_BLOCK_LOCAL_IP": "true",
        "USE_DEFAULT_BANNED_SUBNETS": "false",
        "USER_ADDITIONAL_BANNED_SUBNETS": ",".join(banned_subnets(_addresses(settings.backend))),
    }
    return {f"LABEL_STUDIO_{name}": value for name, value in {**values, **OFFLINE}.items()}


def argv(settings: Settings) -> list[str]:
    """Returns the command line; it holds no secret, because every user can read it."""
    return [
        str(settings.label_studio_python),
        "-P",  # the working directory is no place to import from
        *("-m", "label_studio.server", "start", "--no-browser"),
        *("--internal-host", LOOPBACK, "--port", str(settings.label_studio_port)),
    ]


def ready(settings: Settings) -> bool:
    """Returns whether this workspace's Label Studio answers and knows our token.

    Another Label Studio on the same port would answer too, and not know it.
    """
    client = LabelStudio(settings.label_studio, settings.label_studio_token, READY_TIMEOUT_S)
    try:
        return client.health() and bool(client.whoami())
    except CarpalError:
        return False
    finally:
        client.close()


def banned_subnets(allowed: Iterable[str]) -> list[str]:
    """Returns the networks that Label Studio bans by itself, less these single addresses."""
    networks: list[Network] = [ipaddress.ip_network(text) for text in BANNED_SUBNETS]
    for text in allowed:
        hole = ipaddress.ip_network(text)
        networks = [part for network in networks for part in _without(network, hole)]
    return [str(network) for network in networks]


def prepare_template(python: Path, folder: Path | None = None) -> Path:
    """Makes Label Studio's empty, migrated database, unless it is there; takes about a minute.

    Args:
        python: Python of Label Studio's own environment.
        folder: Where it is kept; in that environment unless given.

    Returns:
        The database file. It holds no account and no secret: those are made per workspace.

    Raises:
        StackError: Label Studio is not installed there, or cannot make its database.
    """
    template = _template(python, folder)
    if template.exists():
        return template
    template.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=template.parent) as scratch:
        _migrate(python, Path(scratch))
        database = Path(scratch) / DATABASE
        _check_empty(database)
        with closing(sqlite3.connect(database)) as connection:
            # Kept in the file: readers and writers no longer wait for each other.
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("VACUUM")
        database.replace(template)
    return template


def seed_workspace(settings: Settings) -> bool:
    """Gives a new workspace its Label Studio folder and the prepared database.

    Returns:
        Whether the database was put there: not if there is one, nor if none was prepared; then
        Label Studio makes it itself when it starts, which takes a minute.

    Raises:
        StackError: Label Studio is not installed.
    """
    (settings.pool / "images").mkdir(parents=True, exist_ok=True)
    folder = _folder(settings)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = folder / DATABASE
    template = _template(settings.label_studio_python, None)
    if database.exists() or not template.exists():
        return False
    draft = folder / f"{DATABASE}.new"
    shutil.copyfile(template, draft)
    draft.chmod(0o600)
    draft.replace(database)
    return True


def _folder(settings: Settings) -> Path:
    return settings.home.absolute() / "label-studio"


def _addresses(url: str) -> list[str]:
    """Returns every address of a URL's host: Label Studio refuses it for a single banned one."""
    host = urlsplit(url).hostname or ""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise StackError(
            f"The host name '{host}' of the ML backend cannot be resolved: check "
            "CARPAL_BACKEND_URL."
        ) from error
    return sorted({str(answer[4][0]).partition("%")[0] for answer in found})


def _without(network: Network, hole: Network) -> list[Network]:
    """Returns the network, or the parts of it that remain around the hole."""
    if isinstance(network, ipaddress.IPv4Network) and isinstance(hole, ipaddress.IPv4Network):
        inside = hole.subnet_of(network)
        return sorted(network.address_exclude(hole)) if inside else [network]
    if isinstance(network, ipaddress.IPv6Network) and isinstance(hole, ipaddress.IPv6Network):
        inside = hole.subnet_of(network)
        return sorted(network.address_exclude(hole)) if inside else [network]
    return [network]


def _template(python: Path, folder: Path | None) -> Path:
    question = "from importlib.metadata import version; print(version('label-studio'))"
    try:
        version = _run([str(python), "-c", question], {}, QUESTION_TIMEOUT_S).strip()
    except StackError as error:
        raise StackError(
            f"{python} has no Label Studio: run 'make setup', or name its Python in "
            "CARPAL_LABEL_STUDIO_PYTHON."
        ) from error
    return (folder or python.parent.parent / "template") / f"label-studio-{version}.sqlite3"


def _migrate(python: Path, folder: Path) -> None:
    values = {"BASE_DATA_DIR": str(folder), **OFFLINE}
    env = {f"LABEL_STUDIO_{name}": value for name, value in values.items()}
    # "version" makes the database before it answers, and starts no server.
    _run([str(python), "-P", "-m", "label_studio.server", "version"], env, MIGRATION_TIMEOUT_S)


def _run(command: Sequence[str], env: Mapping[str, str], timeout_s: float) -> str:
    try:
        done = subprocess.run(
            command, env=dict(env), capture_output=True, text=True, timeout=timeout_s, check=True
        )
    except subprocess.CalledProcessError as error:
        last = (error.stderr or "").strip().splitlines()[-1:] or ["it said nothing"]
        raise StackError(f"Label Studio cannot make its database: {last[0]}.") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StackError(f"{command[0]} cannot be run: {error}.") from error
    return done.stdout


def _check_empty(database: Path) -> None:
    """Checks that nothing but the schema is in the template."""
    with closing(sqlite3.connect(database)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for name in {str(row[0]) for row in names} - SCHEMA_TABLES:
            (rows,) = connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()  # noqa: S608
            if rows:
                raise StackError(f"Label Studio's new database has {rows} rows in {name}.")
