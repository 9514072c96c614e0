"""A training run, from the wish to the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypedDict


class RunState(StrEnum):
    """Where a training run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"
    """It gives no sign of life any more; it will be queued again."""


ACTIVE = (RunState.QUEUED, RunState.RUNNING, RunState.LOST)
"""States of a run that has not ended; there is one such run at the most."""


@dataclass(frozen=True, slots=True)
class Run:
    """One training run.

    Attributes:
        id: `r0001`, `r0002`, ...
        trigger: What started it: `labels`, `request` or `waiting`.
        requested_at: UTC.
        state: Where it stands.
        stage: What it does now (`commit`, `train`, `evaluate`, ...).
        version: Dataset version that it trains on; empty until there is one.
        model_version: The model that it made; empty until there is one.
        promoted: Whether the gate let the model serve; None until it was judged.
        reason: Why it was started, later why the model was promoted or not, for a person.
        error: Why it failed, for a person.
        started_at: UTC; None until it starts.
        heartbeat_at: Last sign of life, UTC.
        finished_at: UTC.
        attempt: 1 for the first try.
        metrics: Name -> JSON value; finite numbers only.
        seconds: Stage -> how long it took.
    """

    id: str
    trigger: str
    requested_at: datetime
    state: RunState = RunState.QUEUED
    stage: str = ""
    version: str = ""
    model_version: str = ""
    promoted: bool | None = None
    reason: str = ""
    error: str = ""
    started_at: datetime | None = None
    heartbeat_at: datetime | None = None
    finished_at: datetime | None = None
    attempt: int = 1
    metrics: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


class RunChanges(TypedDict, total=False):
    """What may change about a run after it was requested; see `Run`."""

    state: RunState
    stage: str
    version: str
    model_version: str
    promoted: bool | None
    reason: str
    error: str
    started_at: datetime | None
    heartbeat_at: datetime | None
    finished_at: datetime | None
    attempt: int
    metrics: Mapping[str, Any]
    seconds: Mapping[str, float]
