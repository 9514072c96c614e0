"""A real workbench for each file of this folder: every service, on free ports, on phantoms."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import requests
from rich.console import Console

from carpal.filling import phantoms
from carpal.side_workspace import fill_with_truths, side_workspace
from carpal.simulated_reader import SimulatedReader
from carpal.up import running_stack
from data.ledger.ledger import Ledger
from labeling_config.codec import task_data
from tests.support import missing, with_new_ports
from workers.assembly import label_studio, open_ledger, pool, task
from workers.bootstrap import connect
from workers.overview import overview
from workers.settings import Settings

PHANTOMS = 240
FIRST_LABELS = 60
LATER_LABELS = 12
WAIT_S = 240.0


@dataclass(frozen=True)
class Workbench:
    """A running stack and what the tests ask of it."""

    settings: Settings
    project: int
    reader: SimulatedReader
    ledger: Ledger
    spoilt: int
    """Task whose image became unreadable after the import."""

    def wait(self, condition: Callable[[], bool], what: str, limit_s: float = WAIT_S) -> None:
        """Waits until the condition holds; fails with `what` and what the loop does instead."""
        end = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > end:
                pytest.fail(f"Not within {limit_s:.0f} s: {what}. {self._state()}")
            time.sleep(0.1)

    def _state(self) -> str:
        view = overview(self.settings, self.ledger)
        attention = " ".join(notice.sentence for notice in view.attention)
        runs = "; ".join(f"{r.id} {r.state} {r.stage} {r.error}" for r in view.runs)
        return f"{view.training} Runs: {runs}. Attention: {attention}"

    def radiograph_of(self, task_id: int) -> str:
        """Returns the radiograph that a Label Studio task shows."""
        return self.ledger.task_links(self.project)[task_id]

    def ask_backend(self, task_ids: list[int]) -> list[dict[str, Any]]:
        """Asks the backend for predictions that nobody has stored, as Label Studio does."""
        settings, spec = self.settings, task(self.settings)
        films = [self.ledger.radiograph(self.radiograph_of(number)) for number in task_ids]
        body = {
            "tasks": [
                {"id": number, "data": task_data(spec, film)}
                for number, film in zip(task_ids, films, strict=True)
                if film is not None
            ],
            "project": f"{self.project}.1",
            "label_config": spec.config_xml,
            "params": {},
        }
        answer = requests.post(
            f"{settings.backend}/predict",
            json=body,
            auth=(settings.backend_user, settings.backend_password),
            timeout=60,
        )
        answer.raise_for_status()
        return list(answer.json()["results"])


@pytest.fixture(scope="module")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """Starts the stack once; its workspace is new."""
    python = Settings.load().label_studio_python.absolute()
    if not python.exists():
        missing(f"Label Studio's environment is not there ({python}); 'make setup' makes it.")
    home = tmp_path_factory.mktemp("workbench")
    settings = side_workspace(
        home,
        {"min_steps": 200, "epochs": 10},
        replace(Settings(), label_studio_python=python),
        retrain_first_after=FIRST_LABELS,
        retrain_after=LATER_LABELS,
        reconcile_interval_s=5,
        test_share=0.2,
        calibration_share=0.15,
    )
    settings = with_new_ports(settings)
    quiet = Console(quiet=True)
    truths = fill_with_truths(settings, phantoms(PHANTOMS, seed=11), quiet)
    with running_stack(settings, quiet):
        project = connect(settings)
        with open_ledger(settings) as ledger:
            reader = SimulatedReader(
                label_studio(settings), project, task(settings), truths, error_sd=3.0
            )
            spoilt = max(ledger.task_links(project))
            _spoil(settings, ledger, ledger.task_links(project)[spoilt])
            yield Workbench(settings, project, reader, ledger, spoilt)


def _spoil(settings: Settings, ledger: Ledger, radiograph_id: str) -> None:
    radiograph = ledger.radiograph(radiograph_id)
    assert radiograph is not None
    image = pool(settings).path(radiograph)
    image.chmod(0o644)
    image.write_bytes(b"not an image")
