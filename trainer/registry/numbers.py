"""What a run keeps in MLflow's tables: options, curves, metrics, and what it learnt from."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from trainer.model.card import ModelCard

SHORT_DIGEST = 12
"""Digits of a commit that MLflow lists beside the dataset; it takes no more than 36."""

METRICS_PER_CALL = 1000
"""MLflow's own limit."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a run learnt from, as MLflow's pages list it.

    Attributes:
        task: Name of the task.
        version: Dataset version.
        commit: Its git commit; may be empty.
    """

    task: str
    version: str
    commit: str


def curves_of(card: ModelCard) -> list[dict[str, float]]:
    """Returns the epochs of all networks; an ensemble's are named `member1/loss` and so on."""
    several = len(card.members) > 1
    return [
        {
            key if key == "epoch" or not several else f"member{number}/{key}": value
            for key, value in row.items()
        }
        for number, member in enumerate(card.members, start=1)
        for row in member.history
    ]


def write_numbers(
    client: MlflowClient,
    run_id: str,
    params: Mapping[str, Any],
    epochs: Sequence[Mapping[str, float]],
    metrics: Mapping[str, Any],
) -> None:
    """Logs the options, the curves and the final metrics of a run."""
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    curve = [
        Metric(key, value, now, int(row["epoch"]))
        for row in epochs
        for key, value in row.items()
        if key != "epoch"
    ]
    final = [Metric(key, value, now, 0) for key, value in flatten(metrics).items()]
    client.log_batch(run_id, params=[Param(key, str(value)) for key, value in params.items()])
    every = curve + final
    for start in range(0, len(every), METRICS_PER_CALL):
        client.log_batch(run_id, metrics=every[start : start + METRICS_PER_CALL])


def write_dataset(client: MlflowClient, run_id: str, dataset: Dataset) -> None:
    """Says what a run learnt from, where MLflow's pages look for it."""
    from mlflow.entities import Dataset as MlflowDataset
    from mlflow.entities import DatasetInput, InputTag

    source = json.dumps({"version": dataset.version, "commit": dataset.commit})
    used = MlflowDataset(
        name=f"{dataset.task} {dataset.version}",
        digest=dataset.commit[:SHORT_DIGEST] or dataset.version,
        source_type="git",
        source=source,
    )
    client.log_inputs(run_id, [DatasetInput(used, [InputTag("mlflow.data.context", "training")])])


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Names every number in nested results by its path; what is no number is left out.

    A list of things that have a `name` is taken by name, another list by position.
    """
    flat: dict[str, float] = {}
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, list | tuple):
            named = [
                v["name"] if isinstance(v, Mapping) and "name" in v else i
                for i, v in enumerate(value)
            ]
            value = {str(name): item for name, item in zip(named, value, strict=True)}
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{path}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[path] = float(value)
    return flat
