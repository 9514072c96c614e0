"""A small workspace for the tests of `workers`: a real ledger, a fake Label Studio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from data.domain import Radiograph, Split
from data.ledger.ledger import Ledger
from labeling_config.client import TaskState

PROJECT = 1
START = datetime(2026, 1, 1, tzinfo=UTC)


def radiograph(number: int, split: Split = Split.TRAIN) -> Radiograph:
    name = f"{number:064x}"
    return Radiograph(name, f"{number:016x}", split, "test", f"images/{name}.png", 9, 9, START)


@dataclass
class FakeLabelStudio:
    """Holds annotations as Label Studio would and answers what reconcile asks."""

    annotations: dict[int, dict[str, Any]] = field(default_factory=dict)
    radiographs: dict[int, str] = field(default_factory=dict)
    clock: datetime = START
    asked_since: list[datetime | None] = field(default_factory=list)
    left_out: set[int] = field(default_factory=set)
    """Annotations that the lists lack although they are there."""

    def submit(
        self,
        number: int,
        task: int,
        age: float,
        *,
        sex: str = "female",
        skipped: bool = False,
        unreadable: str = "",
    ) -> None:
        self.clock += timedelta(minutes=1)
        result = [
            {
                "id": "a",
                "from_name": "age_months",
                "to_name": "image",
                "type": "number",
                "value": {"number": age},
            },
            {
                "id": "s",
                "from_name": "sex",
                "to_name": "image",
                "type": "choices",
                "value": {"choices": [sex]},
            },
        ]
        if unreadable:
            flag = {"choices": [unreadable]}
            result.append({**result[1], "id": "u", "from_name": "unreadable", "value": flag})
        self.annotations[number] = {
            "id": number,
            "task": task,
            "result": [] if skipped else result,
            "was_cancelled": skipped,
            "completed_by": 7,
            "created_at": self.clock.isoformat(),
            "updated_at": self.clock.isoformat(),
            "lead_time": 4.0,
        }

    def delete(self, number: int) -> None:
        del self.annotations[number]

    def user_emails(self) -> dict[int, str]:
        return {7: "reader@example.org"}

    def annotation_ids(self, project: int) -> set[int]:
        return set(self.annotations) - self.left_out

    def annotation_exists(self, annotation: int) -> bool:
        return annotation in self.annotations

    def annotated_tasks(
        self, project: int, changed_since: datetime | None = None
    ) -> Iterator[TaskState]:
        self.asked_since.append(changed_since)
        by_task: dict[int, list[Mapping[str, Any]]] = {}
        for annotation in self.annotations.values():
            by_task.setdefault(annotation["task"], []).append(annotation)
        for task, given in by_task.items():
            changed = max(datetime.fromisoformat(a["updated_at"]) for a in given)
            if changed_since is None or changed >= changed_since:
                data = {"radiograph": self.radiographs.get(task, "")}
                yield TaskState(task, data, changed, tuple(given))


def with_tasks(ledger: Ledger, studio: FakeLabelStudio, count: int) -> None:
    """Given `count` radiographs with the tasks 1..count."""
    films = [radiograph(number) for number in range(1, count + 1)]
    ledger.add_radiographs(films)
    studio.radiographs = {number: film.id for number, film in enumerate(films, start=1)}
    ledger.link_tasks(PROJECT, studio.radiographs)
    ledger.set_state("project", '{"id": 1, "backend_id": 2}')
