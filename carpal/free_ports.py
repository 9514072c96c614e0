"""Moves the stack's ports out of the way of whatever else runs on the machine."""

from __future__ import annotations

import socket
from dataclasses import replace

from workers.settings import Settings

PORT_FIELDS = ("redis_port", "label_studio_port", "backend_port", "mlflow_port")


def with_free_ports(settings: Settings) -> Settings:
    """Returns the settings with each taken port replaced by a free one of the kernel's choice."""
    moved = {name: free_port() for name in PORT_FIELDS if not is_free(getattr(settings, name))}
    return replace(settings, **moved)  # type: ignore[arg-type]  # ports are int


def is_free(port: int) -> bool:
    """Returns whether a server could listen on the loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Returns a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
