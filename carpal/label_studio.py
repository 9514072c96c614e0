"""How the stack starts its own Label Studio: environment, command line, database.

Label Studio listens on the loopback interface only, takes no sign-ups, asks no other host, and
may itself ask no address of a local network but the ML backend's. Its secrets stand in its
environment, never on its command line. A migrated, empty database is made once per Label Studio
version, so that a workspace's first start takes seconds, not a minute.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from data.errors import CarpalError, StackError
from labeling_config.client import LabelStudio
from workers.settings import Settings

LOOPBACK = "127.0.0.1"
DATABASE = "label_studio.sqlite3"
READY_TIMEOUT_S = 2.0
MIGRATION_TIMEOUT_S = 900.0
"""Bounds the making of the template; measured: 60 s on one core."""
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
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "FEATURE_FLAGS_OFFLINE": "true",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "DEBUG": "false",
    }
    return {f"LABEL_STUDIO_{name}": value for name, value in values.items()}


def argv(settings: Settings) -> list[str]:
    """Returns the command line; it holds no secret, because every user can read it."""
    return [
        str(settings.label_studio_python),
        "-P",  # the working directory is no place to import from
        *("-m", "label_studio.server", "start", "--no-browser"),
        *("--internal-host", LOOPBACK, "--port", str(settings.label_studio_port)),
    ]


def ready(settings: Settings) -> bool:
    """Returns whether this workspace's Label Studio answers and knows our account.

    Another Label Studio on the same port would answer too, and not know our token.
    """
    client = LabelStudio(settings.label_studio, settings.label_studio_token, READY_TIMEOUT_S)
    try:
        return client.health() and client.whoami() == settings.label_studio_email
    except CarpalError:
        return False


def banned_subnets(allowed: Iterable[str]) -> list[str]:
    """Returns Label Studio's own list of networks, less the given single addresses."""
    networks = [ipaddress.ip_network(text) for text in BANNED_SUBNETS]
    for text in allowed:
        hole = ipaddress.ip_network(text)
        kept: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for network in networks:
            # The version is asked twice because the two kinds cannot be compared.
            if isinstance(network, ipaddress.IPv4Network) and isinstance(hole, ipaddress.IPv4Network):
                kept += _without(network, hole)
            elif isinstance(network, ipaddress.IPv6Network) and isinstance(hole, ipaddress.IPv6Network):
                kept += _without(network, hole)
            else:
                kept.append(network)
        networks = kept
    return [str(network) for network in networks]
