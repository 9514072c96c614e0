"""A reader who labels through Label Studio's API, with a stated reading error.

It takes the next radiograph from the label stream as an annotator's browser does, knows the true
values, and submits what a reader with that error would write: the truth plus normal noise on
numbers, whole months, within the field's limits; choices as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from data.domain import Target, TaskSpec, Value
from data.errors import LabelStudioError
from labeling_config.client import LabelStudio
from labeling_config.codec import radiograph_of_task_data, values_to_result

PARALLEL_SUBMITS = 2
"""Readers at work at the same time while the first labels are made."""


@dataclass(slots=True)
class SimulatedReader:
    """Labels radiographs of one project.

    Attributes:
        client: Label Studio, signed in as the reader.
        project: Project id.
        spec: The task.
        truths: Radiograph id -> true values.
        error_sd: Standard deviation of the reading error of numbers, in their unit (months).
        seed: Of the error; the same radiograph is always read the same way.
        submitted: Label Studio annotation ids, in the order of submission.
    """

    client: LabelStudio
    project: int
    spec: TaskSpec
    truths: Mapping[str, Mapping[str, Value]]
    error_sd: float
    seed: int = 0
    submitted: list[int] = field(default_factory=list)

    def read(self, radiograph_id: str) -> dict[str, Value]:
        """Returns what this reader says of a radiograph."""
        rng = np.random.default_rng([self.seed, int(radiograph_id[:12], 16)])
        truth = self.truths[radiograph_id]
        return {
            t.name: self._say(t, truth[t.name], rng) for t in self.spec.targets if t.name in truth
        }

    def label_stream(self, count: int, progress: Callable[[], None]) -> int:
        """Labels the next `count` radiographs that the stream serves.

        Returns:
            Labels submitted; fewer than `count` when the stream has run dry.
        """
        for done in range(count):
            state = self.client.next_task(self.project)
            if state is None:
                return done
            radiograph_id = radiograph_of_task_data(self.spec, state.data)
            if radiograph_id is None or radiograph_id not in self.truths:
                raise LabelStudioError(
                    f"The stream served task {state.task_id}, which is not ours."
                )
            self._submit(state.task_id, radiograph_id)
            progress()
        return count

    def label_tasks(self, tasks: Sequence[tuple[int, str]], progress: Callable[[], None]) -> int:
        """Labels given (task, radiograph) pairs, several at a time; returns how many."""

        def one(pair: tuple[int, str]) -> None:
            self._submit(*pair)
            progress()

        with ThreadPoolExecutor(PARALLEL_SUBMITS) as pool:
            list(pool.map(one, tasks))
        return len(tasks)

    def _submit(self, task_id: int, radiograph_id: str) -> None:
        result = values_to_result(self.spec, self.read(radiograph_id))
        annotation = self.client.submit(task_id, result)
        self.submitted.append(int(annotation["id"]))

    def _say(self, target: Target, truth: Value, rng: np.random.Generator) -> Value:
        if isinstance(truth, str):
            return truth
        low = -np.inf if target.minimum is None else target.minimum
        high = np.inf if target.maximum is None else target.maximum
        return float(np.clip(round(truth + rng.normal(0.0, self.error_sd)), low, high))
