"""The page at /: readable by a person, without scripts, without secrets."""

from __future__ import annotations

from datetime import timedelta

from data.domain import DatasetVersion
from data.errors import ModelError
from data.runs import Run, RunState
from tests.unit.ml_backend.conftest import PASSWORD, SECRET, Backend
from tests.unit.ml_backend.fakes import NOW, FakePredictor


def test_the_page_of_a_new_workspace_says_that_nothing_is_there_yet(backend: Backend) -> None:
    page = backend.get("/").text

    assert "none yet" in page
    assert "no version yet" in page
    assert "12 of 50 new labels since the last training." in page
    assert "100 (80 train, 12 calibration, 8 test)" in page
    assert "31 by experts, 49 waiting" in page
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
            metrics={"mae": 12.34},
        ),
    ]

    page = backend.get("/").text

    assert "v0002-aabbccdd" in page
    assert "130 labels, 100 of them by experts" in page
    assert "The GPU ran out of memory." in page
    assert page.index("r0002") < page.index("r0001")
    assert '<td class="name">passed</td>' in page
    assert '<td class="number">12.3</td>' in page


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

    assert "v0001-aabbccdd<br>serves" in page
    assert page.count("<br>serves") == 1


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
    assert '<td class="number"></td>' in answer.text


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
