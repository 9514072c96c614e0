"""What gunicorn's master may hold before it forks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

READ_CONFIGURATION = "import runpy; runpy.run_path('ml_backend/gunicorn.conf.py')"
IMPORT_APPLICATION = "import ml_backend.server"
PREPARE_FILMS = "import ml_backend.preparing_process"


@pytest.mark.long
@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        (READ_CONFIGURATION, {"torch", "mlflow", "sqlalchemy", "flask"}),
        (IMPORT_APPLICATION, {"torch", "mlflow"}),
        (PREPARE_FILMS, {"torch", "mlflow", "sqlalchemy", "flask"}),
    ],
    ids=["configuration", "application", "process that prepares films"],
)
def test_what_does_not_survive_a_fork_is_not_imported_before_it(
    code: str, unwanted: set[str], tmp_path: Path
) -> None:
    command = [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"]

    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "CARPAL_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert unwanted.isdisjoint(done.stdout.split())
