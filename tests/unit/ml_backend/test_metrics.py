"""Counters are exact across processes, and /metrics is what Prometheus reads."""

from __future__ import annotations

import multiprocessing
import re
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
import yaml

from data.ledger.ledger import Ledger
from data.runs import Run, RunState
from ml_backend.metrics import MODEL_LOADS, REQUESTS, SECONDS, WEBHOOKS, Counters, sample
from tests.unit.ml_backend.conftest import Backend
from tests.unit.ml_backend.fakes import NOW, FakePredictor, task_of
from tests.unit.workers.loop_ledger import NOON as HISTORY
from tests.unit.workers.loop_ledger import LoopLedger, fill
from workers.overview import overview
from workers.queue_state import Queues, QueueState, WorkerState

ROOT = Path(__file__).parents[3]

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


def test_the_metrics_say_how_the_loop_fares(backend: Backend, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'loop.db'}"
    with Ledger.open(url) as ledger:
        fill(LoopLedger(ledger, url))
        view = overview(replace(backend.settings, ledger_url=url, redis_port=1), ledger, HISTORY)
    live, waiting = view.figures.live, QueueState("heavy", 2, 90.0, "train r0004")
    assert live is not None
    assert live.intervals is not None
    queues = Queues((QueueState("light", 0), waiting), (WorkerState("w", ("heavy",), "x"),))

    samples = parse(backend.with_overview(replace(view, queues=queues)).get("/metrics").text)

    target = 'target="age_months"'
    assert samples['carpal_champion_info{model_version="v0002-bbbbbbbb"}'] == 1
    assert samples["carpal_labelled_radiographs"] == 90
    assert samples["carpal_dataset_labels"] == 90
    assert samples['carpal_readings{origin="kept"}'] == 15
    assert samples[f"carpal_test_error{{{target}}}"] == 14.9
    assert samples[f"carpal_live_radiographs{{{target}}}"] == 45
    assert samples[f"carpal_live_error{{{target}}}"] == pytest.approx(live.error)
    share = samples[f'carpal_live_coverage{{{target},estimate="share"}}']
    assert share == pytest.approx(live.intervals.share)
    assert samples[f"carpal_promised_coverage{{{target}}}"] == 0.9
    assert 0 <= samples['carpal_drift_distance{of="values"}'] < 1
    assert samples["carpal_queue_up"] == 1
    assert samples['carpal_queue_jobs{queue="heavy"}'] == 2
    assert samples['carpal_queue_oldest_job_seconds{queue="heavy"}'] == 90
    assert samples['carpal_workers{queue="heavy",state="busy"}'] == 1
    assert samples['carpal_workers{queue="light",state="idle"}'] == 0


def test_what_is_not_known_is_left_out_of_the_metrics(backend: Backend) -> None:
    samples = parse(backend.get("/metrics").text)

    assert samples["carpal_queue_up"] == 0
    absent = ("carpal_champion_info", "carpal_test_error", "carpal_live_error", "carpal_queue_jobs")
    assert not [name for name in samples if name.startswith(absent)]


def test_every_metric_is_documented_and_every_alert_asks_for_one_that_exists(
    backend: Backend,
) -> None:
    families = set(re.findall(r"^# TYPE (\S+)", backend.get("/metrics").text, re.MULTILINE))
    documented = set(re.findall(r"`(carpal_[a-z_]+)`", (ROOT / "docs/operations.md").read_text()))
    rules = yaml.safe_load((ROOT / "deploy/prometheus-alerts.yml").read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    asked = {name for rule in alerts for name in re.findall(r"carpal_[a-z_]+", rule["expr"])}

    assert documented == families
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked} <= families
    assert all({"alert", "expr", "for", "labels", "annotations"} <= rule.keys() for rule in alerts)


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
