"""What `/metrics` says of the loop: gauges that are read off one look at it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from data.domain import TaskSpec
from data.runs import RunState
from ml_backend.metrics import sample
from workers.attention import Urgency
from workers.drift_figures import Shift
from workers.overview import LoopOverview

Samples = list[tuple[Mapping[str, str], float]]
"""Labels -> value, for each series of a family."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """One family; series whose value is not known are left out."""

    name: str
    help: str
    samples: Samples

    def lines(self) -> Iterator[str]:
        """Yields the text format."""
        yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} gauge"
        for labels, value in self.samples:
            if math.isfinite(value):
                yield sample(self.name, labels, value)


def loop_lines(view: LoopOverview, spec: TaskSpec) -> Iterator[str]:
    """Yields the text format of all gauges of the loop."""
    for gauge in [*_labels(view), *_models(view, spec), *_live(view, spec), *_work(view)]:
        yield from gauge.lines()


def _labels(view: LoopOverview) -> list[Gauge]:
    newest = view.versions[-1] if view.versions else None
    readers = view.figures.readers
    ways = [("kept", "kept"), ("corrected", "corrected"), ("manual", "manual")]
    return [
        Gauge(
            "carpal_radiographs",
            "Radiographs in the pool by split.",
            [({"split": split}, count) for split, count in view.radiographs.items()],
        ),
        Gauge("carpal_labelled_radiographs", "Radiographs read by experts.", one(view.labelled)),
        Gauge("carpal_new_labels", "New labels since the last training.", one(view.new_labels)),
        Gauge(
            "carpal_readings",
            "Readings that count, by how they came about.",
            [
                ({"origin": way}, sum(getattr(reader, name) for reader in readers))
                for way, name in ways
            ],
        ),
        Gauge(
            "carpal_unreadable_readings",
            "Of these, those that say that the radiograph cannot be read.",
            one(sum(reader.unreadable for reader in readers)),
        ),
        Gauge("carpal_readers", "Readers whose readings count.", one(len(readers))),
        Gauge(
            "carpal_dataset_labels",
            "Labelled radiographs in the newest dataset version.",
            one(newest.labels if newest else 0),
        ),
        Gauge("carpal_dataset_versions", "Dataset versions.", one(len(view.versions))),
    ]


def _models(view: LoopOverview, spec: TaskSpec) -> list[Gauge]:
    serving = [model for model in view.figures.models if model.serves]
    champion = {"model_version": view.champion}
    target = {"target": spec.gate.target}
    return [
        Gauge(
            "carpal_champion_info",
            "The model that should serve; absent while there is none.",
            [(champion, 1)] if view.champion else [],
        ),
        Gauge(
            "carpal_test_error",
            "Mean error of the champion on the test split (unit of the target; of a choice 0..1).",
            [(target, model.error) for model in serving[-1:]],
        ),
        Gauge(
            "carpal_test_coverage",
            "Share of the truths of the test split inside the champion's intervals.",
            [(target, model.coverage) for model in serving[-1:]],
        ),
        Gauge(
            "carpal_training_runs",
            "Training runs by state.",
            [
                ({"state": state.value}, sum(run.state is state for run in view.runs))
                for state in RunState
            ],
        ),
        Gauge(
            "carpal_last_training_failed",
            "1 if the newest training failed, else 0.",
            one(bool(view.runs) and view.runs[-1].state is RunState.FAILED),
        ),
    ]


def _live(view: LoopOverview, spec: TaskSpec) -> list[Gauge]:
    live, drift = view.figures.live, view.figures.drift
    held = live.intervals if live else None
    target = {"target": spec.gate.target}
    ends = zip(("share", "lower", "upper"), (held.share, *held.ci95), strict=True) if held else ()
    shifts: dict[str, Shift | None] = {}
    if drift:
        shifts = {
            "values": drift.values,
            "novelty": drift.novelty,
            "confidence": drift.confidence,
        }
    return [
        Gauge(
            "carpal_live_radiographs",
            "Radiographs read after the champion had scored them, at most the last 200.",
            [(target, live.films if live else 0)],
        ),
        Gauge(
            "carpal_live_error",
            "Mean difference of the champion from the readings of these.",
            [(target, live.error)] if live else [],
        ),
        Gauge(
            "carpal_live_coverage",
            "Share of these inside their interval, with its exact 95 % limits.",
            [({**target, "estimate": name}, value) for name, value in ends],
        ),
        Gauge(
            "carpal_promised_coverage",
            "Coverage that the intervals of these promise.",
            [(target, held.promised)] if held else [],
        ),
        Gauge(
            "carpal_drift_distance",
            "Distance of the films scored in the last 7 days from those learnt from, 0..1.",
            [({"of": name}, shift.distance) for name, shift in shifts.items() if shift],
        ),
    ]


def _work(view: LoopOverview) -> list[Gauge]:
    queues = view.queues.queues if view.queues else ()
    workers = view.queues.workers if view.queues else ()
    return [
        Gauge("carpal_tasks_waiting", "Tasks that wait for a reader.", one(view.waiting)),
        Gauge(
            "carpal_scores_waiting",
            "Tasks that wait to be scored by the champion.",
            one(view.figures.behind),
        ),
        Gauge("carpal_queue_up", "1 if Redis answers, else 0.", one(view.queues is not None)),
        Gauge(
            "carpal_queue_jobs",
            "Jobs that no worker has begun.",
            [({"queue": queue.name}, queue.waiting) for queue in queues],
        ),
        Gauge(
            "carpal_queue_oldest_job_seconds",
            "How long the oldest of these has waited; 0 where none waits.",
            [({"queue": queue.name}, queue.oldest_s or 0) for queue in queues],
        ),
        Gauge(
            "carpal_workers",
            "Workers that live, by queue and whether they have a job.",
            [
                (
                    {"queue": queue.name, "state": state},
                    sum(queue.name in w.queues and bool(w.job) is busy for w in workers),
                )
                for queue in queues
                for state, busy in (("busy", True), ("idle", False))
            ],
        ),
        Gauge(
            "carpal_attention",
            "Sentences on the status page that ask for a person, by urgency.",
            [
                (
                    {"urgency": urgency.name.lower()},
                    sum(notice.urgency is urgency for notice in view.attention),
                )
                for urgency in Urgency
            ],
        ),
    ]


def one(value: float) -> Samples:
    """Returns the samples of a family that has no labels."""
    return [({}, float(value))]
