"""MLflow's pages: `python -m carpal.mlflow_pages` makes the tables and becomes `mlflow server`.

MLflow makes its tables in hundreds of steps. If its server takes them while a worker does so too,
one of the two fails; the registry takes them under a lock, so it goes first.
"""

from __future__ import annotations

import os
import sys

from data.errors import CarpalError
from workers.assembly import registry
from workers.settings import Settings

LOOPBACK = "127.0.0.1"


def command(settings: Settings) -> list[str]:
    """Returns the command line of MLflow's server; the store's address is in its environment."""
    return [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
        *("--host", LOOPBACK, "--port", str(settings.mlflow_port), "--no-serve-artifacts"),
        *("--default-artifact-root", str(settings.home / "mlflow" / "artefacts")),
    ]


def main() -> None:
    """Makes the tables where there are none and runs the server in place of this process."""
    settings = Settings.load()
    try:
        registry(settings).champion()
    except CarpalError as error:
        sys.exit(f"carpal: {error}")
    os.execv(sys.executable, command(settings))


if __name__ == "__main__":
    main()
