"""`carpal import dicomweb` from end to end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from carpal import cli, cli_import_dicom
from data.ledger.ledger import Ledger
from tests.service.dicomweb.dicomweb_cases import fill, two_hands_and_a_knee
from tests.service.dicomweb.orthanc import PASSWORD, USER, Orthanc, Proxy
from tests.support import eventually

pytestmark = pytest.mark.service
assert cli_import_dicom, "imported for the commands that it registers"


def a_run(home: Path, url: str, *options: str) -> subprocess.Popen[str]:
    """`carpal import dicomweb` in a process of its own."""
    environment = {
        **os.environ,
        "CARPAL_HOME": str(home),
        "CARPAL_DICOMWEB_USER": USER,
        "CARPAL_DICOMWEB_PASSWORD": PASSWORD,
        "CARPAL_LABEL_STUDIO_URL": "http://127.0.0.1:1",
    }
    code = "from carpal import cli_import_dicom, cli; cli.main()"
    command = [sys.executable, "-c", code, "import", "dicomweb", url, "--json", *options]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finished(run: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
    """What it printed: the report, and what it says to people."""
    printed, said = run.communicate(timeout=120)
    assert run.returncode == 0, said
    return json.loads(printed), said


def test_an_import_that_was_killed_goes_on(orthanc: Orthanc, proxy: Proxy, tmp_path: Path) -> None:
    fill(orthanc, 20)
    killed = a_run(tmp_path, proxy.url)
    assert eventually(lambda: proxy.seen["instance"] >= 5, limit_s=60)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()

    report, _ = finished(a_run(tmp_path, proxy.url))

    assert report["refused"] == []
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        assert len({one.patient for one in ledger.radiographs()}) == 20


def test_a_repeated_import_fetches_only_what_is_new(
    orthanc: Orthanc, proxy: Proxy, tmp_path: Path
) -> None:
    fill(orthanc, 3)
    finished(a_run(tmp_path, proxy.url))
    fill(orthanc, 5)
    proxy.seen.clear()

    report, _ = finished(a_run(tmp_path, proxy.url))

    assert (report["new"], report["known"]) == (2, 3)
    assert proxy.seen["instance"] == 2


def test_the_command_says_what_it_left_out(orthanc: Orthanc, tmp_path: Path) -> None:
    two_hands_and_a_knee(orthanc)

    report, said = finished(a_run(tmp_path, orthanc.url, "--laterality", "left"))

    assert report["new"] == 1
    assert "Left out, not wanted: 1 (another laterality), 1 (laterality unknown)." in said


def test_the_command_is_registered() -> None:
    assert {"dicom", "dicomweb"} <= {
        command.name for command in cli.cli_imports.app.registered_commands
    }
