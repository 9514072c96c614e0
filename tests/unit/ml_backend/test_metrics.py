"""Counters are exact across processes, and /metrics is what Prometheus reads."""

from __future__ import annotations

import multiprocessing
import re
from multiprocessing.synchronize import Barrier

import pytest

from data.runs import Run, RunState
from ml_backend.metrics import MODEL_LOADS, REQUESTS, SECONDS, WEBHOOKS, Counters, sample
from tests.unit.ml_backend.conftest import Backend
from tests.unit.ml_backend.fakes import NOW, FakePredictor, task_of

SAMPLE = re.compile(
    r'^(?P<name>[a-z_]+)(\{(?P<labels>([a-z_]+="([^"\\\n]|\\.)*",?)*)\})? (?P<value>\S+)$'
)


def parse(text: str) -> dict[str, float]:
    """Reads the text format strictly: every sample belongs to a declared family."""
    families: dict[str, str] = {}
    samples: dict[str, float] = {}
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in families, "a family is declared once"
            families[name] = kind
        elif not line.startswith("# HELP "):
            match = SAMPLE.match(line)
            assert match, line
            base = re.sub(r"_(bucket|sum|count)$", "", match["name"])
            assert match["name"] in families or families.get(base) == "histogram", line
            key = line.rpartition(" ")[0]
            assert key not in samples, "a sample appears once"
            samples[key] = float(match["value"])
    return samples


def test_the_metrics_say_what_happened(backend: Backend) -> None:
    backend.serve(FakePredictor("v1"))
    backend.ledger.trainings.append(Run("r0001", "labels", NOW, RunState.FAILED))
    backend.client.get("/health")
    backend.post("/webhook", {"action": "TASKS_DELETED", "project": {"id": 3}})
    backend.predict([task_of(backend.radiograph(1)), {}])

    answer = backend.get("/metrics")

    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    samples = parse(answer.text)
    assert samples['carpal_http_requests_total{route="health",status="2xx"}'] == 1
    assert samples['carpal_http_request_seconds_bucket{route="predict",le="+Inf"}'] == 1
    assert samples['carpal_http_request_seconds_count{route="predict"}'] == 1
    assert samples['carpal_pre_annotations_total{outcome="computed"}'] == 1
    assert samples['carpal_pre_annotations_total{outcome="refused"}'] == 1
    assert samples['carpal_webhooks_total{outcome="journalled"}'] == 1
    assert samples['carpal_model_loads_total{outcome="loaded"}'] == 1
    assert samples['carpal_backend_processes{model_version="v1"}'] == 1
    assert samples["carpal_ledger_events"] == 1
    assert samples['carpal_training_runs{state="failed"}'] == 1


def test_a_histogram_counts_each_duration_in_its_bucket_and_all_above() -> None:
    counters = Counters()
    for seconds in (0.004, 0.005, 0.03, 500.0):
        counters.observe(SECONDS, "predict", seconds=seconds)

    samples = parse("\n".join(counters.lines()) + "\n")

    bucket = 'carpal_http_request_seconds_bucket{{route="predict",le="{}"}}'
    assert samples[bucket.format("0.005")] == 2
    assert samples[bucket.format("0.025")] == 2
    assert samples[bucket.format("0.05")] == 3
    assert samples[bucket.format("100")] == 3
    assert samples[bucket.format("+Inf")] == 4
    assert samples['carpal_http_request_seconds_sum{route="predict"}'] == pytest.approx(500.039)


def _count(counters: Counters, row: int, ready: Barrier) -> None:
    counters.use_row(row)
    counters.set_model_version("v1")
    ready.wait(30)
    for _ in range(50_000):
        counters.add(WEBHOOKS, "journalled")


def test_counts_of_forked_processes_add_up() -> None:
    counters, fork = Counters(), multiprocessing.get_context("fork")
    ready = fork.Barrier(2)
    processes = [fork.Process(target=_count, args=(counters, row, ready)) for row in (1, 2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)

    assert counters.value(WEBHOOKS, "journalled") == 100_000
    assert counters.model_versions() == {"v1": 2}


def test_a_process_that_takes_over_a_row_goes_on_counting() -> None:
    counters = Counters()
    counters.use_row(5)
    counters.add(MODEL_LOADS, "loaded")
    counters.set_model_version("v1")

    counters.use_row(5)
    counters.add(MODEL_LOADS, "loaded")

    assert counters.value(MODEL_LOADS, "loaded") == 2
    assert counters.model_versions() == {}


def test_a_client_cannot_make_new_series() -> None:
    with pytest.raises(KeyError):
        Counters().add(REQUESTS, "made up", "2xx")


def test_label_values_are_escaped() -> None:
    assert sample("m", {"k": 'a"b\\c\nd'}, 1.5) == 'm{k="a\\"b\\\\c\\nd"} 1.5'
