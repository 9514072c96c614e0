"""`carpal status` shows sentences as they are, whatever they quote."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from carpal import status
from carpal.free_ports import free_port
from data.domain import Target
from data.ledger.ledger import Ledger
from data.runs import Run, RunState
from tests.unit.workers.loop_ledger import NOON as HISTORY
from tests.unit.workers.loop_ledger import LoopLedger, fill
from workers import loop_sentences as sentences
from workers.attention import Notice
from workers.overview import LoopOverview, overview
from workers.settings import Settings

AGE = Target("age_months", "number", "months", 0.0, 240.0, tolerance=6.0)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def shown(view: LoopOverview) -> str:
    console = Console(file=io.StringIO(), width=200)
    status.show(view, console, AGE)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_what_looks_like_markup_is_printed_as_it_is() -> None:
    failed = Run("r0001", "labels", NOON, RunState.FAILED, error="No file [/data/x.png].")
    view = LoopOverview(
        radiographs={"train": 1},
        labelled=0,
        waiting=0,
        new_labels=0,
        training="Waits for [b] labels.",
        versions=[],
        runs=[failed],
        champion="",
        queues=None,
        attention=[
            Notice("Annotation 1:2 was not taken: age_months is '[/b]', which is not a number.")
        ],
    )

    text = shown(view)

    assert "Waits for [b] labels." in text
    assert "r0001: No file [/data/x.png]." in text
    assert "! Annotation 1:2 was not taken: age_months is '[/b]', which is not a number." in text


def test_films_that_cannot_be_read_are_told_with_their_reasons() -> None:
    view = LoopOverview(
        radiographs={"train": 9},
        labelled=5,
        waiting=4,
        new_labels=0,
        training="Waits.",
        versions=[],
        runs=[],
        champion="",
        queues=None,
        attention=[],
    )

    assert "cannot be read" not in shown(view)
    told = shown(replace(view, unreadable={"exposure": 2, "position": 1}))
    assert "3 radiographs cannot be read: exposure 2, position 1." in " ".join(told.split())


def test_the_newest_verdict_is_shown_also_while_the_next_training_runs() -> None:
    view = LoopOverview(
        radiographs={"train": 1},
        labelled=0,
        waiting=0,
        new_labels=0,
        training="Training r0003 is under way.",
        versions=[],
        runs=[
            Run("r0001", "labels", NOON, RunState.SUCCEEDED, reason="Older."),
            Run("r0002", "labels", NOON, RunState.SUCCEEDED, promoted=False, reason="Too weak."),
            Run("r0003", "labels", NOON, RunState.RUNNING, reason="50 new labels."),
        ],
        champion="",
        queues=None,
        attention=[],
    )

    text = shown(view)

    assert "r0002: Too weak.\nr0003: 50 new labels." in text
    assert "r0001: Older." not in text
    assert text.count("not promoted") == 1


def full_view(home: Path) -> LoopOverview:
    settings = replace(Settings.load({"CARPAL_HOME": str(home)}), redis_port=free_port())
    with Ledger.open(settings.ledger) as ledger:
        fill(LoopLedger(ledger, settings.ledger))
        return overview(settings, ledger, HISTORY)


def test_it_says_the_sentences_of_the_status_page(tmp_path: Path) -> None:
    view = full_view(tmp_path)

    text = " ".join(shown(view).split())

    for said in (
        *sentences.live_sentences(view.figures.live, AGE, view.champion),
        sentences.shadow_sentence(view.figures.shadow, AGE, view.champion),
        *sentences.drift_sentences(view.figures.drift, AGE),
        sentences.scores_sentence(view.waiting, view.figures.behind, view.champion),
        *(notice.sentence for notice in view.attention),
    ):
        assert said in text


def test_a_program_gets_the_figures_as_plain_json(tmp_path: Path) -> None:
    told = json.loads(json.dumps(status.as_json(full_view(tmp_path)), allow_nan=False))

    assert told["queues"] is None
    assert told["figures"]["live"]["films"] == 45
    assert [model["labels"] for model in told["figures"]["models"]] == [30, 45, 90]
    assert told["figures"]["readers"][0]["reader"] == "anna@example.org"
    assert told["figures"]["shadow"]["difference"] is None, "no film was scored by both"
