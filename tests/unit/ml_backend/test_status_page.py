"""The page at /: readable by a person, without scripts, without secrets."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from html import unescape
from pathlib import Path

import pytest

from data.domain import DatasetVersion
from data.errors import ModelError
from data.ledger.ledger import Ledger
from data.runs import Run, RunState
from tests.support import eventually
from tests.unit.ml_backend.conftest import PASSWORD, SECRET, Backend
from tests.unit.ml_backend.fakes import NOW, SPEC, FakePredictor
from tests.unit.workers.loop_ledger import NOON as HISTORY
from tests.unit.workers.loop_ledger import LoopLedger, fill
from workers import loop_sentences as sentences
from workers.loop_figures import TrainingProgress
from workers.overview import LoopOverview, overview
from workers.queue_state import Queues, QueueState, WorkerState
from workers.settings import Settings


def test_the_page_of_a_new_workspace_says_that_nothing_is_there_yet(backend: Backend) -> None:
    page = backend.get("/").text

    assert "none yet" in page
    assert "no version yet" in page
    assert "12 of 50 new labels since the last training." in page
    assert "radiographs: 80 train, 12 calibration, 8 test</dt><dd>100</dd>" in page
    assert "read by experts</dt><dd>31</dd>" in page
    assert "wait for a reader</dt><dd>49</dd>" in page
    assert "Needs attention" not in page


def test_the_page_says_what_needs_attention(backend: Backend) -> None:
    backend.ledger.attention += ["Annotation 7 was not taken: age_months is <300>."]

    page = backend.get("/").text

    assert "Needs attention" in page
    assert "Annotation 7 was not taken: age_months is &lt;300&gt;." in page


def test_the_page_shows_model_labels_and_trainings(backend: Backend) -> None:
    backend.serve(FakePredictor("v0002-aabbccdd"))
    backend.ledger.version = DatasetVersion("v0002", "c" * 40, 130, 100, 9, NOW)
    backend.ledger.trainings += [
        Run("r0001", "labels", NOW, RunState.FAILED, error="The GPU ran out of memory."),
        Run(
            "r0002",
            "request",
            NOW + timedelta(hours=1),
            RunState.SUCCEEDED,
            version="v0002",
            model_version="v0002-aabbccdd",
            promoted=True,
            reason="Not worse than the champion.",
            metrics={"mae": 12.34, "mae_ci95": [10.0, None]},
        ),
    ]

    page = backend.get("/").text

    assert "v0002-aabbccdd" in page
    assert "130 labels, 100 by experts" in page
    assert "The GPU ran out of memory." in page
    assert page.index("r0002") < page.index("r0001")
    assert '<span class="badge good">passed</span>' in page
    assert '<span class="badge bad">failed</span>' in page
    assert '<td class="number nowrap">12.3' in page


def test_the_page_marks_the_model_that_serves_whatever_the_gate_said(backend: Backend) -> None:
    backend.serve(FakePredictor("v0001-aabbccdd"))
    for number, promoted in ((1, False), (2, None)):
        version = f"v{number:04d}"
        backend.ledger.trainings.append(
            Run(
                f"r{number:04d}",
                "labels",
                NOW,
                RunState.SUCCEEDED,
                version=version,
                model_version=f"{version}-aabbccdd",
                promoted=promoted,
            )
        )

    page = backend.get("/").text

    row = page[page.index(">r0001") : page.index("</tr>", page.index(">r0001"))]
    assert '<span class="badge good">serves</span>' in row
    assert page.count(">serves</span>") == 1


def test_the_page_says_why_the_newest_model_does_not_serve(backend: Backend) -> None:
    backend.serve(FakePredictor("v1"))
    backend.registry.fetch_error = ModelError("The weights of v2 were altered.")
    backend.serve(FakePredictor("v2"))

    assert "The weights of v2 were altered." in backend.get("/").text


def test_the_page_shows_a_training_that_no_test_case_judged(backend: Backend) -> None:
    backend.ledger.trainings.append(
        Run("r0001", "labels", NOW, RunState.SUCCEEDED, metrics={"mae": None, "cases": 0})
    )

    answer = backend.get("/")

    assert answer.status_code == 200
    assert "nan" not in answer.text


def test_the_page_runs_no_script_and_escapes_what_it_shows(backend: Backend) -> None:
    backend.ledger.trainings.append(
        Run("r0001", "labels", NOW, RunState.FAILED, error="<script>alert(1)</script>")
    )

    answer = backend.get("/")

    assert "<script" not in answer.text
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_the_page_holds_no_secret(backend: Backend) -> None:
    page = backend.get("/").text

    assert PASSWORD not in page
    assert SECRET not in page


@pytest.fixture
def full(tmp_path: Path) -> LoopOverview:
    """A loop that has been at work for four days, as `workers.overview` sees it."""
    settings = replace(Settings.load({"CARPAL_HOME": str(tmp_path / "full")}), redis_port=1)
    settings.home.mkdir()
    with Ledger.open(settings.ledger) as ledger:
        fill(LoopLedger(ledger, settings.ledger))
        return overview(settings, ledger, HISTORY)


def test_the_page_of_a_loop_at_work_says_what_carpal_status_says(
    backend: Backend, full: LoopOverview
) -> None:
    page = " ".join(unescape(backend.with_overview(full).get("/").text).split())

    target, figures = SPEC.target("age_months"), full.figures
    for said in (
        *sentences.live_sentences(figures.live, target, full.champion),
        sentences.shadow_sentence(figures.shadow, target, full.champion),
        *sentences.drift_sentences(figures.drift, target),
        sentences.scores_sentence(full.waiting, figures.behind, full.champion),
        full.training,
        *(notice.sentence for notice in full.attention),
        *(event.sentence for event in figures.events),
    ):
        assert said in page


def test_models_link_to_their_version_and_to_what_it_changed(
    backend: Backend, full: LoopOverview
) -> None:
    page = backend.with_overview(full).get("/").text

    assert 'href="/versions/v0003"' in page
    assert 'href="/versions/v0002..v0003"' in page
    assert 'href="/versions/..v0001"' not in page


def test_the_page_comes_at_once_and_its_plots_when_they_are_drawn(
    backend: Backend, full: LoopOverview
) -> None:
    app = backend.with_overview(full)

    assert eventually(lambda: app.get("/").text.count("<svg") == 3)


@pytest.mark.parametrize(
    ("asked", "header"),
    [
        pytest.param("", None, id="nothing"),
        pytest.param("60", "60", id="a-minute"),
        pytest.param("1", "10", id="not-too-often"),
        pytest.param("99999", "3600", id="not-too-rarely"),
        pytest.param("-5", None, id="negative"),
        pytest.param("soon", None, id="no-number"),
    ],
)
def test_the_page_comes_again_only_if_it_was_asked_to(
    backend: Backend, asked: str, header: str | None
) -> None:
    assert backend.get(f"/?refresh={asked}").headers.get("Refresh") == header


def test_a_training_under_way_is_shown_with_its_epochs(
    backend: Backend, full: LoopOverview
) -> None:
    progress = TrainingProgress("r0004", "running: train, epoch 3 of 9", 3, 9, 65.0, 2.0)
    view = replace(full, figures=replace(full.figures, progress=progress))

    page = backend.with_overview(view).get("/").text

    assert '<progress max="9" value="3"' in page


def test_queues_and_workers_are_shown(backend: Backend, full: LoopOverview) -> None:
    worker = WorkerState("abcdef0123", ("heavy",), "train r0004", 65.0, 2.0)
    queues = Queues((QueueState("light", 0), QueueState("heavy", 1, 30.0, "rescore v2")), (worker,))

    page = backend.with_overview(replace(full, queues=queues)).get("/").text

    assert "light: nothing waits, no worker." in page
    assert "heavy: 1 job waits, the oldest for 30 s (rescore v2), 1 worker." in page
    assert "heavy worker abcdef01: train r0004 for 65 s, last heard 2 s ago." in page
