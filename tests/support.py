"""What tests of every package share: waiting, and saying that a part is missing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

import pytest

from carpal.free_ports import PORT_FIELDS, free_port
from workers.settings import Settings

LIMIT_S = 15.0
PAUSE_S = 0.02


def eventually(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> bool:
    """Returns whether the condition comes true within the limit."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(PAUSE_S)
    return condition()


def missing(reason: str) -> NoReturn:
    """Skips the test, or fails it in CI, where every part must be there."""
    if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
        pytest.fail(f"{reason} (CI must have it)", pytrace=False)
    pytest.skip(reason)


def with_new_ports(settings: Settings) -> Settings:
    """Returns the settings on ports of the kernel's choice, none of them a usual one."""
    moved = {name: free_port() for name in PORT_FIELDS}
    return replace(settings, **moved)  # type: ignore[arg-type]  # ports are int
