"""One migration at a time in a process: alembic keeps what it works on in variables of its module.

A server of several workspaces opens their ledgers and their registries in threads.
"""

from __future__ import annotations

import threading

MIGRATING = threading.Lock()
"""Held while alembic runs, by us or by MLflow."""
