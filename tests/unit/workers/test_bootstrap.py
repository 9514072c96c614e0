"""Joining with Label Studio makes each task once, however often and whenever it was killed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from data.domain import REFERENCE_READER, Reading
from data.errors import NotFoundError, ServiceUnavailableError
from data.ledger.ledger import Ledger
from labeling_config.client import TaskState
from labeling_config.codec import radiograph_of_task_data, task_data
from labeling_config.tasks import load_task
from tests.unit.workers.workspace import PROJECT, START, radiograph
from workers.bootstrap import add_tasks, project_handle

SPEC = load_task("bone_age")


@dataclass
class Studio:
    """Makes tasks; may die after having made some."""

    made: dict[int, dict[str, Any]] = field(default_factory=dict)
    dies: bool = False

    def import_tasks(self, project: int, data: Sequence[dict[str, Any]]) -> list[int]:
        numbers = list(range(len(self.made) + 1, len(self.made) + len(data) + 1))
        self.made |= dict(zip(numbers, data, strict=True))
        if self.dies:
            raise ServiceUnavailableError("Label Studio does not answer.")
        return numbers

    def tasks(self, project: int) -> Iterator[TaskState]:
        for number, data in self.made.items():
            yield TaskState(number, data, START, ())


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as opened:
        opened.add_radiographs([radiograph(n) for n in range(1, 5)])
        yield opened


def shown(studio: Studio) -> list[str | None]:
    return sorted(radiograph_of_task_data(SPEC, data) or "" for data in studio.made.values())


def test_each_radiograph_gets_one_task_however_often(ledger: Ledger) -> None:
    studio = Studio()

    first = add_tasks(studio, ledger, SPEC, PROJECT)  # type: ignore[arg-type]
    second = add_tasks(studio, ledger, SPEC, PROJECT)  # type: ignore[arg-type]

    assert (first, second) == (4, 0)
    assert shown(studio) == [radiograph(n).id for n in range(1, 5)]


def test_a_radiograph_with_a_reference_needs_no_reader(ledger: Ledger) -> None:
    studio = Studio()
    settled = radiograph(2)
    ledger.record_readings([Reading(settled.id, REFERENCE_READER, {"age_months": 9.0}, START)])

    add_tasks(studio, ledger, SPEC, PROJECT)  # type: ignore[arg-type]

    assert settled.id not in shown(studio)


def test_tasks_of_a_start_that_died_are_taken_over(ledger: Ledger) -> None:
    studio = Studio(dies=True)
    with pytest.raises(ServiceUnavailableError):
        add_tasks(studio, ledger, SPEC, PROJECT)  # type: ignore[arg-type]

    studio.dies = False
    add_tasks(studio, ledger, SPEC, PROJECT)  # type: ignore[arg-type]

    assert len(studio.made) == 4
    assert set(ledger.task_links(PROJECT)) == set(studio.made)


def test_a_task_of_a_radiograph_that_is_not_in_the_pool_is_left_alone(ledger: Ledger) -> None:
    studio = Studio(made={1: task_data(SPEC, radiograph(99))})

    add_tasks(studio, ledger, SPEC, PROJECT)  # type: ignore[arg-type]

    assert ledger.radiograph_of_task(PROJECT, 1) is None


def test_a_workspace_without_a_project_says_how_to_get_one(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError, match="carpal up"):
        project_handle(ledger)
