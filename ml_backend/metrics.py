"""Counters of all processes of one server, in the Prometheus text format.

A scrape reaches one process, whichever accepts it, so counts that each process kept for itself
would jump back and forth. They live in one anonymous memory map that the gunicorn master makes
before it forks: each process writes its own row, a scrape adds the rows up. A process that is
replaced hands its row on, counts included. No lock is shared, so no killed process can leave one
locked.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/ (version 0.0.4).
"""

from __future__ import annotations

import itertools
import mmap
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_PROCESSES = 32
"""Rows of the map: processes of one server at the same time, replaced ones included."""
VERSION_BYTES = 96
"""Room for the version of the model that a process serves."""

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 100.0)
"""Upper edges in seconds; Label Studio's own limits, 1 s, 3 s and 100 s, lie on or near edges."""

ROUTES = (
    "health",
    "setup",
    "predict",
    "webhook",
    "versions",
    "job_status",
    "metrics",
    "predict_image",
    "infer",
    "page",
    "case_of_task",
    "case_of_film",
    "film",
    "heat_map_of_task",
    "heat_map_of_film",
    "other",
)


@dataclass(frozen=True, slots=True)
class Metric:
    """One family of counters.

    Attributes:
        name: Without the suffixes of histograms.
        help: One line for people.
        labels: Label -> every value it can take; closed, so that no client can make new series.
        kind: Prometheus type.
    """

    name: str
    help: str
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kind: Literal["counter", "histogram"] = "counter"

    def series(self) -> Iterator[tuple[str, ...]]:
        """Yields every combination of label values."""
        yield from itertools.product(*self.labels.values())


REQUESTS = Metric(
    "carpal_http_requests_total",
    "Answered requests.",
    {"route": ROUTES, "status": ("2xx", "3xx", "4xx", "5xx")},
)
SECONDS = Metric(
    "carpal_http_request_seconds",
    "Time from a request's first byte in the application to its answer.",
    {"route": ROUTES},
    "histogram",
)
PRE_ANNOTATIONS = Metric(
    "carpal_pre_annotations_total",
    "Tasks that Label Studio asked about, by how they were answered.",
    {"outcome": ("stored", "computed", "refused", "no_model", "postponed")},
)
PREDICTION_CACHE = Metric(
    "carpal_prediction_cache_total",
    "Films that the ledger does not keep, by whether what the model says was remembered.",
    {"outcome": ("hit", "miss")},
)
REFUSED_TASKS = Metric(
    "carpal_refused_tasks_total",
    "Tasks that got no prediction because of their image, by reason.",
    {"reason": ("invalid_address", "not_found", "unreadable", "unavailable", "other")},
)
WEBHOOKS = Metric(
    "carpal_webhooks_total",
    "Webhooks, by what became of them.",
    {"outcome": ("journalled", "ignored")},
)
QUEUE_FAILURES = Metric(
    "carpal_reconcile_requests_failed_total",
    "Journalled webhooks whose reconcile could not be queued and is left to the timer.",
)
MODEL_LOADS = Metric(
    "carpal_model_loads_total",
    "Attempts of a process to load a new champion.",
    {"outcome": ("loaded", "failed")},
)
CATALOGUE = (
    REQUESTS,
    SECONDS,
    PRE_ANNOTATIONS,
    PREDICTION_CACHE,
    REFUSED_TASKS,
    WEBHOOKS,
    QUEUE_FAILURES,
    MODEL_LOADS,
)


class Counters:
    """Counts in memory that forked processes share.

    Args:
        catalogue: Every metric there is.
    """

    def __init__(self, catalogue: tuple[Metric, ...] = CATALOGUE) -> None:
        self._catalogue = catalogue
        self._slots: dict[tuple[str, tuple[str, ...]], int] = {}
        width = 0
        for metric in catalogue:
            for labels in metric.series():
                self._slots[metric.name, labels] = width
                width += len(BUCKETS_S) + 2 if metric.kind == "histogram" else 1
        self._width = width
        counts = MAX_PROCESSES * width * 8
        self._map = mmap.mmap(-1, counts + MAX_PROCESSES * VERSION_BYTES)
        self._counts = memoryview(self._map)[:counts].cast("d")
        self._versions = memoryview(self._map)[counts:]
        self._row = 0
        self._lock = threading.Lock()

    def use_row(self, row: int) -> None:
        """Makes this process write to a row that no other living process has."""
        if not 0 <= row < MAX_PROCESSES:
            raise ValueError(f"row must lie in 0..{MAX_PROCESSES - 1}, got {row}")
        self._row = row
        self.set_model_version("")

    def add(self, metric: Metric, *labels: str, amount: float = 1.0) -> None:
        """Adds to one counter; labels in the order of the metric, KeyError for unknown ones."""
        slot = self._slots[metric.name, labels]
        with self._lock:
            self._counts[self._row * self._width + slot] += amount

    def observe(self, metric: Metric, *labels: str, seconds: float) -> None:
        """Counts one duration in a histogram."""
        first = self._row * self._width + self._slots[metric.name, labels]
        bucket = next((i for i, edge in enumerate(BUCKETS_S) if seconds <= edge), len(BUCKETS_S))
        with self._lock:
            self._counts[first + bucket] += 1
            self._counts[first + len(BUCKETS_S) + 1] += seconds

    def set_model_version(self, version: str, row: int | None = None) -> None:
        """Notes which model version a process serves (this one by default); empty: none."""
        start = (self._row if row is None else row) * VERSION_BYTES
        text = version.encode()[:VERSION_BYTES]
        self._versions[start : start + VERSION_BYTES] = text.ljust(VERSION_BYTES, b"\0")

    def value(self, metric: Metric, *labels: str) -> float:
        """Returns one counter, all processes together."""
        return self._sum(self._slots[metric.name, labels])

    def model_versions(self) -> dict[str, int]:
        """Returns model version -> number of processes that serve it."""
        served: dict[str, int] = {}
        for row in range(MAX_PROCESSES):
            start = row * VERSION_BYTES
            raw = bytes(self._versions[start : start + VERSION_BYTES])
            name = raw.rstrip(b"\0").decode(errors="replace")
            if name:
                served[name] = served.get(name, 0) + 1
        return served

    def lines(self) -> Iterator[str]:
        """Yields the text format, one line at a time."""
        for metric in self._catalogue:
            yield f"# HELP {metric.name} {metric.help}"
            yield f"# TYPE {metric.name} {metric.kind}"
            for labels in metric.series():
                named = dict(zip(metric.labels, labels, strict=True))
                slot = self._slots[metric.name, labels]
                if metric.kind == "histogram":
                    yield from self._histogram(metric.name, named, slot)
                else:
                    yield sample(metric.name, named, self._sum(slot))
        yield "# HELP carpal_backend_processes Processes that serve this model version."
        yield "# TYPE carpal_backend_processes gauge"
        for version, processes in self.model_versions().items():
            yield sample("carpal_backend_processes", {"model_version": version}, processes)

    def _histogram(self, name: str, labels: dict[str, str], first: int) -> Iterator[str]:
        below = 0.0
        edges = [f"{edge:g}" for edge in BUCKETS_S] + ["+Inf"]
        for offset, edge in enumerate(edges):
            below += self._sum(first + offset)
            yield sample(f"{name}_bucket", {**labels, "le": edge}, below)
        yield sample(f"{name}_sum", labels, self._sum(first + len(edges)))
        yield sample(f"{name}_count", labels, below)

    def _sum(self, slot: int) -> float:
        return sum(self._counts[row * self._width + slot] for row in range(MAX_PROCESSES))


def sample(name: str, labels: Mapping[str, str], value: float) -> str:
    """Returns one sample line; label values are escaped as the format demands."""
    inner = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
    return f"{name}{{{inner}}} {value:.10g}" if inner else f"{name} {value:.10g}"


def shared_counters(workspace: str = "") -> Counters:
    """Returns the counters of one workspace of this server; empty: its main one.

    First called in the gunicorn master, before it forks.
    """
    return _counters_of(workspace)


@lru_cache
def _counters_of(workspace: str) -> Counters:
    return Counters()


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
